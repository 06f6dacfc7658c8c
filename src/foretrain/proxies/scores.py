"""What a proxy says about a network: a value, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd


class Reason(StrEnum):
    """Why a proxy has no value for a network."""

    NO_LABELS = "no_labels"
    """The batch has no labels."""
    NO_CLASSES = "no_classes"
    """The labels are no classes: one integer a sample."""
    ONE_SAMPLE = "one_sample"
    """Samples are compared, and the batch has one only."""
    ONE_BATCH = "one_batch"
    """Gradients of several batches are compared, and there is one only."""
    NO_WEIGHTS = "no_weights"
    """The network has no convolution or linear layer."""
    NO_RECTIFIER = "no_rectifier"
    """The network has no ReLU-like activation."""
    NO_RUNNING_STATISTICS = "no_running_statistics"
    """Batch normalisation keeps no running variance."""
    DISCRETE_INPUT = "discrete_input"
    """The inputs are integers: there is no gradient with respect to them, and no noise to add."""
    NON_FINITE_GRADIENT = "non_finite_gradient"
    """A gradient is infinite or NaN."""
    OVERFLOW = "overflow"
    """Numbers grow beyond the floating-point range."""
    NO_SIGNAL = "no_signal"
    """Nothing that enters the network reaches its output."""
    SINGULAR_KERNEL = "singular_kernel"
    """Two samples (or a combination of some) cannot be told apart by the network's activations."""
    CONSTANT_GRADIENT = "constant_gradient"
    """The gradient of a sample is the same at every input: its correlation is not defined."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device has too little memory for this network and batch."""
    FAILED = "failed"
    """The network, the loss or a derivative raised an error, which the detail tells."""


class Unavailable(Exception):  # noqa: N818 - it is no error: the next proxy goes on
    """Raised where a proxy has no value.

    Args:
        reason: The code.
        detail: What exactly happened, where the code does not say it all.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else str(reason))


@dataclass(frozen=True)
class Score:
    """What one proxy says about one network.

    Attributes:
        proxy: Name of the proxy.
        value: The value in the proxy's own sign, NaN where there is none.
        direction: 1 where a higher value promises a better network, -1 where a lower one does.
        needs_data: Whether it reads real inputs.
        needs_labels: Whether it reads labels.
        seconds: Time of the passes it was read off and of the reading: about what it costs alone. Proxies that share
            a pass each count it.
        standard_error: Standard error of the mean over several initialisations; NaN for a single one.
        reason: Why there is no value, or None.
        detail: More on the reason.
    """

    proxy: str
    value: float
    direction: int
    needs_data: bool
    needs_labels: bool
    seconds: float
    standard_error: float = math.nan
    reason: Reason | None = None
    detail: str = ""

    @property
    def signed(self) -> float:
        """The value with its sign applied: higher is better."""
        return self.direction * self.value


@dataclass(frozen=True)
class Scores(Mapping[str, Score]):
    """The scores of one network, by the name of the proxy.

    Attributes:
        scores: The scores.
        seconds: Time of all of them together.
    """

    scores: Mapping[str, Score]
    seconds: float

    def __getitem__(self, proxy: str) -> Score:
        return self.scores[proxy]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def to_frame(self) -> pd.DataFrame:
        """Returns one row a proxy."""
        return pd.DataFrame([asdict(score) for score in self.values()])


def average(repetitions: Sequence[Scores]) -> Scores:
    """Averages the scores of several initialisations of one network.

    A proxy without a value for one of them has none: a mean over the luckier ones would be another quantity.

    Args:
        repetitions: Scores by the same proxies; a single one is returned as it is.
    """
    first = repetitions[0]
    if len(repetitions) == 1:
        return first
    averaged = {proxy: _average([scores[proxy] for scores in repetitions]) for proxy in first}
    return Scores(averaged, sum(scores.seconds for scores in repetitions))


def _average(scores: Sequence[Score]) -> Score:
    seconds = sum(score.seconds for score in scores)
    failed = next((score for score in scores if score.reason is not None), None)
    if failed is not None:
        return replace(failed, seconds=seconds)
    values = np.array([score.value for score in scores])
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return replace(scores[0], value=float(values.mean()), standard_error=error, seconds=seconds)
