"""The graph convolutional network that ranks architectures.

Mauch et al., "Efficient Sampling for Predictor-Based Neural Architecture Search", 2020, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from foretrain.spaces.encodings.graph import GraphBatch

Normalization = Literal["one_sided", "symmetric"]
_VERTICES_AT_ONCE = 1 << 13
"""So many rows of activations stay in the processor's cache."""


class GCN(nn.Module):
    r"""Maps a graph to one score that no renumbering of its vertices changes.

    Layers :math:`X_g = \mathrm{ReLU}(\tilde D^{-1/2} \tilde A X_{g-1} W_g)` with :math:`\tilde A = A + I` and its row
    sums :math:`\tilde D` (equation 3; there is no shift), the mean over the vertices (equation 4), and one linear
    output. ``symmetric`` normalises by :math:`\tilde D^{-1/2} \tilde A \tilde D^{-1/2}` (Kipf and Welling 2016).

    Args:
        num_labels: Number of labels of a vertex.
        widths: Features of the layers.
        normalization: How sums over neighbours are scaled.
    """

    def __init__(
        self, num_labels: int, widths: Sequence[int] = (256, 256, 256), normalization: Normalization = "one_sided"
    ) -> None:
        super().__init__()
        self.options = {"num_labels": num_labels, "widths": list(widths), "normalization": normalization}
        self.normalization = normalization
        self.weights = nn.ParameterList(torch.empty(shape) for shape in pairwise((num_labels, *widths)))
        for weight in self.weights:
            nn.init.kaiming_normal_(weight.T, nonlinearity="relu")
        self.output = nn.Linear(widths[-1], 1)

    def forward(self, adjacency: Tensor, vertices: Tensor, sizes: Tensor) -> Tensor:
        """Returns the scores ``float[n]``.

        Args:
            adjacency: ``float[n, v, v]``, 1 at ``[i, x, y]`` for an edge x -> y; padding has no edges.
            vertices: ``float[n, v, labels]``, one-hot labels; padding is zero.
            sizes: ``[n]``, number of vertices of each graph.
        """
        mixing = self.mixing(adjacency)
        features = vertices
        for weight in self.weights:
            features = _mix_and_map(mixing, features, weight).relu_()
        return self.read_out(features.sum(1) / sizes[:, None])

    def mixing(self, adjacency: Tensor) -> Tensor:
        """Returns the normalised adjacency ``float[n, v, v]`` with self-connections."""
        connected = adjacency + torch.eye(adjacency.shape[-1], dtype=adjacency.dtype, device=adjacency.device)
        scale = connected.sum(-1, keepdim=True).rsqrt()
        return connected * scale if self.normalization == "one_sided" else connected * scale * scale.mT

    def read_out(self, pooled: Tensor) -> Tensor:
        """Maps the mean features ``float[n, d]`` to the scores ``float[n]``."""
        return self.output(pooled)[:, 0]  # type: ignore[no-any-return]


@torch.no_grad()
def score_graphs(gcn: GCN, graphs: GraphBatch) -> Tensor:
    """Returns the scores ``float32[n]`` of many graphs: chunk by chunk, graphs of equal size together."""
    sizes = graphs.mask.sum(1)
    scores = graphs.adjacency.new_empty(len(graphs))
    for rows, size in _chunks(sizes):
        adjacency = graphs.adjacency[rows, :size, :size]
        scores[rows] = gcn(adjacency, graphs.vertices[rows, :size], sizes[rows])
    return scores


def _chunks(sizes: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Rows of graphs of the same number of vertices, so many that their activations stay small."""
    for size in torch.bincount(sizes).nonzero()[:, 0].tolist():
        for rows in (sizes == size).nonzero()[:, 0].split(max(1, _VERTICES_AT_ONCE // max(1, size))):
            yield rows, size


def _mix_and_map(mixing: Tensor, features: Tensor, weight: Tensor) -> Tensor:
    """``mixing @ features @ weight``, the sum over neighbours where the features are fewer."""
    if weight.shape[0] < weight.shape[1]:
        return mixing @ features @ weight
    return mixing @ (features @ weight)
