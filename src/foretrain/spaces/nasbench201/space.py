"""The NAS-Bench-201 space: drawing, changing, naming, encoding and building cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from foretrain.spaces.base import SearchSpace
from foretrain.spaces.checks import check_pairs, check_rate, check_single
from foretrain.spaces.nasbench201.canonical import canonical_codes, prune
from foretrain.spaces.nasbench201.cells import EDGES, NUM_CELLS, OPERATIONS, Cells201, from_codes
from foretrain.spaces.nasbench201.encoders import DECODERS, ENCODERS, FEATURE_NAMES, VOCABULARY
from foretrain.spaces.nasbench201.network import NASBench201Network
from foretrain.spaces.nasbench201.published import published_keys
from foretrain.spaces.nasbench201.strings import format_cells, format_naslib, parse_cells, parse_naslib
from foretrain.spaces.relaxation import Relaxation


class NASBench201(SearchSpace[Cells201]):
    """The 15,625 cells of NAS-Bench-201 in a skeleton whose size is free; the defaults are the published one.

    Args:
        channels: Channels of the stem and of the first stage.
        cells_per_stage: Number of equal cells in each stage.
        stages: Number of stages; between two of them the image is halved and the channels are doubled.
    """

    name = "nasbench201"
    vocabulary = VOCABULARY
    encoders = ENCODERS
    decoders = DECODERS
    feature_names = FEATURE_NAMES

    def __init__(
        self,
        channels: Annotated[int, Field(ge=1)] = 16,
        cells_per_stage: Annotated[int, Field(ge=1)] = 5,
        stages: Annotated[int, Field(ge=1)] = 3,
    ) -> None:
        self.channels = channels
        self.cells_per_stage = cells_per_stage
        self.stages = stages

    def enumerate(self) -> Cells201:
        """Returns all 15,625 cells in the order of their operation codes (edge 0-1 varies slowest)."""
        return from_codes(torch.arange(NUM_CELLS))

    def sample(self, n: int, generator: torch.Generator) -> Cells201:
        """Draws n cells uniformly, with replacement."""
        return Cells201(_random_ops(n, generator))

    def relaxation(self) -> Relaxation[Cells201]:
        """Returns graphs of eight vertices with fixed edges, whose six operations are free."""
        example = self.encode(self.sample(1, torch.Generator()), "graph")
        inner = torch.ones(len(EDGES) + 2, dtype=torch.bool)
        inner[[0, -1]] = False
        fixed = example.adjacency[0]
        vertices = example.vertices[0] * ~inner[:, None]
        no_edges = torch.zeros_like(fixed, dtype=torch.bool)
        return Relaxation(fixed, no_edges, vertices, inner, VOCABULARY.operation_columns, 0, _decode)

    def mutate(self, archs: Cells201, generator: torch.Generator, rate: float) -> Cells201:
        """Redraws every operation with probability ``rate``, from all five.

        Raises:
            ValueError: ``rate`` is not between 0 and 1.
        """
        check_rate(rate)
        redrawn = (torch.rand(archs.ops.shape, generator=generator) < rate).to(archs.ops.device)
        return Cells201(torch.where(redrawn, _random_ops(len(archs), generator).to(archs.ops.device), archs.ops))

    def crossover(self, first: Cells201, second: Cells201, generator: torch.Generator) -> Cells201:
        """Takes every operation from one of the two parents, by a coin each.

        Raises:
            ValueError: The batches differ in length.
        """
        check_pairs(first, second)
        coins = torch.rand(first.ops.shape, generator=generator) < 0.5
        return Cells201(torch.where(coins.to(first.ops.device), first.ops, second.ops))

    def parse(self, strings: Sequence[str]) -> Cells201:
        """Reads architecture strings ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

        Raises:
            DataError: A string is none of the 15,625 of the space; names its position.
        """
        return parse_cells(strings)

    def format(self, archs: Cells201) -> list[str]:
        """Writes architecture strings, as ``parse`` reads them."""
        return format_cells(archs)

    def parse_naslib(self, tuples: Sequence[Sequence[int]]) -> Cells201:
        """Reads NASLib's operation tuples, which have another order of edges and of operations.

        Raises:
            DataError: A tuple has not six codes of 0 to 4; names its position.
        """
        return parse_naslib(tuples)

    def format_naslib(self, archs: Cells201) -> list[tuple[int, ...]]:
        """Writes NASLib's operation tuples, as ``parse_naslib`` reads them."""
        return format_naslib(archs)

    def prune(self, archs: Cells201) -> Cells201:
        """Replaces dead operations by ``none``: those on no path from input to output."""
        return prune(archs)

    def canonical(self, archs: Cells201) -> list[str]:
        """Returns keys that are equal exactly where the live parts of two cells are isomorphic.

        Networks of one key have, once pruned, the same parameters and compute the same function. There are 5,425 keys.
        """
        return [f"{code:x}" for code in canonical_codes(archs).tolist()]

    def codes(self, archs: Cells201) -> Tensor:
        """Returns ``int64[n]``, equal where ``canonical`` is."""
        return canonical_codes(archs)

    def published_key(self, archs: Cells201) -> list[str]:
        """Returns the published ``unique_str``; its 6,466 classes also merge shared with duplicated computation."""
        return published_keys(archs)

    def build(self, arch: Cells201, in_channels: int, num_classes: int) -> NASBench201Network:
        """Builds the network of one cell in this space's skeleton, dead operations included, as published.

        Raises:
            DataError: There is not exactly one cell.
        """
        check_single(arch)
        return NASBench201Network(
            arch.ops[0].tolist(), in_channels, num_classes, self.channels, self.cells_per_stage, self.stages
        )


def _decode(edges: Tensor, operations: Tensor) -> tuple[Cells201, Tensor]:
    """The cells of free operations, all of them valid."""
    return Cells201(operations[:, 1:-1].to(torch.int8)), torch.ones(len(edges), dtype=torch.bool)


def _random_ops(n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, len(OPERATIONS), (n, len(EDGES)), generator=generator, dtype=torch.int8)
