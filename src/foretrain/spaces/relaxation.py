"""A space's architectures as graphs whose edges and operations are free, for methods that climb along a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from torch import Tensor

from foretrain.batches import TensorBatch

A = TypeVar("A", bound=TensorBatch)
B = TypeVar("B", bound=TensorBatch)
Decode = Callable[[Tensor, Tensor], tuple[A, Tensor]]


@dataclass(frozen=True)
class Relaxation(Generic[A]):
    """Graphs of v vertices with free elements, and the way back to architectures.

    Attributes:
        adjacency: ``float32[v, v]``, the fixed edges.
        free_edges: ``bool[v, v]``, where an edge may be or not.
        vertices: ``float32[v, labels]``, the fixed labels; zero for vertices whose operation is free.
        free_vertices: ``bool[v]``, the vertices whose operation is free.
        operations: The columns of the labels that are operations.
        most_edges: So many of the free edges an architecture has at most.
        decode: Takes edges ``bool[n, v, v]`` and operations ``int64[n, v]`` (numbered from 0) and returns n
            architectures and, ``bool[n]``, which of them are valid; the others mean nothing.
    """

    adjacency: Tensor
    free_edges: Tensor
    vertices: Tensor
    free_vertices: Tensor
    operations: slice
    most_edges: int
    decode: Decode[A]

    def followed_by(self, name: Callable[[A], tuple[B, Tensor]]) -> Relaxation[B]:
        """Returns the same graphs for another space.

        Args:
            name: Takes valid architectures of this space and returns those of the other and, ``bool[n]``, which of them
                there are.
        """

        def decode(edges: Tensor, operations: Tensor) -> tuple[B, Tensor]:
            archs, valid = self.decode(edges, operations)
            named, known = name(archs[valid.nonzero()[:, 0]])
            # What is not valid means nothing: the first one stands there
            place = (valid.cumsum(0) - 1).clamp(min=0)
            places = place if len(named) else place[:0]
            return named[places], valid[: len(places)] & known[places]

        return replace(self, decode=decode)  # type: ignore[arg-type,return-value]
