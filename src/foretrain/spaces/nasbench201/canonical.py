"""Which NAS-Bench-201 cells are the same network.

A cell computes sums of operations. Written with its operations as vertices it has a normal form: ``none`` is no edge,
``skip_connect`` passes a sum on unchanged, an operation that gets no input or whose output is used nowhere is dead
and left out. What remains are the live convolutions and poolings, each with a multiset of inputs (the cell's input and
other operations), and the multiset that makes the output. Two cells get the same key exactly if these graphs are
isomorphic, so they have the same live parameters and compute the same function. No algebra goes beyond that: a pooling
applied twice to the same input stays two poolings, unlike in the published classes (:mod:`.published`).
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

import torch
from torch import Tensor

from foretrain.spaces.nasbench201.cells import EDGES, NONE, NUM_NODES, SKIP, Cells201, from_codes, to_codes

_INPUT = len(EDGES)
"""Sums are written as counts of the terms they add: the six operations, then the cell's input."""

_RADIX_LABEL, _RADIX_FROM_OPERATION, _RADIX_FROM_INPUT, _RADIX_TO_OUTPUT, _RADIX_DIRECT = 4, 2, 3, 3, 5
"""One more than the largest label and the largest counts that six edges allow."""


def prune(cells: Cells201) -> Cells201:
    """Replaces every dead operation by ``none``: what it computes can never reach the output, or it has no input.

    The published networks keep dead operations and count their parameters. There, a convolution of nothing but zeros
    still adds the learned shift of its batch normalisation; here it adds nothing.
    """
    return Cells201(torch.where(live_edges(cells), cells.ops, NONE))


def live_edges(cells: Cells201) -> Tensor:
    """Returns ``bool[n, 6]``: the edges on a path from input to output that has no ``none``."""
    present = (cells.ops != NONE).unbind(1)
    nothing = torch.zeros_like(present[0])
    reached = [~nothing, *[nothing] * (NUM_NODES - 1)]
    for (source, target), edge in zip(EDGES, present, strict=True):
        reached[target] = reached[target] | (reached[source] & edge)
    used = [*[nothing] * (NUM_NODES - 1), ~nothing]
    for (source, target), edge in reversed(list(zip(EDGES, present, strict=True))):
        used[source] = used[source] | (used[target] & edge)
    return torch.stack(
        [reached[source] & edge & used[target] for (source, target), edge in zip(EDGES, present, strict=True)], dim=1
    )


def canonical_codes(cells: Cells201) -> Tensor:
    """Returns ``int64[n]``, equal exactly for cells with isomorphic normal forms.

    The code of a normal form whose operations are numbered is a number with one digit for each label and each count.
    It is linear in the graph, so that all numberings of all cells are one matrix product, and the smallest is the key.
    Only numberings in which operations read from earlier ones take part; there is always one.
    """
    distinct, position = torch.unique(to_codes(cells), return_inverse=True)
    graphs = _normal_form(from_codes(distinct)).double()
    return (graphs @ _numberings(graphs.device)).amin(1).long()[position]


def _normal_form(cells: Cells201) -> Tensor:
    """``int64[n, 55]``: 6 labels; counts between operations (36), from the input (6), to the output (6), direct (1)."""
    ops = prune(cells).ops.long()
    sums = _node_sums(ops)
    is_operation = ops > SKIP
    labels = torch.where(is_operation, ops - SKIP, 0)
    inputs = torch.stack([sums[source] for source, _ in EDGES], dim=2) * is_operation[:, None, :]
    output = sums[-1]
    return torch.cat(
        [labels, inputs[:, :_INPUT].flatten(1), inputs[:, _INPUT], output[:, :_INPUT], output[:, _INPUT:]], dim=1
    )


def _node_sums(ops: Tensor) -> list[Tensor]:
    """For each node ``int64[n, 7]``: how often each operation and the cell's input are added up in it."""
    terms = torch.eye(len(EDGES) + 1, dtype=torch.long, device=ops.device)
    sums = [terms[_INPUT].expand(len(ops), -1)] + [torch.zeros_like(ops[:, :1]) * terms[0]] * (NUM_NODES - 1)
    for edge, (source, target) in enumerate(EDGES):
        op = ops[:, edge, None]
        sums[target] = sums[target] + (op == SKIP) * sums[source] + (op > SKIP) * terms[edge]
    return sums


@cache
def _numberings(device: torch.device) -> Tensor:
    """``float64[55, 720]``: the value of each entry of the normal form under each numbering of the six operations."""
    orders = torch.tensor(list(permutations(range(len(EDGES)))))
    label, between, from_input, to_output, direct = _digit_values()
    columns = (
        label[orders],
        between[orders[:, :, None], orders[:, None, :]].flatten(1),
        from_input[orders],
        to_output[orders],
        direct.expand(len(orders), 1),
    )
    return torch.cat(columns, dim=1).T.contiguous().to(device)


def _digit_values() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Place values of a mixed-radix number below 2**49, so that sums of float64 are exact.

    A count from a later to an earlier operation rules the numbering out: it is worth more than all digits together.
    """
    count = len(EDGES)
    upper = torch.triu_indices(count, count, offset=1)
    radices = (
        [_RADIX_LABEL] * count
        + [_RADIX_FROM_OPERATION] * upper.shape[1]
        + [_RADIX_FROM_INPUT] * count
        + [_RADIX_TO_OUTPUT] * count
        + [_RADIX_DIRECT]
    )
    values = torch.cumprod(torch.tensor([1, *radices], dtype=torch.double), 0)
    label, pairs, from_input, to_output, direct = torch.split(values[:-1], [count, upper.shape[1], count, count, 1])
    between = torch.full((count, count), 4 * values[-1].item(), dtype=torch.double)
    between[upper[0], upper[1]] = pairs
    return label, between, from_input, to_output, direct
