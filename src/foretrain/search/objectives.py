"""What a search asks how good networks are: a table of measured accuracies, or a function of the user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import DataError
from foretrain.search.history import FloatArray, Outcome
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.finite import FiniteSpace


class Objective(ABC):
    """Evaluates networks of a space.

    Attributes:
        space: The space that is searched.
    """

    space: SearchSpace[Any]

    @abstractmethod
    def evaluate(self, archs: Architectures) -> Outcome:
        """Returns the accuracies of networks, or why they could not be had."""


class TableObjective(Objective):
    """Looks accuracies up.

    Args:
        space: The networks of the table.
        accuracy: ``float64[N]``, accuracies of all members.

    Raises:
        DataError: The accuracies are not as many as the members.
    """

    def __init__(self, space: FiniteSpace[Any], accuracy: ArrayLike) -> None:
        self.space = space
        self.accuracy = np.asarray(accuracy, dtype=np.float64)
        if len(self.accuracy) != len(space):
            raise DataError("accuracy", f"{len(self.accuracy)} values for {len(space)} networks", "Give one for each")

    def evaluate(self, archs: Architectures) -> Outcome:
        """Returns what the table holds; NaN is a failed evaluation."""
        found = self.accuracy[self.space.codes(archs).numpy()]
        return Outcome(found, tuple("not in the table" if np.isnan(value) else "" for value in found))


class FunctionObjective(Objective):
    """Calls a function of the user for one network at a time.

    A function that raises does not end the search: that network is recorded as failed, with the reason.

    Args:
        space: The space that is searched.
        function: Takes a batch of one architecture, e.g. to build, train and validate it, and returns its accuracy or
            anything else of which more is better.
    """

    def __init__(self, space: SearchSpace[Any], function: Callable[[Any], float]) -> None:
        self.space = space
        self.function = function

    def evaluate(self, archs: Architectures) -> Outcome:
        """Calls the function for each network; NaN and infinities are failures too."""
        outcomes = [self._evaluate(archs[place]) for place in range(len(archs))]
        return Outcome(np.array([value for value, _ in outcomes]), tuple(reason for _, reason in outcomes))

    def _evaluate(self, arch: Architectures) -> tuple[float, str]:
        try:
            value = float(self.function(arch))
        except Exception as error:  # noqa: BLE001 - whatever the user's training raises is that network's failure
            return np.nan, f"{type(error).__name__}: {error}"
        return (value, "") if np.isfinite(value) else (np.nan, f"its value is {value}")


class BenchmarkPool:
    """The networks of a benchmark whose accuracies are known, each network once.

    Args:
        task: What is seen and what judges.

    Attributes:
        space: The distinct networks; of several names of one network the first that is known stands for it.
        rows: ``int64[N]``, their rows in the benchmark.
        seen: ``float64[N]``, accuracies that a search sees, percent.
        judged: ``float64[N]``, accuracies that judge it, percent.
    """

    def __init__(self, task: BenchmarkTask) -> None:
        known = task.known
        self.space = FiniteSpace(task.space, task.benchmark.architectures[torch.from_numpy(known)])
        self.rows = known[self.space.listed.numpy()]
        self.seen: FloatArray = task.accuracy[self.rows]
        self.judged: FloatArray = task.judged[self.rows]

    def objective(self) -> TableObjective:
        """Returns what a search asks."""
        return TableObjective(self.space, self.seen)
