"""The architectures of the DARTS space as arrays: a normal and a reduction cell.

A cell has two inputs (the outputs of the last cell but one and of the last cell), four intermediate nodes, each the sum
of two operations on two different earlier nodes, and gives the concatenation of the intermediate nodes. Liu, Simonyan
and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foretrain.spaces.base import Architectures

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operations; their position is their code."""

NUM_INPUTS, NUM_NODES, NUM_SLOTS, NUM_CELLS = 2, 4, 2, 2


@dataclass(frozen=True, eq=False)
class CellPairs(Architectures):
    """A batch of n architectures: cell 0 is the normal, cell 1 the reduction cell.

    Attributes:
        inputs: ``int8[n, 2, 4, 2]``: what each slot of each intermediate node of each cell reads: 0 the last cell but
            one, 1 the last cell, 2 .. 4 the first three intermediate nodes. The two slots of a node differ.
        ops: ``int8[n, 2, 4, 2]``: the code of the operation there.
    """

    inputs: Tensor
    ops: Tensor


def num_choices(device: torch.device | str = "cpu") -> Tensor:
    """Returns ``int64[4]``: of how many nodes each intermediate node can read."""
    return torch.arange(NUM_INPUTS, NUM_INPUTS + NUM_NODES, device=device)


def invalid_nodes(archs: CellPairs) -> Tensor:
    """Returns ``bool[n, 2, 4]``: nodes that read no earlier node, or one node twice, or have an unknown operation."""
    inputs, ops = archs.inputs, archs.ops
    limits = num_choices(inputs.device)[:, None]
    wrong = (inputs < 0) | (inputs >= limits) | (ops < 0) | (ops >= len(OPERATIONS))
    return wrong.any(3) | (inputs[..., 0] == inputs[..., 1])
