"""The 6,466 classes into which the authors of NAS-Bench-201 sort its cells.

Their scheme unfolds the cell into nested sums: an operation that is used twice is written twice, so that shared and
duplicated computation fall together and the networks of one class can differ in their parameters. A sum of zeros only
(``#+#``) is not taken for zero. :func:`foretrain.spaces.nasbench201.canonical.canonical_codes` is the exact notion.
"""

from __future__ import annotations

from functools import cache

import torch

from foretrain.spaces.nasbench201.cells import EDGES, NUM_CELLS, NUM_NODES, OPERATIONS, Cells201, from_codes, to_codes

_ZERO, _INPUT = "#", "0"


def published_keys(cells: Cells201) -> list[str]:
    """Returns the published ``unique_str`` of each cell."""
    keys = _keys()
    return [keys[code] for code in to_codes(cells).tolist()]


@cache
def _keys() -> list[str]:
    """The keys of all cells, by operation code."""
    return [_unfold(tuple(ops)) for ops in from_codes(torch.arange(NUM_CELLS)).ops.tolist()]


def _unfold(ops: tuple[int, ...]) -> str:
    nodes = [_INPUT]
    for node in range(1, NUM_NODES):
        terms = [_term(OPERATIONS[op], nodes[edge[0]]) for op, edge in zip(ops, EDGES, strict=True) if edge[1] == node]
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _term(operation: str, source: str) -> str:
    if operation == "none" or source == _ZERO:
        return _ZERO
    return source if operation == "skip_connect" else f"({source})@{operation}"
