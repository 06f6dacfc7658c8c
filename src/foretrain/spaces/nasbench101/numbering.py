"""One number for each distinct NAS-Bench-101 cell, thousands of times faster to get than the official hash.

Of all numberings of a cell's vertices, the one with the least (edge bits, operations) stands for it, as in
:func:`foretrain.spaces.nasbench101.enumeration.enumerate_cells`. Edge bits and operations under another numbering are
linear in the cell, so all numberings of all cells of one size are a single matrix product.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

import torch
from torch import Tensor

from foretrain.spaces.nasbench101.cells import EDGES, MAX_VERTICES, NUM_OPERATIONS, Cells101

_INNER = MAX_VERTICES - 2
_OPERATION_CODES = NUM_OPERATIONS**_INNER
_BACKWARDS = float(_OPERATION_CODES << len(EDGES))
"""What an edge weighs that a numbering turns backwards: more than any cell that it leaves in order."""

_CHUNK = 1 << 13
_EDGE_PLACES = [MAX_VERTICES * source + target for source, target in EDGES]


def cell_codes(cells: Cells101) -> Tensor:
    """Returns ``int64[n]``, equal exactly for isomorphic cells; ascending over ``enumerate_cells()``.

    Args:
        cells: Cells without dead vertices (see ``prune``).
    """
    sizes = cells.num_vertices
    codes = torch.empty(len(cells), dtype=torch.int64, device=cells.ops.device)
    elements = _elements(cells)
    for size in torch.bincount(sizes).nonzero()[:, 0].tolist():
        rows = (sizes == size).nonzero()[:, 0]
        weights = _numberings(size).to(cells.ops.device)
        least = torch.cat([(elements[chunk] @ weights).amin(1) for chunk in rows.split(_CHUNK)])
        codes[rows] = least.long() + size * int(_BACKWARDS)
    return codes


def _elements(cells: Cells101) -> Tensor:
    """``float64[n, 26]``: the 21 possible edges and the operation codes of vertices 1 to 5."""
    edges = cells.adjacency.flatten(1)[:, _EDGE_PLACES]
    operations = cells.ops[:, 1:-1]
    operations = torch.where((operations >= 0) & (operations < NUM_OPERATIONS), operations, 0)
    return torch.cat([edges, operations], dim=1).double()


@cache
def _numberings(size: int) -> Tensor:
    """``float64[26, (size - 2)!]``: what each element adds to the code under each numbering of the inner vertices."""
    columns = []
    for inner in permutations(range(1, size - 1)):
        new = [0, *inner, size - 1]
        edges = [_edge_weight(new[x], new[y]) if y < size else 0.0 for x, y in EDGES]
        operations = [
            float(NUM_OPERATIONS ** (size - 2 - new[vertex])) if vertex < size - 1 else 0.0
            for vertex in range(1, MAX_VERTICES - 1)
        ]
        columns.append(edges + operations)
    return torch.tensor(columns, dtype=torch.float64).T.contiguous()


def _edge_weight(source: int, target: int) -> float:
    return float(_OPERATION_CODES << EDGES.index((source, target))) if source < target else _BACKWARDS
