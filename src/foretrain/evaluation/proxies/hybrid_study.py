"""The study of the hybrid proxy."""

from __future__ import annotations

import time
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError, DataError
from foretrain.evaluation.proxies.combining import (
    HYBRID,
    LEARNED,
    Combination,
    FittedHybrid,
    fit_hybrid,
    out_of_sample,
    summary_of_labels,
    summary_of_splits,
)
from foretrain.evaluation.proxies.figures import correlation_over_weights
from foretrain.evaluation.proxies.judging import RANKED, judge_scores
from foretrain.evaluation.proxies.score_table import ScoreColumns, ScoreTable
from foretrain.evaluation.report import markdown_table, print_table
from foretrain.proxies.hybrid import PUBLISHED, Hybrid
from foretrain.runtime.study import RunContext, Study


class HybridProxy(Study):
    """Judges the scores of a benchmark, makes the hybrid of the best two, and a learned combination beside it.

    Args:
        benchmark: The networks and their accuracies.
        scores: Their scores.
        combination: The learned combination.
        train: Networks that the hybrid is fitted on for its out-of-sample figures.
        splits: Random draws of these.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        scores: ScoreColumns,
        combination: Combination,
        train: Annotated[int, Field(ge=10)] = 200,
        splits: Annotated[int, Field(ge=2)] = 20,
    ) -> None:
        known = {**scores.independent, **scores.dependent, **scores.baselines}
        for name in combination.proxies:
            if name not in known:
                raise ConfigError("combination.proxies", "is none of the scores", name, known)
        self.benchmark = benchmark
        self.scores = scores
        self.combination = combination
        self.train = train
        self.splits = splits

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        population = self.scores.read(self.benchmark)
        if len(population) < 2 * self.train:
            problem = f"has {len(population)} networks with scores, {self.train} to learn from leave too few"
            raise DataError(self.benchmark.name, problem, "Lower train=")
        started = time.perf_counter()
        fitted = fit_hybrid(population)
        swept = time.perf_counter() - started
        published = self._published(fitted.hybrid)
        found = {
            **population.everything,
            "hybrid, published weights": published(population.everything),
            "hybrid, in-sample": fitted.hybrid(population.everything),
        }
        judged = judge_scores(found, population.judged, context.seed, self.scores.seconds(self.benchmark))
        splits = summary_of_splits(out_of_sample(population, self.train, self.splits, context.seed))
        labels = summary_of_labels(self.combination.compare(population, published, context.seed), context.seed)
        names = [self.benchmark.benchmark.names[row] for row in population.rows]
        context.folder.write_predictions(pd.DataFrame({"arch_id": names, **found, "truth": population.judged}))
        context.folder.write_metrics(_metrics(population, fitted, judged, splits, labels))
        context.folder.write_provenance(context.seed, {"benchmark.json": self.benchmark.benchmark.sha256})
        best = (fitted.hybrid.alpha, fitted.hybrid.beta)
        correlation_over_weights(
            fitted.sweep.weights, fitted.sweep.spearman, best, context.folder.figures / "weights.png", self._about
        )
        context.folder.write_report(self._report(population, fitted, judged, splits, labels))
        print_table(judged.drop(columns="seconds"), f"{self._about}: {len(population)} networks")
        print_table(splits, f"Hybrid fitted on {self.train} networks, judged on all others")
        print_table(labels, "Spearman of hybrid and learned combination by number of labelled networks")
        return {"sweep": swept}

    @property
    def _about(self) -> str:
        return f"{self.benchmark.name}, scores on {self.scores.dataset or 'its data set'}"

    def _published(self, fitted: Hybrid) -> Hybrid:
        """The source's hybrid, or its weights with the scores that were chosen here where its own are not there."""
        known = {**self.scores.independent, **self.scores.dependent}
        if {PUBLISHED.independent, PUBLISHED.dependent} <= known.keys():
            return PUBLISHED
        return Hybrid(fitted.independent, fitted.dependent, PUBLISHED.alpha, PUBLISHED.beta)

    def _report(
        self,
        population: ScoreTable,
        fitted: FittedHybrid,
        judged: pd.DataFrame,
        splits: pd.DataFrame,
        labels: pd.DataFrame,
    ) -> str:
        hybrid, smallest = fitted.hybrid, fitted.smallest
        in_sample = (
            "**In-sample**, as the source has it: scores and weights are chosen and judged on the same "
            f"{len(population)} networks. The best scores are {hybrid.independent} (data-independent) and "
            f"{hybrid.dependent} (data-dependent). Of 40,401 pairs of weights, alpha {hybrid.alpha:g} and beta "
            f"{hybrid.beta:g} reach the best Kendall's tau with what was seen, {fitted.sweep.best_kendall:.4f}. The "
            f"smallest pair whose correlations are the same to two digits: alpha {smallest.alpha:g}, beta "
            f"{smallest.beta:g}."
        )
        honest = (
            f"**Out of sample**: scores and weights are chosen on {self.train} networks and judged on all others; mean "
            f"and standard deviation over {self.splits} random draws."
        )
        learned = (
            "The combination is a weighted sum of the normal scores of "
            f"{', '.join(self.combination.proxies)}, without negative weights, drawn towards equal ones; the hybrid "
            "chooses scores and weights on the same labelled networks (without labels: the published ones). Mean "
            "Spearman on networks that neither was fitted on, and the 95% interval of the paired difference."
        )
        sections = [
            f"# Zero-cost scores and their hybrid on {self._about}",
            "## How well do the scores rank?",
            markdown_table(judged),
            f"{RANKED} Seconds: the median over networks, as the benchmark states it.",
            "## The hybrid",
            in_sample,
            "![Spearman over alpha and beta](figures/weights.png)",
            honest,
            markdown_table(splits),
            "## A learned combination",
            learned,
            markdown_table(labels),
        ]
        return "\n\n".join(sections) + "\n"


def _metrics(
    population: ScoreTable, fitted: FittedHybrid, judged: pd.DataFrame, splits: pd.DataFrame, labels: pd.DataFrame
) -> dict[str, float]:
    metrics: dict[str, Any] = {
        "networks": len(population),
        "in_sample/alpha": fitted.hybrid.alpha,
        "in_sample/beta": fitted.hybrid.beta,
        "in_sample/kendall_seen": fitted.sweep.best_kendall,
        "in_sample/smallest_alpha": fitted.smallest.alpha,
        "in_sample/smallest_beta": fitted.smallest.beta,
    }
    for row in judged.drop(columns="seconds").to_dict("records"):
        name = str(row.pop("score")).replace(", ", "_").replace(" ", "_")
        metrics |= {f"{name}/{key}": value for key, value in row.items()}
    for row in splits.to_dict("records"):
        name = row.pop("score")
        metrics |= {f"out_of_sample/{name}/{str(key).replace(' ', '_')}": value for key, value in row.items()}
    for row in labels.to_dict("records"):
        prefix = f"labels@{row['labels']}"
        metrics |= {f"{prefix}/{key}": row[key] for key in (HYBRID, LEARNED, "difference", "lower", "upper")}
    return metrics
