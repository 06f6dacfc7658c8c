"""Cells as graphs with operations on the vertices, padded to one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from foretrain.batches import TensorBatch

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data


@dataclass(frozen=True)
class Vocabulary:
    """What the vertices of a space's graphs can be; the position among ``labels`` is the column of the one-hot code.

    Attributes:
        inputs: Names of the input vertices.
        operations: Names of the operations.
        void: The operations through which nothing passes (``none``).
        weighted: The operations that have weights (convolutions).
        identity: The operations that hand on what they get.
    """

    inputs: tuple[str, ...]
    operations: tuple[str, ...]
    void: frozenset[str] = frozenset()
    weighted: frozenset[str] = frozenset()
    identity: frozenset[str] = frozenset()

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels in order: inputs, operations, output."""
        return (*self.inputs, *self.operations, "output")

    @property
    def passing(self) -> tuple[str, ...]:
        """The operations that let something pass, in order."""
        return tuple(name for name in self.operations if name not in self.void)

    @property
    def operation_columns(self) -> slice:
        """Where the operations stand among the labels."""
        return slice(len(self.inputs), len(self.inputs) + len(self.operations))

    @property
    def num_tokens(self) -> int:
        """Number of tokens of the sequence encoding (:func:`foretrain.spaces.encodings.sequence.sequences`)."""
        return len(self.labels) + 2


@dataclass(frozen=True, eq=False)
class GraphBatch(TensorBatch):
    """n graphs of at most v vertices in topological order.

    Attributes:
        adjacency: ``float32[n, v, v]``, 1 at ``[i, x, y]`` for an edge x -> y; strictly upper triangular.
        vertices: ``float32[n, v, labels]``, one-hot label of each vertex; zero for vertices that are only padding.
        mask: ``bool[n, v]``, the vertices that are there.
        arch_id: ``int64[n]``, which architecture each graph is.
    """

    adjacency: Tensor
    vertices: Tensor
    mask: Tensor
    arch_id: Tensor

    @classmethod
    def of(cls, adjacency: Tensor, labels: Tensor, num_labels: int) -> Self:
        """Builds a batch from label columns ``int[n, v]`` (-1: padding); the architectures are numbered from 0.

        Args:
            adjacency: ``[n, v, v]`` of any type, 1 or true for an edge.
            labels: Column of each vertex's label.
            num_labels: Number of columns.
        """
        columns = torch.arange(num_labels, device=labels.device, dtype=labels.dtype)
        return cls(
            adjacency.float(),
            (labels[..., None] == columns).float(),
            labels >= 0,
            torch.arange(len(labels), device=labels.device),
        )

    def to_pyg(self) -> Batch:
        """Returns one PyTorch Geometric batch: ``x`` (one-hot), ``edge_index``, ``batch``, ``ptr``, ``arch_id``."""
        # PyTorch Geometric takes seconds to import, and only those who ask for its types should pay
        from torch_geometric.data import Batch  # noqa: PLC0415

        number = self.mask.flatten().cumsum(0).view_as(self.mask) - 1
        graph, source, target = self.adjacency.nonzero().unbind(1)
        sizes = self.mask.sum(1)
        return Batch(
            x=self.vertices[self.mask],
            edge_index=torch.stack([number[graph, source], number[graph, target]]),
            batch=torch.arange(len(self), device=sizes.device).repeat_interleave(sizes),
            ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]),
            arch_id=self.arch_id,
        )

    def to_data_list(self) -> list[Data]:
        """Returns one PyTorch Geometric ``Data`` a graph: ``x``, ``edge_index``, ``arch_id``."""
        from torch_geometric.data import Data  # noqa: PLC0415 - see to_pyg

        whole = self.to_pyg()
        sizes = self.mask.sum(1).tolist()
        edges = whole.edge_index.split(self.adjacency.sum((1, 2)).long().tolist(), dim=1)
        rows = zip(whole.x.split(sizes), edges, whole.ptr[:-1], self.arch_id, strict=True)
        return [Data(x=x, edge_index=edge - first, arch_id=arch_id) for x, edge, first, arch_id in rows]
