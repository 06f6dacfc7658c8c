"""What is to be foreseen on a benchmark, and what judges it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foretrain.benchmarks.table import Benchmark, Rows, open_benchmark
from foretrain.spaces.base import SearchSpace

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """One series of final accuracies; what is None is taken as ``Benchmark.accuracy`` takes it.

    Attributes:
        dataset: The data set.
        split: ``valid``, ``test``, ...
        epochs: Length of the training.
        seed: The seed of the training, or the mean over the seeds.
    """

    dataset: str | None = None
    split: str | None = None
    epochs: int | None = None
    seed: int | Literal["mean"] = "mean"

    def of(self, benchmark: Benchmark) -> FloatArray:
        """Returns the accuracies ``float64[n]`` of all networks, percent; NaN where one was not measured."""
        return benchmark.accuracy(None, self.dataset, self.split, self.seed, self.epochs)


@dataclass(frozen=True)
class BenchmarkTask:
    """A benchmark with the accuracy that estimators see and the one that they are judged on.

    Attributes:
        name: Name or folder of the benchmark; it is opened when it is first needed.
        target: What estimators and searches see and foresee.
        judge: What the networks that they pick are judged on; None where that is the target itself.
    """

    name: str
    target: Target
    judge: Target | None = None

    @cached_property
    def benchmark(self) -> Benchmark:
        """The open benchmark.

        Raises:
            DataError: There is no such benchmark.
        """
        return open_benchmark(self.name)

    @property
    def space(self) -> SearchSpace[Any]:
        """The space of its architectures."""
        return self.benchmark.space

    @cached_property
    def accuracy(self) -> FloatArray:
        """``float64[n]``: what is seen and foreseen, percent; NaN where a network was not measured."""
        return self.target.of(self.benchmark)

    @cached_property
    def judged(self) -> FloatArray:
        """``float64[n]``: what is judged on, percent; NaN where a network was not measured."""
        return self.accuracy if self.judge is None else self.judge.of(self.benchmark)

    @cached_property
    def known(self) -> Rows:
        """``int64[m]``: the rows whose accuracies, both of them, are known."""
        return np.flatnonzero(~np.isnan(self.accuracy) & ~np.isnan(self.judged))
