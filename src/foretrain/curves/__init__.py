"""Early in training: parametric learning curves, their batched fit, and the forecasts made of them."""

from foretrain.curves.forecasting import CurveForecast, CurveForecaster, extrapolate

__all__ = ["CurveForecast", "CurveForecaster", "extrapolate"]
