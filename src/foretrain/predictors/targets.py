"""What a model learns in place of the accuracy in percent: monotone transforms, standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from foretrain.predictors.base import FloatArray

Transform = Literal["accuracy", "log_error"]
_SMALLEST_ERROR = 0.05


@dataclass(frozen=True)
class Target:
    """A transform of accuracies to mean 0 and standard deviation 1 on the training set, and back.

    ``log_error`` is minus the logarithm of the error ``100 - accuracy``: it spreads the best networks, whose
    errors differ by little, and pulls those that did not learn towards the others.

    Attributes:
        transform: What is standardised.
        mean: Its mean on the training set.
        scale: Its standard deviation there; 1 where all are equal.
        lowest: The lowest accuracy that is ever foreseen.
        highest: The highest one.
    """

    transform: Transform
    mean: float
    scale: float
    lowest: float = 0.0
    highest: float = 100.0

    @classmethod
    def of(cls, accuracies: FloatArray, transform: Transform = "accuracy") -> Target:
        """Fits the transform to the accuracies ``float64[n]`` of the training set."""
        values = _FORWARD[transform](accuracies)
        spread = float(values.std())
        return cls(transform, float(values.mean()), spread if spread > np.finfo(np.float32).eps else 1.0)

    def forward(self, accuracies: FloatArray) -> FloatArray:
        """Turns accuracies into what is learned."""
        return (_FORWARD[self.transform](accuracies) - self.mean) / self.scale

    def backward(self, values: FloatArray) -> FloatArray:
        """Turns what a model foresees into accuracies within 0 to 100."""
        accuracies = _BACKWARD[self.transform](values * self.scale + self.mean)
        clipped: FloatArray = np.clip(accuracies, self.lowest, self.highest)
        return clipped


def _log_error(accuracies: FloatArray) -> FloatArray:
    return -np.log(np.maximum(100 - accuracies, _SMALLEST_ERROR))


def _from_log_error(values: FloatArray) -> FloatArray:
    return 100 - np.exp(np.minimum(-values, np.log(100)))


def _same(values: FloatArray) -> FloatArray:
    return values


_FORWARD = {"accuracy": _same, "log_error": _log_error}
_BACKWARD = {"accuracy": _same, "log_error": _from_log_error}
