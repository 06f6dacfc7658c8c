"""The scores of a benchmark's networks that are judged and combined."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretrain.benchmarks.table import Rows
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreColumns:
    """Which of a benchmark's scores are used: each under the name of its proxy, with the benchmark's own name for it.

    Attributes:
        independent: Data-independent scores.
        dependent: Data-dependent scores.
        baselines: What scores have to beat: parameters, FLOPs.
        dataset: The data set that they were computed on; None where there is only one.
        among: Use only networks that have this score of the benchmark, where scores cover a part of the space.
        designed_on: Share of the networks, drawn with a fixed seed, on which methods were designed: left out.
    """

    independent: dict[str, str]
    dependent: dict[str, str]
    baselines: dict[str, str]
    dataset: str | None = None
    among: str | None = None
    designed_on: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.designed_on < 1:
            raise ConfigError("scores.designed_on", "is no share", self.designed_on, "0 or more, less than 1")

    def read(self, task: BenchmarkTask) -> ScoreTable:
        """Reads the scores and accuracies of all networks whose accuracies are known.

        Raises:
            DataError: The benchmark lacks one of the scores.
        """
        rows = task.known
        if self.among is not None:
            rows = rows[~np.isnan(self._column(task, self.among)[rows])]
        # the fixed seed is part of what is left out: every run leaves out the same networks
        order = np.random.default_rng(2024).permutation(rows)
        rows = np.sort(order[round(self.designed_on * len(rows)) :])
        return ScoreTable(
            independent=self._columns(task, self.independent, rows),
            dependent=self._columns(task, self.dependent, rows),
            baselines=self._columns(task, self.baselines, rows),
            rows=rows,
            accuracy=task.accuracy[rows],
            judged=task.judged[rows],
        )

    def seconds(self, task: BenchmarkTask) -> dict[str, float]:
        """Returns the median seconds that each score took, where the benchmark has them as costs."""
        found = {}
        for name, column in {**self.independent, **self.dependent, **self.baselines}.items():
            series = [
                item for item in task.benchmark.series if item.kind == "cost" and item.name == f"{column}_seconds"
            ]
            if any(self.dataset in (None, item.dataset) for item in series):
                found[name] = float(np.nanmedian(task.benchmark.cost(name=f"{column}_seconds", dataset=self.dataset)))
        return found

    def _columns(self, task: BenchmarkTask, names: dict[str, str], rows: Rows) -> dict[str, FloatArray]:
        return {name: self._column(task, column)[rows] for name, column in names.items()}

    def _column(self, task: BenchmarkTask, name: str) -> FloatArray:
        try:
            return task.benchmark.scores(name, dataset=self.dataset)
        except DataError as error:
            remedy = f"Choose other scores=..., or make them: python train.py experiment=score_space ({error})"
            raise DataError(task.name, f"has no score '{name}' on {self.dataset or 'its data set'}", remedy) from error


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores and accuracies of n networks.

    Attributes:
        independent: Data-independent scores ``[n]`` by name; not finite where there is none.
        dependent: Data-dependent scores, likewise.
        baselines: Parameters, FLOPs.
        rows: ``[n]``, rows of the benchmark.
        accuracy: ``[n]``, what methods may learn from, percent.
        judged: ``[n]``, what they are judged on, percent.
    """

    independent: dict[str, FloatArray]
    dependent: dict[str, FloatArray]
    baselines: dict[str, FloatArray]
    rows: NDArray[np.int64]
    accuracy: FloatArray
    judged: FloatArray

    @property
    def everything(self) -> dict[str, FloatArray]:
        """All scores by name."""
        return {**self.dependent, **self.independent, **self.baselines}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: NDArray[np.integer]) -> ScoreTable:
        """Selects networks."""
        parts = {
            name: {key: values[index] for key, values in getattr(self, name).items()}
            for name in ("independent", "dependent", "baselines")
        }
        return replace(self, **parts, rows=self.rows[index], accuracy=self.accuracy[index], judged=self.judged[index])
