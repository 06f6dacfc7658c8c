"""The NAS-Bench-101 space: drawing, changing, naming and building cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from foretrain.spaces.base import SearchSpace
from foretrain.spaces.checks import check_pairs, check_rate, check_single
from foretrain.spaces.nasbench101.cells import (
    ABSENT,
    EDGES,
    MAX_EDGES,
    MAX_VERTICES,
    NUM_OPERATIONS,
    Cells101,
    cells_from_genes,
    genes_from_cells,
    is_valid,
    is_valid_pruned,
    prune,
    prune_valid,
    rearrange,
)
from foretrain.spaces.nasbench101.encoders import ENCODERS, FEATURE_NAMES, VOCABULARY
from foretrain.spaces.nasbench101.enumeration import enumerate_cells
from foretrain.spaces.nasbench101.hashing import module_hashes
from foretrain.spaces.nasbench101.network import PUBLISHED_MOMENTUM, NASBench101Network
from foretrain.spaces.nasbench101.numbering import cell_codes
from foretrain.spaces.nasbench101.strings import format_cells, parse_cells
from foretrain.spaces.relaxation import Relaxation

_INNER = MAX_VERTICES - 2
_ATTEMPTS = 50


class NASBench101(SearchSpace[Cells101]):
    """The 423,624 cells of NAS-Bench-101 in a skeleton whose size is free; the defaults are the published one.

    Drawn, mutated and crossed cells come without dead vertices.

    Args:
        stem_channels: Channels of the stem and the first stack; at least five, as five vertices may share them.
        stacks: Number of stacks; between two of them the image is halved and the channels are doubled.
        cells_per_stack: Number of equal cells in each stack.
        batch_norm_momentum: Share of a new batch in the running statistics. The published 0.003 needs thousands of
            steps before a network can be evaluated at all; trainings of some hundred steps want 0.1.
    """

    name = "nasbench101"
    encoders = ENCODERS
    vocabulary = VOCABULARY
    feature_names = FEATURE_NAMES

    def __init__(
        self,
        stem_channels: Annotated[int, Field(ge=5)] = 128,
        stacks: Annotated[int, Field(ge=1)] = 3,
        cells_per_stack: Annotated[int, Field(ge=1)] = 3,
        batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] = PUBLISHED_MOMENTUM,
    ) -> None:
        self.stem_channels = stem_channels
        self.stacks = stacks
        self.cells_per_stack = cells_per_stack
        self.batch_norm_momentum = batch_norm_momentum

    def sample(self, n: int, generator: torch.Generator) -> Cells101:
        """Draws n cells uniformly from the 423,624 distinct ones, with replacement.

        Not from the encodings: those favour small cells, input -> output alone is every tenth of the valid ones.
        """
        cells = self.enumerate()
        return cells[torch.randint(len(cells), (n,), generator=generator)]

    def enumerate(self) -> Cells101:
        """Returns all 423,624 distinct cells, ordered by number of vertices, edge bits and operations.

        Of all numberings of a cell's vertices the one with the least (edge bits, operations) stands for it.
        """
        return enumerate_cells()

    def relaxation(self) -> Relaxation[Cells101]:
        """Returns cells of seven vertices whose 21 edges, nine of them at most, and five operations are free."""
        labels = len(VOCABULARY.labels)
        vertices = torch.zeros(MAX_VERTICES, labels)
        vertices[0, 0] = vertices[-1, -1] = 1
        inner = torch.ones(MAX_VERTICES, dtype=torch.bool)
        inner[[0, -1]] = False
        edges = torch.ones(MAX_VERTICES, MAX_VERTICES, dtype=torch.bool).triu(1)
        fixed = torch.zeros(MAX_VERTICES, MAX_VERTICES)
        return Relaxation(fixed, edges, vertices, inner, VOCABULARY.operation_columns, MAX_EDGES, _decode)

    def mutate(self, archs: Cells101, generator: torch.Generator, rate: float) -> Cells101:
        """Redraws every edge and operation with probability ``rate``, from all its values.

        A cell of fewer than seven vertices is first laid at random into seven, where the vacant vertices have no
        edges and a random operation. Children that are not valid are drawn again, 50 times at most; after that the
        parent stays.

        Raises:
            DataError: A parent is not valid.
            ValueError: ``rate`` is not between 0 and 1.
        """
        check_rate(rate)
        parents = prune_valid(archs).to("cpu")

        def propose(rows: Tensor) -> Cells101:
            edges, ops = genes_from_cells(_spread(parents[rows], _slot_order(len(rows), generator)))
            new_edges, new_ops = _random_genes(len(rows), generator)
            redrawn_edges = torch.rand(edges.shape, generator=generator) < rate
            redrawn_ops = (torch.rand(ops.shape, generator=generator) < rate) | (ops == ABSENT)
            return cells_from_genes(
                torch.where(redrawn_edges, new_edges, edges), torch.where(redrawn_ops, new_ops, ops)
            )

        return _propose_until_valid(parents, propose).to(archs.ops.device)

    def crossover(self, first: Cells101, second: Cells101, generator: torch.Generator) -> Cells101:
        """Takes every edge and operation from one of the two parents, by a coin each.

        Both parents are laid into seven vertices as in ``mutate``, in the same places where they have the same size;
        the operation of a vertex that only one parent has comes from that parent. Children that are not valid are
        drawn again, 50 times at most; after that the first parent stays.

        Raises:
            DataError: A parent is not valid.
            ValueError: The batches differ in length.
        """
        check_pairs(first, second)
        parents, others = prune_valid(first).to("cpu"), prune_valid(second).to("cpu")

        def propose(rows: Tensor) -> Cells101:
            slots = _slot_order(len(rows), generator)
            edges, ops = genes_from_cells(_spread(parents[rows], slots))
            other_edges, other_ops = genes_from_cells(_spread(others[rows], slots))
            swapped_ops = _coins(ops, generator) & (other_ops != ABSENT) | (ops == ABSENT)
            return cells_from_genes(
                torch.where(_coins(edges, generator), other_edges, edges), torch.where(swapped_ops, other_ops, ops)
            )

        return _propose_until_valid(parents, propose).to(first.ops.device)

    def prune(self, archs: Cells101) -> Cells101:
        """Removes the vertices that lie on no path from input to output; without such a path none is left."""
        return prune(archs)

    def valid(self, archs: Cells101) -> Tensor:
        """``bool[n]``: whether a path leads from input to output and at most nine edges are left after pruning."""
        return is_valid(archs)

    def parse(self, strings: Sequence[str]) -> Cells101:
        """Reads ``DIGITS:NAME,NAME,...``: the published adjacency digits and operation names of each cell.

        Raises:
            DataError: A string is malformed or describes no valid cell; names its position.
        """
        return parse_cells(strings)

    def format(self, archs: Cells101) -> list[str]:
        """Writes ``DIGITS:NAME,NAME,...``, as ``parse`` reads it; dead vertices are kept."""
        return format_cells(archs)

    def canonical(self, archs: Cells101) -> list[str]:
        """Returns the official module hashes of the pruned cells.

        Raises:
            DataError: A cell is not valid.
        """
        return module_hashes(prune_valid(archs))

    def codes(self, archs: Cells101) -> Tensor:
        """Returns ``int64[n]``, equal exactly where the pruned cells are isomorphic; ascending over ``enumerate()``.

        Raises:
            DataError: A cell is not valid.
        """
        return cell_codes(prune_valid(archs))

    def build(self, arch: Cells101, in_channels: int, num_classes: int) -> NASBench101Network:
        """Builds the network of one cell in this space's skeleton.

        Raises:
            DataError: The cell is not valid, or there is not exactly one.
        """
        check_single(arch)
        cell = prune_valid(arch)
        size = int(cell.num_vertices)
        return NASBench101Network(
            cell.adjacency[0, :size, :size].tolist(),
            cell.ops[0, :size].tolist(),
            in_channels,
            num_classes,
            self.stem_channels,
            self.stacks,
            self.cells_per_stack,
            self.batch_norm_momentum,
        )


def _decode(edges: Tensor, operations: Tensor) -> tuple[Cells101, Tensor]:
    """The pruned cells of free elements and, ``bool[n]``, which are valid."""
    sources, targets = zip(*EDGES, strict=True)
    genes = edges[:, sources, targets].to(torch.uint8)
    pruned = prune(cells_from_genes(genes, operations[:, 1:-1].to(torch.int8)))
    return pruned, is_valid_pruned(pruned)


def _random_genes(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    edges = torch.randint(0, 2, (n, len(EDGES)), generator=generator, dtype=torch.uint8)
    ops = torch.randint(0, NUM_OPERATIONS, (n, _INNER), generator=generator, dtype=torch.int8)
    return edges, ops


def _coins(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, like.shape, generator=generator, dtype=torch.uint8).bool()


def _slot_order(n: int, generator: torch.Generator) -> Tensor:
    """``int64[n, 5]``: a random order in which the inner slots of seven vertices are taken."""
    return torch.rand((n, _INNER), generator=generator).argsort(dim=1)


def _spread(cells: Cells101, slots: Tensor) -> Cells101:
    """Lays pruned cells into seven vertices with the output last; inner vertices take the first ``slots`` in order."""
    num_vertices = cells.num_vertices[:, None]
    taken = slots < num_vertices - 2
    absent = MAX_VERTICES - 1
    inner = torch.where(taken, taken.cumsum(dim=1), absent)
    return rearrange(cells, torch.cat([torch.zeros_like(num_vertices), inner, num_vertices - 1], dim=1))


def _propose_until_valid(parents: Cells101, propose: Callable[[Tensor], Cells101]) -> Cells101:
    """Replaces every parent by the first valid child that ``propose(rows)`` gives for it."""
    adjacency, ops = (tensor.clone() for tensor in parents.tensors())
    pending = torch.arange(len(parents))
    for _ in range(_ATTEMPTS):
        children = prune(propose(pending))
        valid = is_valid_pruned(children)
        adjacency[pending[valid]] = children.adjacency[valid]
        ops[pending[valid]] = children.ops[valid]
        pending = pending[~valid]
        if len(pending) == 0:
            break
    return Cells101(adjacency, ops)
