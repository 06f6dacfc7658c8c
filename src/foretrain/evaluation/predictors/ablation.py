"""What cheap labels and cheap scores are worth: one predictor, every combination, on equal splits."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from foretrain.benchmarks.table import Rows, Split
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.evaluation.predictors.comparison import opened
from foretrain.evaluation.predictors.figures import spread_over_trials
from foretrain.evaluation.predictors.judging import flat_metrics, judge_trials, summarise
from foretrain.evaluation.predictors.report import print_variants, readable
from foretrain.evaluation.report import markdown_table
from foretrain.metrics.rank import spearman
from foretrain.predictors.base import PredictorFactory
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed, make_generator
from foretrain.runtime.study import RunContext, Study
from foretrain.search.assisted import initialize, query
from foretrain.search.sources import LabelSource, ScoreSource

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Variant:
    """One combination on one split.

    Attributes:
        make: Makes the predictor.
        task: The benchmark and what is foreseen.
        labels: Where labels come from.
        scores: Where scores come from.
        split: Rows to learn from and to judge on.
        seed: Seed of predictor and scores.
    """

    make: PredictorFactory
    task: BenchmarkTask
    labels: LabelSource
    scores: ScoreSource
    split: Split
    seed: int


class AblatePredictor(Study):
    """Fits a predictor with every kind of labels, every set of scores and every size of the training set.

    All combinations learn from the same networks, which are drawn from those that every kind of labels is known for,
    and are judged on the true accuracies of the same others.

    Args:
        benchmark: The benchmark; its target is what is foreseen and what judges.
        predictor: The predictor.
        labels: The kinds of labels by name; the first, with the first scores, is the reference.
        scores: The sets of scores by name.
        n_train: Sizes of the training set.
        n_test: Networks to judge on.
        trials: Number of splits.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        predictor: PredictorFactory,
        labels: dict[str, LabelSource],
        scores: dict[str, ScoreSource],
        n_train: list[Count],
        n_test: Annotated[int, Field(ge=2)] = 200,
        trials: Count = 20,
    ) -> None:
        self.benchmark = benchmark
        self.predictor = predictor
        self.labels = labels
        self.scores = scores
        self.n_train = sorted(n_train)
        self.n_test = n_test
        self.trials = trials

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        variants = self._variants(context.seed)
        folder = context.folder
        records = context.parallel(run_variant, variants, folder.path / "trials", "fitting combinations")
        forecasts = pd.concat([_table(key, record) for key, record in records.items()], ignore_index=True)
        trials = judge_trials(forecasts)
        reference = f"{next(iter(self.labels))} {next(iter(self.scores))} {self.n_train[-1]}"
        summary = summarise(trials, context.seed, reference)
        costs = forecasts.groupby("predictor", sort=False)[
            ["training_seconds", "score_seconds", "labels_spearman"]
        ].mean()
        summary["training_hours"] = summary["predictor"].map(costs["training_seconds"] / 3600)
        for column in ("score_seconds", "labels_spearman"):
            summary[column] = summary["predictor"].map(costs[column])
        folder.write_metrics(flat_metrics(summary))
        folder.write_table("ablation", summary)
        folder.write_predictions(
            forecasts.drop(columns=["fit_seconds", "query_seconds", "labels_spearman", "score_seconds"])
        )
        folder.write_provenance(
            context.seed, {f"{self.benchmark.name}/benchmark.json": self.benchmark.benchmark.sha256}
        )
        about = (
            f"{self.benchmark.name}, {self.trials} splits, {self.n_test} networks judged. Names: labels, scores, and "
            f"how many networks were learned from. Differences are to {reference}. Labels: Spearman's correlation of "
            "the labels that were learned from with the truth. Hours: to train what was learned from. Seconds: for "
            "the scores of one network."
        )
        spread_over_trials(trials, summary["predictor"].tolist(), folder.figures / "ablation.png", about)
        table = readable(summary)
        table["labels"] = [f"{quality:.3f}" for quality in summary["labels_spearman"]]
        table["training hours"] = summary["training_hours"].to_numpy()
        table["score seconds"] = summary["score_seconds"].to_numpy()
        sections = ["# Cheap labels and cheap scores", about, markdown_table(table), "![](figures/ablation.png)"]
        folder.write_report("\n\n".join(sections) + "\n")
        print_variants(summary)
        seconds = forecasts.groupby("predictor", sort=False)[["fit_seconds", "query_seconds"]].mean()
        return {"run": time.perf_counter() - started} | flat_metrics(seconds.reset_index())

    def _variants(self, seed: int) -> dict[str, Variant]:
        """All jobs; the name of a combination and the number of its split make the key."""
        unopened = BenchmarkTask(self.benchmark.name, self.benchmark.target, self.benchmark.judge)
        labelled = [set(source.available(self.benchmark).tolist()) for source in self.labels.values()]
        learnable = np.array(sorted(set.intersection(*labelled)), dtype=np.int64)
        jobs = {}
        for trial in range(self.trials):
            train, test = self._split(learnable, derive_seed(seed, "trial", trial))
            for (label, labels), (score, scores), size in itertools.product(
                self.labels.items(), self.scores.items(), self.n_train
            ):
                split = Split(train[:size], test)
                predictor_seed = derive_seed(seed, "predictor", trial)
                variant = Variant(self.predictor, unopened, labels, scores, split, predictor_seed)
                jobs[f"{label} {score} {size}-{trial:03d}"] = variant
        return jobs

    def _split(self, learnable: Rows, seed: int) -> Split:
        """Training rows among those that can be labelled, test rows among all others."""
        draw = self.benchmark.benchmark.split(self.n_train[-1], 0, seed, among=learnable)
        others = np.setdiff1d(self.benchmark.known, draw.train)
        order = np.random.default_rng(make_generator(seed, "test").initial_seed()).permutation(others)
        return Split(draw.train, order[: self.n_test])


def run_variant(variant: Variant) -> Record:
    """Initialises and queries the predictor of one combination on one split."""
    task = opened(variant.task)
    train, test = variant.split
    assisted = initialize(variant.make, task, train, variant.labels, variant.scores, variant.seed)
    forecast, score_seconds, query_seconds = query(assisted, test)
    mean = np.full(len(test), np.nan) if forecast.mean is None else np.asarray(forecast.mean)
    return {
        "row": test.tolist(),
        "truth": task.accuracy[test].tolist(),
        "score": np.asarray(forecast.score).tolist(),
        "mean": mean.tolist(),
        "labels_spearman": spearman(task.accuracy[train], assisted.labels),
        "training_seconds": assisted.training_seconds,
        "score_seconds": (assisted.score_seconds + score_seconds) / (len(train) + len(test)),
        "fit_seconds": assisted.fit_seconds,
        "query_seconds": query_seconds,
    }


def _table(key: str, record: Record) -> pd.DataFrame:
    name, _, trial = key.rpartition("-")
    table = pd.DataFrame(record)
    table.insert(0, "predictor", name)
    return table.assign(trial=int(trial))
