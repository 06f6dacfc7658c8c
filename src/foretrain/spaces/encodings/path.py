"""The path encoding: which sequences of operations lead from input to output.

White, Neiswanger and Savani, "BANANAS", AAAI 2021; its truncated form keeps the short paths, which are the likely ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary


def paths(graphs: GraphBatch, vocabulary: Vocabulary, shortest: int, longest: int) -> Tensor:
    """Returns ``float32[n, inputs * sum over l of operations**l]``, 1 where some path consists of these operations.

    The paths lead from input to output. They come by their length l from ``shortest`` to ``longest``, those of one
    length in the order of their input (where there are several), first operation, second operation, ... Paths through
    ``none`` count like others.

    Args:
        graphs: The cells.
        vocabulary: Their labels.
        shortest: Fewest operations of a path that is looked at.
        longest: Most operations: cuts the encoding off.
    """
    edges, operation = graphs.adjacency, graphs.vertices[..., vocabulary.operation_columns]
    is_input = graphs.vertices[..., : len(vocabulary.inputs)]
    leads_out = torch.einsum("nuv,nv->nu", edges, graphs.vertices[..., -1])
    found = [torch.einsum("nup,nu->np", is_input, leads_out)]
    arriving = torch.einsum("nuv,nup->nvp", edges, is_input)
    for length in range(1, longest + 1):
        found.append(torch.einsum("nup,nuo->npo", arriving * leads_out[..., None], operation).flatten(1))
        if length < longest:
            leaving = (arriving[..., :, None] * operation[..., None, :]).flatten(2)
            arriving = torch.einsum("nuv,nup->nvp", edges, leaving)
    return torch.cat(found[shortest:], dim=1).clamp(max=1)
