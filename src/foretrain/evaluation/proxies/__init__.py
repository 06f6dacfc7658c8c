"""The studies of zero-cost proxies: scoring whole spaces, and combining scores."""

from foretrain.evaluation.proxies.score_space import ScoreSpace

__all__ = ["ScoreSpace"]
