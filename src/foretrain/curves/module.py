"""The source's fit: Adam on the squared error of the published formulas, all curves and families at once.

S. Mintal (master's thesis, algorithm 7 and section 3.2.1) fits one curve and one model at a time. Adam works on every
number by itself, and the loss is summed over curves and families, so that a fit of all of them together takes the very
steps of as many single fits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import torch
from lightning.pytorch import LightningModule
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam

from foretrain.benchmarks.batches import CurveBatch
from foretrain.curves.published import PUBLISHED

Parameters = Mapping[str, Tensor]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class CurveFitModule(LightningModule):
    """Published models of n curves.

    Attributes:
        parameters_of: Model name to ``[n, parameters]``.

    Args:
        curves: Number n of curves.
        models: Names in :data:`~foretrain.curves.published.PUBLISHED`.
        learning_rate: Learning rate of Adam.
        start: Model name to the initial ``[parameters]`` of all curves, as plain numbers; None: all are 1.
    """

    def __init__(
        self,
        curves: int,
        models: Sequence[str],
        learning_rate: float,
        start: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.models = tuple(models)
        self.learning_rate = learning_rate
        initial = start or {name: [1.0] * len(PUBLISHED[name].parameters) for name in models}
        self.parameters_of = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(initial[name]).repeat(curves, 1)) for name in models}
        )

    def forward(self, epochs: Tensor) -> Tensor:
        """Returns the values ``[models, n, t]`` at epochs ``[t]``, percent."""
        return torch.stack([PUBLISHED[name].value(epochs, self.parameters_of[name]) for name in self.models])

    def loss(self, epochs: Tensor, curves: Tensor) -> Tensor:
        """Returns the mean squared error over the observed epochs, ``[models, n]``.

        Args:
            epochs: ``[t]``.
            curves: ``[n, t]``, percent; NaN for what was not observed.
        """
        observed = ~curves.isnan()
        squares = (self.forward(epochs) - curves.nan_to_num(0.0)).square() * observed
        return squares.sum(dim=-1) / observed.sum(dim=-1)

    def training_step(self, batch: CurveBatch, _: int) -> Tensor:
        """Returns the loss of all curves, summed: each gets the gradient that it would have alone."""
        loss = self.loss(epochs_of(batch.curves), batch.curves)
        self.log("train/loss", loss.mean(), batch_size=batch.batch_size)
        return loss.sum()

    def configure_optimizers(self) -> Adam:
        """Adam over all parameters."""
        return Adam(self.parameters(), lr=self.learning_rate)


class Initialisation(ABC):
    """Where all curves start from."""

    @abstractmethod
    def start(self, curves: Tensor, models: Sequence[str], steps: int) -> dict[str, list[float]]:
        """Returns the initial parameters of each model.

        Args:
            curves: ``[n, t]``, the partial curves.
            models: Names of the models.
            steps: Steps that each curve is allowed in all.
        """

    def steps_left(self, steps: int) -> int:
        """Returns how many steps are left for the curves themselves."""
        return steps


class StandardInitialisation(Initialisation):
    """Every parameter is 1."""

    def start(self, curves: Tensor, models: Sequence[str], steps: int) -> dict[str, list[float]]:
        """Returns ones."""
        return {name: [1.0] * len(PUBLISHED[name].parameters) for name in models}


class TwoPointInitialisation(Initialisation):
    """A fit to two points that need no data: chance at epoch 0 and 100% at the end.

    Models without a value at epoch 0 (powers, logarithms, b/x) get the first point at epoch 1.

    Args:
        classes: Number of classes; chance is 100% over it.
        horizon: The final epoch.
        learning_rate: Learning rate of the fit, which takes as many steps as each curve is allowed.
    """

    def __init__(self, classes: Count, horizon: Count, learning_rate: Positive = 0.2) -> None:
        self.points = torch.tensor([[100 / classes, 100.0]])
        self.horizon = horizon
        self.learning_rate = learning_rate

    def start(self, curves: Tensor, models: Sequence[str], steps: int) -> dict[str, list[float]]:
        """Returns the fits of the two points."""
        start: dict[str, list[float]] = {}
        for name in models:
            epochs = torch.tensor([0.0 if PUBLISHED[name].has_zero else 1.0, float(self.horizon)]).to(curves)
            module = CurveFitModule(1, [name], self.learning_rate).to(curves.device)
            fit_by_gradient(module, self.points.to(curves), steps, epochs)
            start |= _single(module)
        return start


class PrefitInitialisation(Initialisation):
    """A fit to the average of all partial curves, which takes a share of the whole time.

    Args:
        share: Share of the time of all curves together that the average gets; the curves get the rest.
        learning_rate: Learning rate of the fit to the average.
        most_steps: The average stops there: a single curve does not move any more after a few thousand steps.
    """

    def __init__(
        self,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.05,
        learning_rate: Positive = 0.2,
        most_steps: Count = 20_000,
    ) -> None:
        self.share = share
        self.learning_rate = learning_rate
        self.most_steps = most_steps

    def start(self, curves: Tensor, models: Sequence[str], steps: int) -> dict[str, list[float]]:
        """Returns the fits of the average curve."""
        average = curves.nanmean(dim=0, keepdim=True)
        module = CurveFitModule(1, models, self.learning_rate).to(curves.device)
        fit_by_gradient(module, average, min(self.most_steps, max(1, round(self.share * steps * len(curves)))))
        return _single(module)

    def steps_left(self, steps: int) -> int:
        """Returns the steps without the share of the average."""
        return max(1, round((1 - self.share) * steps))


def fit_by_gradient(module: CurveFitModule, curves: Tensor, steps: int, epochs: Tensor | None = None) -> None:
    """Takes Adam's steps in a bare loop: what a Trainer does around a step costs more than this step.

    Args:
        module: The models, changed in place.
        curves: ``[n, t]``, percent, on the module's device.
        steps: Number of steps.
        epochs: ``[t]``; None: 1, 2, ...
    """
    for _ in fit_in_stages(module, curves, [steps], epochs):
        pass


def fit_in_stages(
    module: CurveFitModule, curves: Tensor, stages: Sequence[int], epochs: Tensor | None = None
) -> Iterator[int]:
    """Like :func:`fit_by_gradient`, with a pause after each of the given numbers of steps, which rise.

    Yields:
        The number of steps done.
    """
    epochs = epochs_of(curves) if epochs is None else epochs
    optimizer = module.configure_optimizers()
    done = 0
    for stage in stages:
        for _ in range(stage - done):
            optimizer.zero_grad()
            torch.autograd.backward(module.loss(epochs, curves).sum())
            optimizer.step()
        done = stage
        yield done


def epochs_of(curves: Tensor) -> Tensor:
    """Returns the epochs ``[t]`` of the columns."""
    return torch.arange(1, curves.shape[1] + 1, dtype=curves.dtype, device=curves.device)


def _single(module: CurveFitModule) -> dict[str, list[float]]:
    return {name: module.parameters_of[name].detach()[0].tolist() for name in module.models}
