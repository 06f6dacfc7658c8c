"""Batches of NAS-Bench-101 cells as arrays: their codes, pruning, and what makes a cell valid.

A cell is a directed acyclic graph of at most seven vertices and nine edges; its vertices are numbered so that every
edge leads to a higher number (Ying et al. 2019, NAS-Bench-101: Towards Reproducible Neural Architecture Search).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from foretrain.errors import DataError
from foretrain.spaces.base import Architectures

MAX_VERTICES = 7
MAX_EDGES = 9

ABSENT = -1
CONV3X3 = 0
CONV1X1 = 1
MAXPOOL3X3 = 2
INPUT = 3
OUTPUT = 4

NUM_OPERATIONS = 3
"""Operations of inner vertices: the codes 0, 1, 2, in the official order."""

EDGES = tuple((source, target) for target in range(MAX_VERTICES) for source in range(target))
"""The 21 possible edges; edge x -> y stands at place x + y (y - 1) / 2, whatever the number of vertices."""

_EDGE_PLACES = [MAX_VERTICES * source + target for source, target in EDGES]
_INNER = MAX_VERTICES - 2


@dataclass(frozen=True, eq=False)
class Cells101(Architectures):
    """n cells; vertices are numbered in topological order and absent ones come last.

    A cell of v vertices has the input at vertex 0, operations at 1 .. v-2 and the output at vertex v-1, as published;
    rows and columns of absent vertices are zero. Cells may hold dead vertices, which lie on no path from input to
    output: ``prune`` removes them.

    Attributes:
        adjacency: ``uint8[n, 7, 7]``, strictly upper triangular: entry ``[i, x, y]`` is 1 for an edge x -> y, else 0.
        ops: ``int8[n, 7]``, what each vertex does: ``CONV3X3`` 0, ``CONV1X1`` 1, ``MAXPOOL3X3`` 2, ``INPUT`` 3,
            ``OUTPUT`` 4, and ``ABSENT`` -1, so that ``ops[..., None] == arange(5)`` is the one-hot code.

    Raises:
        ValueError: A field has another shape.
    """

    adjacency: Tensor
    ops: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adjacency.shape[1:] != (MAX_VERTICES, MAX_VERTICES) or self.ops.shape[1:] != (MAX_VERTICES,):
            shapes = f"adjacency {tuple(self.adjacency.shape)} and ops {tuple(self.ops.shape)}"
            raise ValueError(f"Cells101 needs adjacency [n, 7, 7] and ops [n, 7], not {shapes}")

    @property
    def num_vertices(self) -> Tensor:
        """``int64[n]``: vertices that are not absent, input and output included."""
        return (self.ops != ABSENT).sum(dim=1)

    @property
    def num_edges(self) -> Tensor:
        """``uint8[n]``: edges of each cell."""
        return self.adjacency.flatten(1).sum(dim=1, dtype=torch.uint8)

    @classmethod
    def from_table(cls, edge_bits: ArrayLike, num_vertices: ArrayLike, ops: ArrayLike) -> Self:
        """Reads the compact form: three integer columns per cell.

        Args:
            edge_bits: ``int[n]``, bit x + y (y - 1) / 2 stands for the edge x -> y.
            num_vertices: ``int[n]``, 2 to 7.
            ops: ``int[n, 5]``, operations of vertices 1 .. v-2 in the codes 0, 1, 2, then -1.

        Raises:
            DataError: A row has an impossible value; names the first such row.
        """
        bits, vertices = np.array(edge_bits, dtype=np.int32), np.array(num_vertices, dtype=np.int32)
        inner = np.array(ops, dtype=np.int8).reshape(-1, _INNER)
        _check_table(bits, vertices, inner)
        edges = torch.from_numpy((bits[:, None] >> np.arange(len(EDGES), dtype=np.int32) & 1).astype(np.uint8))
        cells = cls(*cells_from_genes(edges, torch.from_numpy(inner)).tensors())
        cells.ops[:, -1] = ABSENT
        cells.ops[torch.arange(len(cells)), torch.from_numpy(vertices) - 1] = OUTPUT
        return cells

    def to_table(self) -> tuple[NDArray[np.int32], NDArray[np.int8], NDArray[np.int8]]:
        """Writes the compact form ``(edge_bits, num_vertices, ops)`` that ``from_table`` reads."""
        edges = self.adjacency.flatten(1)[:, _EDGE_PLACES].cpu().numpy()
        bits = edges @ (1 << np.arange(len(EDGES), dtype=np.int32))
        inner = torch.where(self.ops[:, 1:-1] == OUTPUT, ABSENT, self.ops[:, 1:-1])
        return bits, self.num_vertices.cpu().numpy().astype(np.int8), inner.cpu().numpy()


def cells_from_genes(edges: Tensor, inner_ops: Tensor) -> Cells101:
    """Returns cells of seven vertices from independent elements, whatever their validity.

    Args:
        edges: ``uint8[n, 21]``, 1 where the edge at that place of ``EDGES`` is there.
        inner_ops: ``int8[n, 5]``, operations of vertices 1 to 5.
    """
    adjacency = edges.new_zeros(len(edges), MAX_VERTICES**2)
    adjacency[:, _EDGE_PLACES] = edges
    ops = inner_ops.new_full((len(edges), MAX_VERTICES), INPUT)
    ops[:, 1:-1] = inner_ops
    ops[:, -1] = OUTPUT
    return Cells101(adjacency.view(-1, MAX_VERTICES, MAX_VERTICES), ops)


def genes_from_cells(cells: Cells101) -> tuple[Tensor, Tensor]:
    """Returns ``edges`` and ``inner_ops`` of cells whose output is vertex 6: the inverse of ``cells_from_genes``."""
    return cells.adjacency.flatten(1)[:, _EDGE_PLACES], cells.ops[:, 1:-1]


def prune(cells: Cells101) -> Cells101:
    """Removes dead vertices and closes the gaps; the others keep their order.

    A cell whose output cannot be reached from its input ends without any vertex.
    """
    live = live_vertices(cells)
    edges = cells.adjacency * live[:, :, None] * live[:, None, :]
    ops = torch.where(live, cells.ops, ABSENT)
    return rearrange(Cells101(edges, ops), torch.argsort(~live, dim=1, stable=True))


def live_vertices(cells: Cells101) -> Tensor:
    """``bool[n, 7]``: the vertices on a path from input to output; none where there is no such path."""
    edges = cells.adjacency.bool()
    from_input, to_output = cells.ops == INPUT, cells.ops == OUTPUT
    for vertex in range(1, MAX_VERTICES):
        from_input[:, vertex] |= (edges[:, :vertex, vertex] & from_input[:, :vertex]).any(dim=1)
    for vertex in range(MAX_VERTICES - 2, -1, -1):
        to_output[:, vertex] |= (edges[:, vertex, vertex + 1 :] & to_output[:, vertex + 1 :]).any(dim=1)
    return from_input & to_output


def is_valid(cells: Cells101) -> Tensor:
    """``bool[n]``: whether a path leads from input to output and at most nine edges are on such paths."""
    return is_valid_pruned(prune(cells))


def is_valid_pruned(cells: Cells101) -> Tensor:
    """The same as ``is_valid``, for cells that come from ``prune``."""
    return (cells.ops[:, 0] == INPUT) & (cells.num_edges <= MAX_EDGES)


def prune_valid(cells: Cells101) -> Cells101:
    """Removes dead vertices of cells that must be valid.

    Raises:
        DataError: A cell is not valid; names the first one.
    """
    pruned = prune(cells)
    invalid = (~is_valid_pruned(pruned)).nonzero()
    if len(invalid):
        row = int(invalid[0])
        linked = bool(pruned.ops[row, 0] == INPUT)
        problem = f"{int(pruned.num_edges[row])} edges are live" if linked else "no path leads from input to output"
        raise DataError(f"cells[{row}]", problem, f"A valid cell has such a path and at most {MAX_EDGES} live edges.")
    return pruned


def rearrange(cells: Cells101, source: Tensor) -> Cells101:
    """Returns cells whose vertex v is vertex ``source[i, v]`` of the given cell i (``int64[n, 7]``)."""
    rows = cells.adjacency.gather(1, source[:, :, None].expand(-1, -1, MAX_VERTICES))
    columns = rows.gather(2, source[:, None, :].expand(-1, MAX_VERTICES, -1))
    return Cells101(columns, cells.ops.gather(1, source))


def _check_table(bits: NDArray[np.int32], vertices: NDArray[np.int32], ops: NDArray[np.int8]) -> None:
    _require(np.isin(vertices, range(2, MAX_VERTICES + 1)), "the number of vertices is outside 2 .. 7")
    _require(bits >> vertices * (vertices - 1) // 2 == 0, "edge_bits names a vertex that is absent")
    inner = np.arange(1, _INNER + 1) < vertices[:, None] - 1
    fits = np.where(inner, (ops >= 0) & (ops < NUM_OPERATIONS), ops == ABSENT)
    _require(np.asarray(fits.all(axis=1)), "an operation is not 0, 1, 2 within the inner vertices and -1 after them")


def _require(good: NDArray[np.bool_], problem: str) -> None:
    if not good.all():
        raise DataError(f"cell table, row {good.argmin()}", problem, "Check the columns and their order.")
