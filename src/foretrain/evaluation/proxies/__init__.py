"""The studies of zero-cost proxies: scoring whole spaces, and combining scores."""

from foretrain.evaluation.proxies.combining import Combination
from foretrain.evaluation.proxies.hybrid_study import HybridProxy
from foretrain.evaluation.proxies.score_space import Published, ScoreSpace
from foretrain.evaluation.proxies.score_table import ScoreColumns
from foretrain.evaluation.proxies.space_scores import ScoringData, Work

__all__ = ["Combination", "HybridProxy", "Published", "ScoreColumns", "ScoreSpace", "ScoringData", "Work"]
