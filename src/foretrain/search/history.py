"""What a search has evaluated so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretrain.errors import DataError
from foretrain.spaces.base import Architectures, SearchSpace

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What evaluating n networks gave.

    Attributes:
        accuracy: ``float64[n]``, higher is better; NaN where the evaluation failed.
        reason: Why each failed; empty where it did not.
    """

    accuracy: FloatArray
    reason: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class History:
    """The n networks that were evaluated, in order.

    Attributes:
        space: Their space.
        archs: The networks; None before the first.
        accuracy: ``float64[n]``; NaN where an evaluation failed.
        reason: Why it failed; empty where it did not.
        round: ``int64[n]``, in which round each was proposed; round 0 is the first.
        codes: ``int64[n]``, the space's codes of the networks.
    """

    space: SearchSpace[Any]
    archs: Architectures | None
    accuracy: FloatArray
    reason: tuple[str, ...]
    round: NDArray[np.int64]
    codes: Tensor

    @classmethod
    def empty(cls, space: SearchSpace[Any]) -> History:
        """Returns the history of a search that has not begun."""
        none = np.empty(0)
        return cls(space, None, none, (), none.astype(np.int64), torch.empty(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.accuracy)

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return int(self.round[-1]) + 1 if len(self) else 0

    def extended(self, archs: Architectures, outcome: Outcome) -> History:
        """Returns the history after one more round."""
        return History(
            self.space,
            archs if self.archs is None else type(archs).cat([self.archs, archs]),
            np.concatenate([self.accuracy, outcome.accuracy]),
            self.reason + outcome.reason,
            np.concatenate([self.round, np.full(len(archs), self.rounds)]),
            torch.cat([self.codes, self.space.codes(archs)]),
        )

    def best(self, count: int, latest: int | None = None) -> NDArray[np.int64]:
        """Returns the places of the best networks, best first; failed ones are never among them.

        Args:
            count: At most so many.
            latest: Look among the last so many that did not fail only.
        """
        places = self.succeeded[-latest:] if latest else self.succeeded
        order = np.argsort(-self.accuracy[places], kind="stable")
        return places[order[:count]]

    @property
    def succeeded(self) -> NDArray[np.int64]:
        """Places of the networks whose evaluation did not fail, in order."""
        return np.flatnonzero(~np.isnan(self.accuracy))

    def at(self, places: Sequence[int] | NDArray[np.int64]) -> Architectures:
        """Returns some of the networks.

        Raises:
            DataError: There are none yet.
        """
        if self.archs is None:
            raise DataError("history", "holds no network", "Evaluate some first")
        return self.archs[torch.as_tensor(np.asarray(places))]
