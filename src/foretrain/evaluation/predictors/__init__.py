"""Predictors that learn from other networks, compared on equal splits of a benchmark."""

from foretrain.evaluation.predictors.study import ComparePredictors

__all__ = ["ComparePredictors"]
