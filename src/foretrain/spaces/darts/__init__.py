"""DARTS: a normal and a reduction cell of four nodes with two of seven operations each."""

from foretrain.spaces.darts.cells import OPERATIONS, CellPairs
from foretrain.spaces.darts.network import DARTSNetwork
from foretrain.spaces.darts.space import DARTS

__all__ = ["DARTS", "OPERATIONS", "CellPairs", "DARTSNetwork"]
