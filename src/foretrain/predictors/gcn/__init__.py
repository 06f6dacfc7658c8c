"""The GCN that ranks architectures, and the one that foresees their accuracy."""

from foretrain.predictors.gcn.ranker import GCNRanker

__all__ = ["GCNRanker"]
