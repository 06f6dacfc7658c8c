"""Before training: scores of untrained networks that cost one batch or none, and combinations of them."""

from foretrain.proxies.scores import Reason, Score, Scores
from foretrain.proxies.scoring import score
from foretrain.proxies.table import PROXIES, Proxy

__all__ = ["PROXIES", "Proxy", "Reason", "Score", "Scores", "score"]
