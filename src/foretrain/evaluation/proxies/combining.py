"""Hybrids and combinations of scores, in-sample as the source has them and on networks that nothing was fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.evaluation.proxies.judging import ranked_last, top_accuracy
from foretrain.evaluation.proxies.score_table import ScoreTable
from foretrain.metrics.rank import bootstrap_interval, kendall, spearman
from foretrain.proxies.combination import MonotoneRidge, normal_scores
from foretrain.proxies.hybrid import Hybrid, Sweep, choose_scores, normalised, smallest_pair, sweep_weights
from foretrain.runtime.seeding import derive_seed

FloatArray = NDArray[np.float64]
HYBRID, LEARNED = "hybrid", "combination"


@dataclass(frozen=True, eq=False)
class FittedHybrid:
    """A hybrid and the sweep that it comes from.

    Attributes:
        hybrid: The hybrid with the best pair of weights.
        smallest: The same scores with the smallest pair whose correlations are the best ones to two digits.
        sweep: The sweep over the weights.
    """

    hybrid: Hybrid
    smallest: Hybrid
    sweep: Sweep


def fit_hybrid(population: ScoreTable, train: NDArray[np.integer] | None = None) -> FittedHybrid:
    """Chooses scores and weights of a hybrid.

    Scores are normalised over the whole population, which needs no accuracy; everything else is chosen on the training
    networks.

    Args:
        population: All networks.
        train: Those whose accuracies may be looked at; None for all, which is in-sample.

    Raises:
        ValueError: No data-independent or no data-dependent score can be normalised.
    """
    seen = population if train is None else population[train]
    independent, dependent = choose_scores(seen.independent, seen.dependent, seen.accuracy)
    din, ddn = normalised(population.independent[independent]), normalised(population.dependent[dependent])
    if train is not None:
        din, ddn = din[train], ddn[train]
    sweep = sweep_weights(din, ddn, seen.accuracy)
    return FittedHybrid(
        Hybrid(independent, dependent, sweep.alpha, sweep.beta),
        Hybrid(independent, dependent, *smallest_pair(din, ddn, seen.accuracy, sweep)),
        sweep,
    )


def out_of_sample(population: ScoreTable, labels: int, splits: int, seed: int) -> pd.DataFrame:
    """Fits the hybrid on some networks and judges it, and what it is made of, on all others.

    Args:
        population: All networks.
        labels: Networks that it is fitted on, drawn anew for each split.
        splits: Number of splits.
        seed: Seed of the splits.

    Returns:
        One row a split and score: ``split``, ``score`` (the hybrid, and the single scores that were chosen as
        ``independent`` and ``dependent``), ``kendall``, ``spearman``, ``top1``, and ``chosen``: what it was.
    """
    rows = []
    for split in range(splits):
        order = _order(population, seed, split)
        train, test = order[:labels], order[labels:]
        hybrid = fit_hybrid(population, train).hybrid
        judged = {
            "hybrid": (hybrid(population.everything), str(hybrid)),
            "independent": (population.independent[hybrid.independent], hybrid.independent),
            "dependent": (population.dependent[hybrid.dependent], hybrid.dependent),
        }
        for name, (values, chosen) in judged.items():
            score, truth = ranked_last(values)[test], population.judged[test]
            quality = {"kendall": kendall(truth, score), "spearman": spearman(truth, score)}
            rows.append(
                {"split": split, "score": name, **quality, "top1": top_accuracy(score, truth, 1), "chosen": chosen}
            )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Combination:
    """The learned combination and how it is compared with the hybrid.

    Attributes:
        proxies: The scores that are combined.
        strength: Weight of the prior, in labelled networks.
        labels: Numbers of labelled networks.
        splits: Number of random draws of labelled networks.
        test: Networks that both are judged on, the same for every number of labels; None for all that are left.
    """

    proxies: list[str]
    strength: float = 20.0
    labels: Sequence[int] = (0, 5, 20, 50)
    splits: int = 20
    test: int | None = None

    def compare(self, population: ScoreTable, unlabelled: Hybrid, seed: int) -> pd.DataFrame:
        """Fits both on the same labelled networks and judges them on the same others.

        Args:
            population: All networks.
            unlabelled: The hybrid that is taken without labels.
            seed: Seed of the draws.

        Returns:
            One row a split and number of labels: ``split``, ``labels``, and Spearman's correlation of ``hybrid`` and
            ``combination`` on the test networks.
        """
        everything = population.everything
        features = normal_scores(np.stack([everything[name] for name in self.proxies], axis=1))
        rows = []
        for split in range(self.splits):
            order = _order(population, seed, split)
            test = order[max(self.labels) :][: self.test]
            for labels in self.labels:
                train = order[:labels]
                hybrid = fit_hybrid(population, train).hybrid if labels else unlabelled
                model = MonotoneRidge(self.strength).fit(features[train], population.accuracy[train])
                scores = {HYBRID: ranked_last(hybrid(everything)), LEARNED: model.predict(features)}
                quality = {name: spearman(population.judged[test], score[test]) for name, score in scores.items()}
                rows.append({"split": split, "labels": labels, **quality})
        return pd.DataFrame(rows)


def summary_of_splits(table: pd.DataFrame) -> pd.DataFrame:
    """Returns mean and standard deviation over the splits of :func:`out_of_sample`, a row for each score."""
    rows = []
    for score, group in table.groupby("score", sort=False):
        spread = {
            f"{name} {moment}": getattr(group[name], moment)()
            for name in ("kendall", "spearman", "top1")
            for moment in ("mean", "std")
        }
        rows.append({"score": score, **spread})
    return pd.DataFrame(rows)


def summary_of_labels(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Returns means over the splits of :meth:`Combination.compare` and the 95% interval of the paired difference."""
    rows = []
    for labels, group in table.groupby("labels", sort=True):
        difference = (group[LEARNED] - group[HYBRID]).to_numpy()
        lower, upper = bootstrap_interval(np.mean, difference, seed=seed)
        means = {name: group[name].mean() for name in (HYBRID, LEARNED)}
        rows.append({"labels": labels, **means, "difference": difference.mean(), "lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def _order(population: ScoreTable, seed: int, split: int) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(seed, "split", split)).permutation(len(population))
