"""Which DARTS architectures are the same network."""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from foretrain.spaces.darts.cells import NUM_INPUTS, NUM_NODES, OPERATIONS, CellPairs

_NUM_SOURCES = NUM_INPUTS + NUM_NODES
_NUM_EDGES = _NUM_SOURCES * len(OPERATIONS)


def canonical_codes(archs: CellPairs) -> Tensor:
    """Returns ``int64[n, 2]``: for each cell a number that is equal exactly for isomorphic cells.

    Neither the order of a node's two edges nor the numbering of the intermediate nodes matters: sums commute, and
    another order of the concatenated nodes permutes the channels that the next layer reads. The number spells the
    cell's edges; the smallest over all 24 numberings in which nodes read earlier ones is the key.
    """
    worst = torch.iinfo(torch.int64).max
    best = torch.full(archs.ops.shape[:2], worst, device=archs.ops.device)
    for order in permutations(range(NUM_NODES)):
        codes, valid = _renumber(archs, torch.tensor(order, device=archs.ops.device))
        best = torch.minimum(best, torch.where(valid, codes, worst))
    return best


def _renumber(archs: CellPairs, position: Tensor) -> tuple[Tensor, Tensor]:
    """Codes ``int64[n, 2]`` of the cells whose node i moves to ``position[i]``, and whether all edges lead forward."""
    place = torch.cat([torch.arange(NUM_INPUTS, device=position.device), position + NUM_INPUTS])
    sources = place[archs.inputs.long()][:, :, position.argsort()]
    ops = archs.ops.long()[:, :, position.argsort()]
    own = torch.arange(NUM_INPUTS, _NUM_SOURCES, device=position.device)
    edges = (sources * len(OPERATIONS) + ops).sort(dim=3).values
    nodes = edges[..., 0] * _NUM_EDGES + edges[..., 1]
    values = (_NUM_EDGES**2) ** torch.arange(NUM_NODES, device=position.device)
    return (nodes * values).sum(2), (sources < own[:, None]).all(3).all(2)
