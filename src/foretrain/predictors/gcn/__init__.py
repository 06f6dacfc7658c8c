"""The GCN that ranks architectures, and the one that foresees their accuracy."""

from foretrain.predictors.gcn.ranker import GCNRanker
from foretrain.predictors.gcn.regressor import GCNRegressor

__all__ = ["GCNRanker", "GCNRegressor"]
