"""NAS-Bench-101: cells of at most seven vertices and nine edges, with operations on the vertices."""

from foretrain.spaces.nasbench101.cells import (
    ABSENT,
    CONV1X1,
    CONV3X3,
    INPUT,
    MAX_EDGES,
    MAX_VERTICES,
    MAXPOOL3X3,
    OUTPUT,
    Cells101,
)
from foretrain.spaces.nasbench101.network import NASBench101Network
from foretrain.spaces.nasbench101.space import NASBench101
from foretrain.spaces.nasbench101.strings import OPERATION_NAMES

__all__ = [
    "ABSENT",
    "CONV1X1",
    "CONV3X3",
    "INPUT",
    "MAXPOOL3X3",
    "MAX_EDGES",
    "MAX_VERTICES",
    "OPERATION_NAMES",
    "OUTPUT",
    "Cells101",
    "NASBench101",
    "NASBench101Network",
]
