"""Bayesian linear regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import BayesianRidge

from foretrain.predictors.base import FloatArray
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.tabular import Guess, TabularRegressor


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear model with the covariance of its weights.

    Attributes:
        weights: ``float64[d]``.
        intercept: The value at the mean of the training set.
        covariance: ``float64[d, d]``, of the weights.
        noise: Variance of what the model does not explain.
    """

    weights: FloatArray
    intercept: float
    covariance: FloatArray
    noise: float

    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` standardised columns."""
        variance = np.einsum("md,de,me->m", columns, self.covariance, columns, optimize=True) + self.noise
        return Guess(columns @ self.weights + self.intercept, np.sqrt(variance))


class BayesianLinear(TabularRegressor[Linear]):
    """Linear regression with Gaussian priors whose precisions maximise the evidence (MacKay 1992)."""

    @property
    def interval_from(self) -> int:
        """Its forecasts always have an interval."""
        return self.fewest

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> Linear:
        model = BayesianRidge().fit(columns, values)
        return Linear(model.coef_, float(model.intercept_), model.sigma_, float(1 / model.alpha_))
