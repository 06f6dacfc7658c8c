"""All distinct cells of NAS-Bench-101, one numbering of the vertices each."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from foretrain.spaces.nasbench101.cells import ABSENT, EDGES, MAX_EDGES, MAX_VERTICES, NUM_OPERATIONS, Cells101

_Ints = NDArray[np.int64]


@cache
def enumerate_cells() -> Cells101:
    """Returns the 423,624 cells, ordered by number of vertices, edge bits and operations.

    Of all numberings of a cell's vertices the one with the least (edge bits, operations) stands for it. The batch is
    made once and shared: it must not be written to.
    """
    return Cells101.cat([_cells_of_size(size) for size in range(2, MAX_VERTICES + 1)])


def _cells_of_size(size: int) -> Cells101:
    bits = _live_graphs(size)
    orders = np.array([(0, *inner, size - 1) for inner in permutations(range(1, size - 1))])
    renumbered = _renumber(bits, orders)
    least = renumbered.min(axis=1) == bits
    bits, automorphic = bits[least], renumbered[least] == bits[least, None]

    inner_ops = np.array(list(product(range(NUM_OPERATIONS), repeat=size - 2)), dtype=np.int64)
    places = NUM_OPERATIONS ** np.arange(size - 2)[::-1]
    reordered = inner_ops[:, orders[:, 1:-1] - 1] @ places
    smaller = reordered < np.arange(len(inner_ops))[:, None]

    graph, kind = np.nonzero(automorphic.astype(np.float32) @ smaller.T.astype(np.float32) == 0)
    padded = np.pad(inner_ops, ((0, 0), (0, MAX_VERTICES - size)), constant_values=ABSENT)
    return Cells101.from_table(bits[graph], np.full(len(graph), size), padded[kind])


def _live_graphs(size: int) -> _Ints:
    """Returns edge bits of the graphs of at most nine edges where every vertex is on a path from first to last."""
    edges = EDGES[: size * (size - 1) // 2]
    bits = np.arange(2 ** len(edges))
    bits = bits[np.bitwise_count(bits) <= MAX_EDGES]
    for vertex in range(size):
        leaving = sum(1 << place for place, edge in enumerate(edges) if edge[0] == vertex)
        arriving = sum(1 << place for place, edge in enumerate(edges) if edge[1] == vertex)
        for needed in (mask for mask in (leaving, arriving) if mask):
            bits = bits[bits & needed != 0]
    return bits


def _renumber(bits: _Ints, orders: _Ints) -> _Ints:
    """Returns ``[graphs, orders]``: the edge bits after each renumbering, where new vertex v is old ``order[v]``.

    Where an edge would lead backwards, the result is larger than any edge bits.
    """
    size = orders.shape[1]
    places = np.arange(size * (size - 1) // 2)
    sources, targets = np.array(EDGES[: len(places)]).T
    weights = np.full((size, size), 1 << len(EDGES))
    weights[sources, targets] = 1 << places
    new_number = orders.argsort(axis=1)
    new_weights = weights[new_number[:, sources], new_number[:, targets]]
    present = bits[:, None] >> places & 1
    renumbered: _Ints = present @ new_weights.T
    return renumbered
