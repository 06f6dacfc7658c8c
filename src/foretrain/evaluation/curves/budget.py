"""How the source's initialisations rank networks over the time that a fit may take."""

from __future__ import annotations

import time
from typing import Annotated

import pandas as pd
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.curves.forecasting import extrapolate
from foretrain.curves.module import PrefitInitialisation, StandardInitialisation, TwoPointInitialisation
from foretrain.evaluation.curves.judging import zero_shot
from foretrain.evaluation.curves.population import curve_population
from foretrain.evaluation.curves.report import write_grid_report
from foretrain.evaluation.curves.source_fit import SourceFit, ensemble_at
from foretrain.evaluation.figures import Reference, lines_with_bands
from foretrain.metrics.error import mae
from foretrain.metrics.rank import bootstrap_interval, spearman
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.study import RunContext, Study

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


class CurveBudget(Study):
    """Compares the initialisations, each with its best settings, by Spearman at several time budgets.

    Args:
        benchmark: Where the curves come from.
        share: Share of the epochs that is observed.
        budgets: Seconds of each model for each curve.
        networks: So many networks; None takes all with a whole curve.
        classes: Number of classes of the task; chance is 100% over it.
        steps_per_second: See :class:`~foretrain.evaluation.curves.source_fit.SourceFit`.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        share: Share,
        budgets: Annotated[list[Seconds], Field(min_length=1)],
        networks: Annotated[int, Field(ge=3)] | None = 100,
        classes: Annotated[int, Field(ge=2)] = 10,
        steps_per_second: Annotated[int, Field(ge=1)] = 100,
    ) -> None:
        self.benchmark = benchmark
        self.share = share
        self.budgets = sorted(budgets)
        self.networks = networks
        self.classes = classes
        self.steps_per_second = steps_per_second

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        population = curve_population(self.benchmark, self.networks, context.seed)
        epochs = max(2, round(self.share * population.horizon))
        partial, final = population.valid[:, :epochs], population.final
        fits = self._fits(population.horizon)
        rows = []
        with progress_bar("fitting", total=len(fits) * len(self.budgets)) as advance:
            for name, seconds, fit in ((n, s, f) for n, f in fits.items() for s in self.budgets):
                module = SourceFit(fit.initialisation, fit.learning_rate, seconds, self.steps_per_second).fit(partial)
                forecast = ensemble_at(module, population.horizon)
                bounds = bootstrap_interval(spearman, final, forecast, seed=context.seed)
                row = {"method": name, "x": seconds, "value": spearman(final, forecast), "mae": mae(final, forecast)}
                rows.append(row | {"lower": bounds.lower, "upper": bounds.upper})
                advance()
        table = pd.DataFrame(rows)
        ours = spearman(final, extrapolate(partial, population.horizon).score)
        names = table["method"].str.replace(" ", "_") + table["x"].map("/spearman@{:g}s".format)
        metrics = dict(zip(names, table["value"].astype(float), strict=True))
        context.folder.write_metrics(metrics | {"zero_shot/spearman": ours})
        context.folder.write_predictions(table)
        context.folder.write_provenance(context.seed, {self.benchmark.name: self.benchmark.benchmark.sha256})
        references = [
            Reference(spearman(final, partial.max(axis=1)), "best so far"),
            Reference(ours, "zero-shot score of the same curves"),
        ]
        if population.train is not None:
            with_train = spearman(final, zero_shot(population, epochs, 0.9).score)
            references.append(Reference(with_train, "zero-shot score with training curves"))
        labels = ("seconds of the source for each model and curve", "Spearman with the final value\n(higher is better)")
        path = context.folder.figures / "budget.png"
        lines_with_bands(table, path, "Ranking over the budget of a fit", labels, self.benchmark.name, references)
        about = (
            f"{len(partial)} networks, {epochs} of {population.horizon} epochs observed. A second of the source stands "
            f"for {self.steps_per_second} steps. Intervals: 95%, bootstrap over networks. The best value so far ranks "
            f"at {references[0].value:.3f}, the zero-shot forecast at {ours:.3f}."
        )
        shown = table.rename(columns={"x": "seconds", "value": "spearman"})
        write_grid_report(context, "Budgets of the gradient fit", about, shown, ["budget"])
        return {"study": time.perf_counter() - started}

    def _fits(self, horizon: int) -> dict[str, SourceFit]:
        """The initialisations with the settings that the source found best for each."""
        return {
            "standard": SourceFit(StandardInitialisation(), 0.2),
            "two points": SourceFit(TwoPointInitialisation(self.classes, horizon), 0.05),
            "prefit average": SourceFit(PrefitInitialisation(0.05, 0.2), 0.05),
        }
