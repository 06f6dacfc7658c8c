"""What was observed of a batch of runs, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foretrain.curves.distribution import HIGHEST, LOWEST
from foretrain.errors import DataError

FloatArray = NDArray[np.float64]
TrainMetric = Literal["accuracy", "loss"]


@dataclass(frozen=True)
class Observation:
    """The curves of n runs; column e - 1 is epoch e, NaN is what was not observed.

    Attributes:
        valid: ``float64[n, t]``, what is foreseen, percent.
        train: ``float64[n, t]``, the training accuracy in percent, or what stands for it; None where it is not known.
    """

    valid: FloatArray
    train: FloatArray | None = None

    @classmethod
    def of(
        cls, name: str, curves: ArrayLike, train_curves: ArrayLike | None, train_metric: TrainMetric, horizon: int
    ) -> Observation:
        """Checks curves as a user gives them.

        A training loss L becomes ``100 exp(-L)``, for a cross-entropy the (geometric) mean probability of the right
        class in percent.

        Raises:
            DataError: A curve is empty, longer than the horizon or outside 0 to 100; names the first one.
        """
        valid = _checked(name, curves, horizon)
        if train_curves is None:
            return cls(valid)
        train = np.array(train_curves, dtype=np.float64, ndmin=2)
        if train.shape[0] != valid.shape[0]:
            problem = f"has {len(train)} training curves for {len(valid)} runs"
            raise DataError(name, problem, "Give one training curve for each run, or none at all")
        if train_metric == "loss":
            train = 100 * np.exp(-np.maximum(train, 0))
        return cls(valid, _checked(f"training curves of {name}", train, horizon))

    def __len__(self) -> int:
        return len(self.valid)

    def __getitem__(self, rows: NDArray[np.int64]) -> Observation:
        return Observation(self.valid[rows], None if self.train is None else self.train[rows])

    @property
    def kinds(self) -> list[FloatArray]:
        """The kinds of curves that there are."""
        return [self.valid] if self.train is None else [self.valid, self.train]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """``int64[n]``: the last observed epoch of each run."""
        return last_epochs(self.valid)

    def until(self, epoch: int) -> Observation:
        """Returns what was known after an epoch."""
        return Observation(self.valid[:, :epoch], None if self.train is None else self.train[:, :epoch])


def last_epochs(curves: FloatArray) -> NDArray[np.int64]:
    """Returns the last observed epoch ``int64[n]`` of curves, 0 for an empty one."""
    epochs: NDArray[np.int64] = (~np.isnan(curves) * np.arange(1, curves.shape[1] + 1)).max(axis=1, initial=0)
    return epochs


def _checked(name: str, curves: ArrayLike, horizon: int) -> FloatArray:
    array = np.array(curves, dtype=np.float64, ndmin=2)
    if array.ndim != 2:
        raise DataError(name, f"have shape {array.shape}", "Give one row for each run and one column for each epoch")
    if array.shape[1] > horizon:
        problem = f"have {array.shape[1]} epochs, the horizon is epoch {horizon}"
        raise DataError(name, problem, "Give a horizon that is not behind the curves, or cut the curves")
    with np.errstate(invalid="ignore"):
        bad = (array < LOWEST) | (array > HIGHEST)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        problem = f"row {row} is {array[row, column]:g} at epoch {column + 1}, outside {LOWEST:g} to {HIGHEST:g}"
        raise DataError(name, problem, "Give accuracies in percent")
    empty = np.isnan(array).all(axis=1)
    if empty.any():
        raise DataError(name, f"row {int(empty.argmax())} has no value", "Leave out runs of which nothing is known")
    return array
