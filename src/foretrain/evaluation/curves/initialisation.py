"""Which learning rates serve the source's initialisations best."""

from __future__ import annotations

import time
from typing import Annotated

import pandas as pd
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.curves.module import Initialisation, PrefitInitialisation, StandardInitialisation, TwoPointInitialisation
from foretrain.evaluation.curves.population import curve_population
from foretrain.evaluation.curves.report import write_grid_report
from foretrain.evaluation.curves.source_fit import SourceFit, ensemble_at, fit_errors
from foretrain.evaluation.figures import lines_with_bands
from foretrain.metrics.rank import spearman
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.study import RunContext, Study

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


class CurveInitialisation(Study):
    """Fits the source's three models with every setting of its grids and reports the mean error of the fits.

    Args:
        benchmark: Where the curves come from.
        share: Share of the epochs that is observed.
        networks: So many networks; None takes all with a whole curve.
        learning_rates: Learning rates with all parameters starting at 1, and of the two-point initialisation.
        prefit_shares: Shares of the time for the average curve.
        prefit_rates: Pairs of learning rates, of the average curve and of the curves.
        classes: Number of classes of the task; chance is 100% over it.
        seconds: Time of each model for each curve.
        steps_per_second: See :class:`~foretrain.evaluation.curves.source_fit.SourceFit`.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        share: Share,
        learning_rates: Annotated[list[Rate], Field(min_length=1)],
        prefit_shares: list[Share],
        prefit_rates: list[list[Rate]],
        networks: Annotated[int, Field(ge=3)] | None = 50,
        classes: Annotated[int, Field(ge=2)] = 10,
        seconds: Annotated[float, Field(gt=0)] = 20.0,
        steps_per_second: Annotated[int, Field(ge=1)] = 100,
    ) -> None:
        self.benchmark = benchmark
        self.share = share
        self.learning_rates = learning_rates
        self.prefit_shares = prefit_shares
        self.prefit_rates = prefit_rates
        self.networks = networks
        self.classes = classes
        self.seconds = seconds
        self.steps_per_second = steps_per_second

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        population = curve_population(self.benchmark, self.networks, context.seed)
        epochs = max(2, round(self.share * population.horizon))
        partial = population.valid[:, :epochs]
        settings = self._settings(population.horizon)
        rows = []
        with progress_bar("fitting", total=len(settings)) as advance:
            for (name, setting, rate), start in settings.items():
                module = self._fit(start, rate).fit(partial)
                rank = spearman(population.final, ensemble_at(module, population.horizon))
                error = float(fit_errors(module, partial).mean())
                rows.append({"initialisation": name, "setting": setting, "rate": rate, "mae": error, "spearman": rank})
                advance()
        table = pd.DataFrame(rows)
        context.folder.write_metrics(_metrics(table))
        context.folder.write_predictions(table)
        context.folder.write_provenance(context.seed, {self.benchmark.name: self.benchmark.benchmark.sha256})
        lines = table.rename(columns={"rate": "x", "mae": "value"}).assign(lower=float("nan"), upper=float("nan"))
        # one line for each share: the rate of the average goes with that of the curves
        lines["method"] = lines["initialisation"] + " " + lines["setting"].str.split(" at ").str[0]
        labels = ("learning rate of the curves", "mean absolute error of the fits (points)")
        path = context.folder.figures / "rates.png"
        lines_with_bands(lines, path, "Initialisations", labels, self.benchmark.name, log_x=True)
        about = (
            f"{len(partial)} networks, {epochs} of {population.horizon} epochs observed; mean absolute error of the "
            "fits on the observed epochs in points, and Spearman of the forecast with the final value. "
            f"{self.seconds:g} seconds of the source stand for {round(self.seconds * self.steps_per_second)} steps of "
            "each model."
        )
        write_grid_report(context, "Initialisations of the gradient fit", about, table, ["rates"])
        return {"study": time.perf_counter() - started}

    def _fit(self, start: Initialisation, rate: float) -> SourceFit:
        return SourceFit(start, rate, self.seconds, self.steps_per_second)

    def _settings(self, horizon: int) -> dict[tuple[str, str, float], Initialisation]:
        """Name, setting and learning rate of every fit, with its initialisation."""
        settings: dict[tuple[str, str, float], Initialisation] = {}
        for rate in self.learning_rates:
            settings["standard", "", rate] = StandardInitialisation()
            settings["two points", "", rate] = TwoPointInitialisation(self.classes, horizon)
        for share in self.prefit_shares:
            for first, rate in self.prefit_rates:
                settings["prefit average", f"{share:.0%} at {first:g}", rate] = PrefitInitialisation(share, first)
        return settings


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    """``standard/mae``: the best of each initialisation's grid; and all settings under their own names."""
    metrics = {}
    for name, rows in table.groupby("initialisation", sort=False):
        metrics[f"{str(name).replace(' ', '_')}/best_mae"] = float(rows["mae"].min())
    for record in table.to_dict("records"):
        name = f"{record['initialisation']} {record['setting']}".strip().replace(" ", "_")
        metrics[f"{name}/lr_{record['rate']:g}/mae"] = float(record["mae"])
        metrics[f"{name}/lr_{record['rate']:g}/spearman"] = float(record["spearman"])
    return metrics
