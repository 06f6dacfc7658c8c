"""The official hash of a NAS-Bench-101 cell: an md5 graph invariant, equal for isomorphic cells.

It is ``hash_module`` of the published benchmark: every vertex starts with the md5 of (out-degree, in-degree, label);
then, as many times as there are vertices, each takes the md5 of the sorted hashes of its predecessors, of its
successors, and of its own hash; the md5 of all sorted hashes is the key. Labels: input -1, output -2, operations
0 .. 2. Nearly all vertices have a hash of their own after two rounds, so none of the 57 md5 of a cell of seven vertices
can be shared with others.
"""

from __future__ import annotations

from functools import cache
from hashlib import md5
from itertools import product

import numpy as np
from numpy.typing import NDArray

from foretrain.spaces.nasbench101.cells import MAX_VERTICES, NUM_OPERATIONS, Cells101

_CHUNK = 4096
_HEX = 32
_LABELS = (*range(NUM_OPERATIONS), -1, -2)

_Hashes = NDArray[np.bytes_]
_Adjacency = NDArray[np.uint8]


def module_hashes(cells: Cells101) -> list[str]:
    """Returns the official hash, 32 hexadecimal digits, of each cell.

    Args:
        cells: Cells without dead vertices (see ``prune``): the hash covers whatever is there.
    """
    adjacency, ops = cells.adjacency.cpu().numpy(), cells.ops.cpu().numpy()
    num_vertices = cells.num_vertices.cpu().numpy()
    hashes = np.empty(len(cells), dtype=f"U{_HEX}")
    for size in np.unique(num_vertices):
        rows = np.flatnonzero(num_vertices == size)
        for chunk in np.split(rows, range(_CHUNK, len(rows), _CHUNK)):
            hashes[chunk] = _hash_graphs(adjacency[chunk, :size, :size], ops[chunk, :size])
    keys: list[str] = hashes.tolist()
    return keys


def _hash_graphs(adjacency: _Adjacency, ops: NDArray[np.int8]) -> list[str]:
    """Hashes graphs ``adjacency[m, v, v]`` of the same number of vertices."""
    hashes = _first_hashes()[adjacency.sum(axis=2), adjacency.sum(axis=1), ops]
    for _ in range(adjacency.shape[1]):
        hashes, adjacency = _sort_vertices(hashes, adjacency)
        hashes = _next_hashes(hashes, adjacency)
    return [_hexdigest(str(row)) for row in np.sort(hashes, axis=1).astype(str).tolist()]


@cache
def _first_hashes() -> _Hashes:
    """Hashes of ``[out-degree, in-degree, operation code]``, for all there can be."""
    degrees = range(MAX_VERTICES)
    keys = [_hexdigest(str(key)) for key in product(degrees, degrees, _LABELS)]
    return np.array(keys, dtype=f"S{_HEX}").reshape(MAX_VERTICES, MAX_VERTICES, len(_LABELS))


def _sort_vertices(hashes: _Hashes, adjacency: _Adjacency) -> tuple[_Hashes, _Adjacency]:
    """Numbers the vertices in the order of their hashes, so that all neighbours come sorted."""
    order = hashes.argsort(axis=1)
    adjacency = np.take_along_axis(adjacency, order[:, :, None], axis=1)
    return np.take_along_axis(hashes, order, axis=1), np.take_along_axis(adjacency, order[:, None, :], axis=2)


def _next_hashes(hashes: _Hashes, adjacency: _Adjacency) -> _Hashes:
    """One round: ``md5(predecessors | successors | own)`` for each vertex of ``hashes[m, v]``."""
    size = adjacency.shape[1]
    own = np.broadcast_to(np.eye(size, dtype=np.uint8), adjacency.shape)
    parts = np.concatenate([adjacency.swapaxes(1, 2), adjacency, own], axis=2).astype(bool)
    text = np.broadcast_to(np.tile(hashes, 3)[:, None, :], parts.shape)[parts].tobytes()
    lengths = _HEX * parts.reshape(-1, 3, size).sum(axis=2)
    ends = lengths.cumsum().tolist()
    digests = b"".join(
        md5(b"|".join((text[start:middle], text[middle:end], text[end : end + _HEX])), usedforsecurity=False).digest()
        for start, middle, end in zip([0, *ends[2:-1:3]], ends[0::3], ends[1::3], strict=True)
    )
    return np.frombuffer(digests.hex().encode(), dtype=f"S{_HEX}").reshape(hashes.shape)


def _hexdigest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
