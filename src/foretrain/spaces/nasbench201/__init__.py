"""NAS-Bench-201: 15,625 cells of four nodes with one of five operations on each edge."""

from foretrain.spaces.nasbench201.cells import EDGES, NUM_CELLS, OPERATIONS, Cells201
from foretrain.spaces.nasbench201.network import NASBench201Network
from foretrain.spaces.nasbench201.space import NASBench201

__all__ = ["EDGES", "NUM_CELLS", "OPERATIONS", "Cells201", "NASBench201", "NASBench201Network"]
