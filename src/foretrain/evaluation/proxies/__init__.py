"""The studies of zero-cost proxies: scoring whole spaces, and combining scores."""

from foretrain.evaluation.proxies.score_space import Published, ScoreSpace
from foretrain.evaluation.proxies.space_scores import Work

__all__ = ["Published", "ScoreSpace", "Work"]
