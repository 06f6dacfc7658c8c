"""The study of searches on a benchmark."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError
from foretrain.evaluation.search.judging import Convergence, Gains, Targets, convergence_table, search_metrics
from foretrain.evaluation.search.report import print_summary, write_report
from foretrain.evaluation.search.runs import Searched, jobs_of, open_pool, run_job
from foretrain.predictors.base import PredictorFactory
from foretrain.runtime.study import RunContext, Study
from foretrain.search.guided import PredictorSearch
from foretrain.search.objectives import BenchmarkPool
from foretrain.search.samplers import Sampler
from foretrain.search.strategy import Strategy


class SearchStudy(Study):
    """Lets a predictor-based search with several samplers compete with searches that have no predictor.

    Args:
        benchmark: Where networks are looked up: what a search sees, and what it is judged on.
        predictor: Makes the predictor.
        search: How the predictor is used: a partial of :class:`foretrain.search.guided.PredictorSearch`.
        samplers: Where its candidates come from, by the name of the method.
        baselines: Other searches by name: partials of strategies.
        budget: Networks that a search evaluates.
        runs: Searches of each method; run r begins from the same networks for all that begin with as many.
        only: Names of the methods to run; None runs all.

    Raises:
        ConfigError: A name stands for two methods, or for none.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        predictor: PredictorFactory,
        search: Callable[..., PredictorSearch],
        samplers: dict[str, Sampler],
        baselines: dict[str, Callable[..., Strategy]],
        budget: Annotated[int, Field(ge=5)] = 300,
        runs: Annotated[int, Field(ge=1)] = 20,
        only: list[str] | None = None,
    ) -> None:
        self.benchmark = benchmark
        self.budget = budget
        self.runs = runs
        guided: dict[str, Callable[..., Any]] = {
            name: functools.partial(search, predictor=predictor, sampler=sampler) for name, sampler in samplers.items()
        }
        if twice := guided.keys() & baselines.keys():
            raise ConfigError("baselines", "names a method that samplers name too", sorted(twice))
        methods = guided | baselines
        if unknown := set(only or []) - methods.keys():
            raise ConfigError("only", "names no method", sorted(unknown), sorted(methods))
        self.methods = {name: methods[name] for name in only or methods}

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        start = time.perf_counter()
        pool = open_pool(self.benchmark)
        if self.budget > len(pool.space):
            raise ConfigError("budget", "more than there are networks", self.budget, f"at most {len(pool.space)}")
        for make in self.methods.values():  # one that cannot work is refused before the first of them searches
            make(space=pool.space, seed=context.seed)
        targets = Targets.of(pool)
        folder = context.folder.path / "searches"
        jobs = jobs_of(self.methods, self.benchmark, self.runs, self.budget, 100 - targets.all, context.seed, folder)
        records = context.parallel(run_job, jobs, folder, "searching")
        searched = {
            name: Searched.of([records[f"{name}-{run:03d}"] for run in range(self.runs)]) for name in self.methods
        }
        found = {name: Convergence.of(item, pool, self.budget) for name, item in searched.items()}
        gains = {name: Gains.of(item, pool, targets.all) for name, item in searched.items()}
        table = convergence_table(found, self.budget)
        oracle = {"oracle/seen_error": 100 - pool.seen.max(), "oracle/judged_error": 100 - pool.judged.max()}
        metrics = search_metrics(table, gains, targets.ranks) | oracle | {"networks": float(len(pool.space))}
        context.folder.write_metrics(metrics)
        context.folder.write_predictions(evaluation_table(searched, pool))
        context.folder.write_provenance(context.seed, {"benchmark.json": self.benchmark.benchmark.sha256})
        write_report(context.folder, self.benchmark, pool, searched, found, gains, targets, table)
        print_summary(table, gains, targets)
        return {"search": time.perf_counter() - start}


def evaluation_table(searched: dict[str, Searched], pool: BenchmarkPool) -> pd.DataFrame:
    """Returns one row an evaluated network, in order, for ``predictions.parquet``; accuracies in percent."""
    parts = []
    for method, item in searched.items():
        for run, (members, rounds) in enumerate(zip(item.members, item.rounds, strict=True)):
            parts.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "run": run,
                        "round": rounds,
                        "row": pool.rows[members],
                        "seen": pool.seen[members],
                        "judged": pool.judged[members],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True).astype({"run": np.int64})
