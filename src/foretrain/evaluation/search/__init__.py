"""Searches on a benchmark: what they find, after how many networks, and the sample-efficiency gain."""

from foretrain.evaluation.search.study import SearchStudy

__all__ = ["SearchStudy"]
