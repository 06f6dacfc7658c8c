"""The DARTS space: drawing, changing, naming, encoding and building architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from foretrain.spaces.base import SearchSpace
from foretrain.spaces.checks import check_pairs, check_rate, check_single
from foretrain.spaces.darts.canonical import canonical_codes
from foretrain.spaces.darts.cells import NUM_CELLS, NUM_NODES, NUM_SLOTS, OPERATIONS, CellPairs, num_choices
from foretrain.spaces.darts.encoders import ENCODERS, FEATURE_NAMES, VOCABULARY
from foretrain.spaces.darts.network import DARTSNetwork
from foretrain.spaces.darts.strings import format_compact, format_genotypes, parse_compact, parse_genotypes


class DARTS(SearchSpace[CellPairs]):
    """The DARTS space in a skeleton whose size is free; the default is that of NAS-Bench-301.

    Args:
        channels: Channels of each node in the first cells.
        layers: Number of cells.
    """

    name = "darts"
    vocabulary = VOCABULARY
    encoders = ENCODERS
    feature_names = FEATURE_NAMES

    def __init__(self, channels: Annotated[int, Field(ge=2)] = 32, layers: Annotated[int, Field(ge=1)] = 8) -> None:
        self.channels = channels
        self.layers = layers

    def sample(self, n: int, generator: torch.Generator) -> CellPairs:
        """Draws n architectures: for each node two different inputs and two operations, uniformly."""
        second = _draw_inputs(n, generator)
        first = _draw_other(second, generator)
        return CellPairs(torch.stack([first, second], dim=3), _draw_ops(n, generator))

    def mutate(self, archs: CellPairs, generator: torch.Generator, rate: float) -> CellPairs:
        """Redraws every input and every operation with probability ``rate``.

        An input is drawn from all nodes but the one that the other slot of its node reads.

        Raises:
            ValueError: ``rate`` is not between 0 and 1.
        """
        check_rate(rate)
        inputs, ops = archs.inputs.cpu(), archs.ops.cpu()
        redraw_inputs, redraw_ops = (torch.rand(ops.shape, generator=generator) < rate for _ in range(2))
        first, second = inputs.unbind(3)
        first = torch.where(redraw_inputs[..., 0], _draw_other(second, generator), first)
        second = torch.where(redraw_inputs[..., 1], _draw_other(first, generator), second)
        mutated_ops = torch.where(redraw_ops, _draw_ops(len(archs), generator), ops)
        return CellPairs(torch.stack([first, second], dim=3), mutated_ops).to(archs.ops.device)

    def crossover(self, first: CellPairs, second: CellPairs, generator: torch.Generator) -> CellPairs:
        """Takes every node, with both its inputs and operations, from one of the two parents, by a coin each.

        Raises:
            ValueError: The batches differ in length.
        """
        check_pairs(first, second)
        coins = torch.rand((len(first), NUM_CELLS, NUM_NODES, 1), generator=generator) < 0.5
        coins = coins.to(first.ops.device)
        return CellPairs(torch.where(coins, first.inputs, second.inputs), torch.where(coins, first.ops, second.ops))

    def parse(self, strings: Sequence[str]) -> CellPairs:
        """Reads genotypes ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=...)``.

        Raises:
            DataError: A string is malformed or describes no architecture of the space; names its position.
        """
        return parse_genotypes(strings)

    def format(self, archs: CellPairs) -> list[str]:
        """Writes genotypes, as ``parse`` reads them."""
        return format_genotypes(archs)

    def parse_compact(self, strings: Sequence[str]) -> CellPairs:
        """Reads tuples ``(((input, operation code), ...), (...))``, eight pairs for each of the two cells.

        Raises:
            DataError: A string is malformed or describes no architecture of the space; names its position.
        """
        return parse_compact(strings)

    def format_compact(self, archs: CellPairs) -> list[str]:
        """Writes tuples, as ``parse_compact`` reads them."""
        return format_compact(archs)

    def canonical(self, archs: CellPairs) -> list[str]:
        """Returns keys that are equal exactly where both cells are isomorphic."""
        return [f"{normal:x}-{reduction:x}" for normal, reduction in canonical_codes(archs).tolist()]

    def build(self, arch: CellPairs, in_channels: int, num_classes: int) -> DARTSNetwork:
        """Builds the network of one architecture in this space's skeleton.

        Raises:
            DataError: There is not exactly one architecture.
        """
        check_single(arch)
        return DARTSNetwork(
            arch.inputs[0].tolist(), arch.ops[0].tolist(), in_channels, num_classes, self.channels, self.layers
        )


def _draw_inputs(n: int, generator: torch.Generator) -> Tensor:
    """``int8[n, 2, 4]``: for each node one of the nodes before it."""
    return (torch.rand((n, NUM_CELLS, NUM_NODES), generator=generator) * num_choices()).to(torch.int8)


def _draw_other(taken: Tensor, generator: torch.Generator) -> Tensor:
    """``int8[n, 2, 4]``: for each node one of the nodes before it that is not ``taken``."""
    drawn = (torch.rand(taken.shape, generator=generator) * (num_choices() - 1)).to(torch.int8)
    return drawn + (drawn >= taken)


def _draw_ops(n: int, generator: torch.Generator) -> Tensor:
    shape = (n, NUM_CELLS, NUM_NODES, NUM_SLOTS)
    return torch.randint(0, len(OPERATIONS), shape, generator=generator, dtype=torch.int8)
