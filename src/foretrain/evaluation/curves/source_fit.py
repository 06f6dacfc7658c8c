"""The source's way from partial curves to forecasts: its three models, its initialisations, its budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from foretrain.curves.module import CurveFitModule, Initialisation, StandardInitialisation, epochs_of, fit_in_stages
from foretrain.curves.published import FINAL_ENSEMBLE

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SourceFit:
    """Settings of the gradient fit.

    Attributes:
        initialisation: Where the curves start from.
        learning_rate: Learning rate of the curves' own fits.
        seconds: Time of each model for each curve.
        steps_per_second: What a second stands for: the source gives time, not steps, and no rate of steps.
        models: Names of the models whose mean is the forecast.
    """

    initialisation: Initialisation = field(default_factory=StandardInitialisation)
    learning_rate: Annotated[float, Field(gt=0)] = 0.2
    seconds: Annotated[float, Field(gt=0)] = 20.0
    steps_per_second: Annotated[int, Field(ge=1)] = 100
    models: Sequence[str] = FINAL_ENSEMBLE

    @property
    def steps(self) -> int:
        """All steps that each model may take for each curve."""
        return max(1, round(self.seconds * self.steps_per_second))

    def forecast(self, curves: FloatArray, horizon: int) -> FloatArray:
        """Returns the mean ``[n]`` of the models at the horizon, percent, within 0 to 100."""
        return ensemble_at(self.fit(curves), horizon)

    def fit(self, curves: FloatArray) -> CurveFitModule:
        """Returns the fitted models."""
        return [module for _, module in self.stages(curves, [self.steps])][-1]

    def stages(self, curves: FloatArray, steps: Sequence[int]) -> Iterator[tuple[int, CurveFitModule]]:
        """Fits with pauses; the initialisation may use up a share of every step count.

        Args:
            curves: ``[n, t]``, percent.
            steps: Numbers of steps after which to pause, rising.

        Yields:
            The number of steps and the models, which go on changing.
        """
        values = torch.from_numpy(curves).float()
        start = self.initialisation.start(values, self.models, steps[-1])
        module = CurveFitModule(len(values), self.models, self.learning_rate, start)
        left = [self.initialisation.steps_left(count) for count in steps]
        for count, _ in zip(steps, fit_in_stages(module, values, left), strict=True):
            yield count, module


def ensemble_at(module: CurveFitModule, horizon: int) -> FloatArray:
    """Returns the mean ``[n]`` of a module's models at the horizon, within 0 to 100."""
    with torch.no_grad():
        values = module(torch.tensor([float(horizon)]))[..., 0]
    mean: FloatArray = values.clamp(0, 100).mean(dim=0).double().numpy()
    return mean


def fit_errors(module: CurveFitModule, curves: FloatArray) -> FloatArray:
    """Returns the mean absolute error ``[models]`` of the fits on the observed curves, points."""
    values = torch.from_numpy(curves).float()
    with torch.no_grad():
        difference: Tensor = (module(epochs_of(values)) - values).abs()
    errors: FloatArray = difference.mean(dim=(1, 2)).double().numpy()
    return errors
