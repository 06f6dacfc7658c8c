"""The metrics as torchmetrics classes, for the end of an epoch.

They collect every prediction of the epoch, gather over devices, keep one entry for each ``arch_id`` and then call the
functional core. Lightning pads the last batches of distributed validation and test with repeated networks so that
all ranks have equally many; a rank correlation over them would be wrong, hence the ``arch_id``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from foretrain.metrics.checks import FloatArray
from foretrain.metrics.gain import sample_efficiency_gain
from foretrain.metrics.rank import kendall, spearman
from foretrain.metrics.selection import best_first, regret, top_k_precision


class _EpochMetric(Metric, ABC):
    """Collects scores and truths; a subclass names the functional core.

    Args:
        **options: Options of ``torchmetrics.Metric``, e.g. ``sync_on_compute``.
    """

    is_differentiable = False
    full_state_update = False
    score: list[Tensor]
    truth: list[Tensor]
    arch_id: list[Tensor]

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - torchmetrics' own
        super().__init__(**options)
        for name in ("score", "truth", "arch_id"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, score: Tensor, truth: Tensor, arch_id: Tensor) -> None:
        """Adds a batch.

        Args:
            score: ``[b]``, what was foreseen. Higher is better.
            truth: ``[b]``, what the networks reached. Higher is better.
            arch_id: ``int64[b]``, one number for each network, e.g. its row in the benchmark.
        """
        self.score.append(score.detach())
        self.truth.append(truth.detach())
        self.arch_id.append(arch_id)

    def compute(self) -> Tensor:
        """Returns the metric over the distinct networks of the epoch, ``float32[]``."""
        score, truth, arch_id = (dim_zero_cat(state).cpu() for state in (self.score, self.truth, self.arch_id))
        _, first = np.unique(arch_id.numpy(), return_index=True)
        value = self._value(truth.double().numpy()[first], score.double().numpy()[first])
        return torch.tensor(value, dtype=torch.float32, device=self.device)

    @abstractmethod
    def _value(self, truth: FloatArray, score: FloatArray) -> float:
        """The functional core."""


class Spearman(_EpochMetric):
    """Spearman's rank correlation, see :func:`foretrain.metrics.rank.spearman`."""

    higher_is_better = True

    def _value(self, truth: FloatArray, score: FloatArray) -> float:
        return spearman(truth, score)


class Kendall(_EpochMetric):
    """Kendall's tau-b, see :func:`foretrain.metrics.rank.kendall`."""

    higher_is_better = True

    def _value(self, truth: FloatArray, score: FloatArray) -> float:
        return kendall(truth, score)


class TopKPrecision(_EpochMetric):
    """Share of the k truly best networks among the ``size`` with the best score.

    See :func:`foretrain.metrics.selection.top_k_precision`.

    Args:
        k: How many of the best are looked for.
        size: How many networks the score selects.
        **options: Options of ``torchmetrics.Metric``.
    """

    higher_is_better = True

    def __init__(
        self,
        k: Annotated[int, Field(ge=1)] = 5,
        size: Annotated[int, Field(ge=1)] = 10,
        **options: Any,  # noqa: ANN401 - torchmetrics' own
    ) -> None:
        super().__init__(**options)
        self.k = k
        self.size = size

    def _value(self, truth: FloatArray, score: FloatArray) -> float:
        return top_k_precision(truth, best_first(score)[: self.size], self.k)


class Regret(_EpochMetric):
    """What is lost by taking the network with the best score, see :func:`foretrain.metrics.selection.regret`."""

    higher_is_better = False

    def _value(self, truth: FloatArray, score: FloatArray) -> float:
        return regret(truth, score)


class SampleEfficiencyGain(Metric):
    """Gain in decibel of what was proposed over what it was proposed from, at one target error.

    See :func:`foretrain.metrics.gain.sample_efficiency_gain`.

    Args:
        target: The error to reach, in the unit of the errors.
        **options: Options of ``torchmetrics.Metric``.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = True
    space: list[Tensor]
    candidates: list[Tensor]

    def __init__(self, target: float, **options: Any) -> None:  # noqa: ANN401 - torchmetrics' own
        super().__init__(**options)
        self.target = target
        for name in ("space", "candidates"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, errors: Tensor, proposed: Tensor) -> None:
        """Adds networks.

        Args:
            errors: ``[b]``, their errors.
            proposed: ``bool[b]``, which of them are candidates; all of them are of the space.
        """
        self.space.append(errors.detach())
        self.candidates.append(errors.detach()[proposed])

    def compute(self) -> Tensor:
        """Returns the gain, ``float32[]``; minus infinity where no candidate reaches the target."""
        space, candidates = (dim_zero_cat(state).double().cpu().numpy() for state in (self.space, self.candidates))
        gain = sample_efficiency_gain(space, candidates, [self.target])
        return torch.tensor(gain[0], dtype=torch.float32, device=self.device)
