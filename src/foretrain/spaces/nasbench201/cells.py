"""The cells of NAS-Bench-201 as arrays: one operation on each of the six edges of a four-node graph.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foretrain.spaces.base import Architectures

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""The edges (source, target) in the order of the architecture string; node 0 is the input, node 3 the output."""

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The operations; their position is their code."""

NONE, SKIP = OPERATIONS.index("none"), OPERATIONS.index("skip_connect")
NUM_NODES = 4
NUM_CELLS = len(OPERATIONS) ** len(EDGES)


@dataclass(frozen=True, eq=False)
class Cells201(Architectures):
    """A batch of n cells.

    Attributes:
        ops: ``int8[n, 6]``, the code of the operation on each edge, in the order of ``EDGES``.
    """

    ops: Tensor


def from_codes(codes: Tensor) -> Cells201:
    """Returns the cells of operation codes: the six base-5 digits of ``codes`` (``int64[n]``), edge 0-1 first."""
    return Cells201((codes[:, None] // _place_values(codes.device) % len(OPERATIONS)).to(torch.int8))


def to_codes(cells: Cells201) -> Tensor:
    """Returns the operation codes ``int64[n]`` in ``[0, 15625)``; the inverse of :func:`from_codes`."""
    return (cells.ops.long() * _place_values(cells.ops.device)).sum(1)


def _place_values(device: torch.device) -> Tensor:
    return len(OPERATIONS) ** torch.arange(len(EDGES) - 1, -1, -1, device=device)
