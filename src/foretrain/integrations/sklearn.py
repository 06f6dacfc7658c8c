"""Estimators for scikit-learn: what is learnt from finished networks, in its pipelines, searches and validations."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from foretrain.curves.forecasting import CurveForecast, CurveForecaster
from foretrain.errors import ConfigError, DataError
from foretrain.forecast import Forecast
from foretrain.integrations.run_forecast import FloatArray
from foretrain.predictors.base import PredictorFactory
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.spaces.base import Architectures, SearchSpace


class CurveRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Foresees final accuracies from the first epochs of learning curves, taught by runs that have finished.

    See :class:`foretrain.curves.CurveForecaster`, whose numbers these are.

    Args:
        horizon: The final epoch, counted from 1; None: the epoch after the last of the partial curves.
        level: Probability that an interval should hold.
    """

    def __init__(self, horizon: int | None = None, level: float = 0.9) -> None:
        self.horizon = horizon
        self.level = level

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learns from finished runs.

        Args:
            X: ``float[m, t]``, percent: the first t epochs of five runs at least; NaN is what was not observed.
            y: ``float[m]``, percent: their values at the horizon.

        Raises:
            ConfigError: The horizon does not lie behind the curves.
            DataError: A value is missing or outside 0 to 100, or there are too few runs.
        """
        begun, final = np.array(X, dtype=np.float64, ndmin=2), np.asarray(y, dtype=np.float64)
        if final.shape != begun.shape[:1]:
            raise DataError("y", f"has shape {final.shape} for {len(begun)} curves", "Give one final value a curve")
        self.n_features_in_ = begun.shape[1]
        horizon = self.n_features_in_ + 1 if self.horizon is None else self.horizon
        if horizon <= self.n_features_in_:
            raise ConfigError("horizon", "does not lie behind the curves", horizon, f"> {self.n_features_in_}, or None")
        finished = np.full((len(begun), horizon), np.nan)
        finished[:, : self.n_features_in_] = begun
        finished[:, -1] = final
        self.forecaster_ = CurveForecaster(horizon, finished)
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Returns the expected final values ``float64[n]`` of partial curves ``float[n, t]``, percent."""
        mean: FloatArray = np.asarray(self.forecast(X).mean)
        return mean

    def forecast(self, X: ArrayLike) -> CurveForecast:
        """Returns the whole forecast: intervals, quantiles, probabilities.

        Raises:
            NotFittedError: Nothing was learnt yet.
        """
        if not hasattr(self, "forecaster_"):
            raise NotFittedError("CurveRegressor: call fit first")
        forecaster: CurveForecaster = self.forecaster_
        return forecaster.forecast(X, level=self.level)


class ArchitectureRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Foresees accuracies of architectures that nobody has trained, taught by others.

    Architectures are the strings that their space is published with, ``[n]`` or ``[n, 1]``.

    Args:
        space: The space of all architectures.
        predictor: Makes the predictor from ``space`` and ``seed``: a class of :mod:`foretrain.predictors`, or a partial
            of one.
        seed: Seed of everything random.
    """

    def __init__(
        self, space: SearchSpace[Any], predictor: PredictorFactory = GaussianProcessRegressor, seed: int = 0
    ) -> None:
        self.space = space
        self.predictor = predictor
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learns from architectures X and their accuracies y, ``float[n]``, percent.

        Raises:
            DataError: A string is no architecture of the space, an accuracy is wrong, or there are too few.
        """
        self.predictor_ = self.predictor(space=self.space, seed=self.seed).fit(self._parsed(X), y)
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Returns the expected accuracies ``float64[n]``, or of predictors that only rank their scores."""
        found = self.forecast(X)
        return found.score if found.mean is None else found.mean

    def forecast(self, X: ArrayLike) -> Forecast:
        """Returns the whole forecast.

        Raises:
            NotFittedError: Nothing was learnt yet.
        """
        if not hasattr(self, "predictor_"):
            raise NotFittedError("ArchitectureRegressor: call fit first")
        forecast: Forecast = self.predictor_.predict(self._parsed(X))
        return forecast

    def _parsed(self, X: ArrayLike) -> Architectures:
        parsed: Architectures = self.space.parse([str(item) for item in np.ravel(np.asarray(X))])
        return parsed
