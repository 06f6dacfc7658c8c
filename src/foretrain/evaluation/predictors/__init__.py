"""Predictors that learn from other networks, compared on equal splits of a benchmark."""

from foretrain.evaluation.predictors.ablation import AblatePredictor
from foretrain.evaluation.predictors.embedding import EmbeddingStudy
from foretrain.evaluation.predictors.fitting import FitPredictor
from foretrain.evaluation.predictors.study import ComparePredictors

__all__ = ["AblatePredictor", "ComparePredictors", "EmbeddingStudy", "FitPredictor"]
