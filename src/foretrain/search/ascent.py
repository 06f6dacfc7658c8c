"""Candidates by gradient ascent on a GCN's score: maximum-likelihood sampling.

Mauch et al., "Efficient Sampling for Predictor-Based Neural Architecture Search", 2020, section 3.2: continuous shadows
of adjacency and one-hot operations, which are made binary on the way to the GCN; gradients pass straight through.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from foretrain.errors import ConfigError
from foretrain.predictors.base import Predictor
from foretrain.predictors.gcn.network import GCN
from foretrain.predictors.gcn.ranker import GCNRanker
from foretrain.search.history import History
from foretrain.search.samplers import Count, Sampler
from foretrain.search.strategy import draw_new
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.relaxation import Relaxation

Kept = Literal["best", "end"]

_DRAWS = 4
"""Many starts end in few architectures: that often new starts are taken to fill the sample."""


class Summits(NamedTuple):
    """Where n ascents came to.

    Attributes:
        archs: What was kept of each of the m ascents that gave a valid architecture.
        scores: ``float[m]``, their scores.
        relaxed: ``float[steps, n]``, scores of the binary graphs along the ascents, valid or not.
    """

    archs: Architectures
    scores: Tensor
    relaxed: Tensor


class MaximumLikelihood(Sampler):
    """Networks where the score of a GCN ranker is locally highest, from random starts.

    Fewer than N' come back where the ascents end in fewer different networks.

    Args:
        size: N', how many.
        steps: Steps of an ascent.
        step_size: Learning rate of the ascent (Adam); shadows start between -1 and 1.
        keep: What an ascent gives. ``best``: its graphs have no more edges than the space allows, those with the
            largest shadows, and the architecture with the highest score among those that it comes to is kept. ``end``:
            what the source writes and no more; an edge is there where its shadow is positive, the end of the ascent
            is taken, and left out where it is not valid, as most ends on NAS-Bench-101 are not.
    """

    def __init__(
        self,
        size: Count,
        steps: Count = 20,
        step_size: Annotated[float, Field(gt=0)] = 0.3,
        keep: Kept = "best",
    ) -> None:
        self.size = size
        self.steps = steps
        self.step_size = step_size
        self.keep: Kept = keep

    def sample(
        self, space: SearchSpace[Any], history: History, predictor: Predictor, generator: torch.Generator
    ) -> Architectures:
        """Climbs to networks that were not evaluated yet.

        Raises:
            ConfigError: The predictor is no GCN ranker.
        """
        if not isinstance(predictor, GCNRanker):
            raise ConfigError("sampler", "needs gradients of the score", type(predictor).__name__, "a GCNRanker")
        relaxation, gcn = space.relaxation(), predictor.learned

        def climb_anew(count: int) -> Architectures:
            return climb(gcn, space, relaxation, count, self.steps, self.step_size, generator, self.keep).archs

        drawn: Architectures = draw_new(space, history.codes, self.size, climb_anew, attempts=_DRAWS)
        return drawn


def climb(
    gcn: GCN,
    space: SearchSpace[Any],
    relaxation: Relaxation[Any],
    count: int,
    steps: int,
    step_size: float,
    generator: torch.Generator,
    keep: Kept = "best",
) -> Summits:
    """Climbs from random graphs.

    Args:
        gcn: What is maximised.
        space: The space of the architectures.
        relaxation: Its relaxed form.
        count: Number n of ascents.
        steps: Steps of each.
        step_size: Learning rate.
        generator: Where the starts come from.
        keep: See :class:`MaximumLikelihood`.
    """
    size, columns = relaxation.vertices.shape
    edges = (2 * torch.rand((count, size, size), generator=generator) - 1).requires_grad_()
    labels = (2 * torch.rand((count, size, columns), generator=generator) - 1).requires_grad_()
    optimizer = torch.optim.Adam([edges, labels], lr=step_size, maximize=True)
    sizes = torch.full((count,), float(size))
    kept = torch.full((count,), -torch.inf)
    summit: Architectures | None = None
    along = []
    for step in range(steps):
        adjacency, vertices = binary_graphs(relaxation, edges, labels, limited=keep == "best")
        scores = gcn(adjacency, vertices, sizes)
        along.append(scores.detach())
        if keep == "best" or step == steps - 1:
            archs, projected = _project(gcn, space, relaxation, adjacency.detach(), vertices.detach())
            summit = archs if summit is None or len(summit) == 0 else _choose(summit, archs, projected > kept)
            kept = torch.maximum(kept, projected)
        # Only the shadows climb: the weights' gradients would cost a third of the time
        edges.grad, labels.grad = torch.autograd.grad(scores.sum(), [edges, labels])
        optimizer.step()
    found = kept.isfinite().nonzero()[:, 0]
    assert summit is not None
    return Summits(summit[found], kept[found], torch.stack(along))


def binary_graphs(
    relaxation: Relaxation[Any], edges: Tensor, labels: Tensor, limited: bool = False
) -> tuple[Tensor, Tensor]:
    """Returns the binary graphs of shadows, with the gradients of the shadows (straight-through estimator).

    Args:
        relaxation: Which elements are free.
        edges: ``float[n, v, v]``; an edge is there where its shadow is positive.
        labels: ``float[n, v, labels]``; the operation with the largest shadow is taken.
        limited: Whether there are at most as many edges as the space allows, those with the largest shadows.

    Returns:
        ``adjacency`` and ``vertices`` as a GCN takes them.
    """
    there = edges > 0
    if limited:
        there &= _largest(torch.where(relaxation.free_edges, edges, -torch.inf), relaxation.most_edges)
    adjacency = torch.where(
        relaxation.free_edges, _straight_through(there.to(edges.dtype), edges), relaxation.adjacency
    )
    operations = labels[..., relaxation.operations]
    one_hot = functional.one_hot(operations.argmax(-1), operations.shape[-1]).to(labels.dtype)
    chosen = torch.zeros_like(labels)
    chosen[..., relaxation.operations] = _straight_through(one_hot, operations)
    vertices = torch.where(relaxation.free_vertices[:, None], chosen, relaxation.vertices)
    return adjacency, vertices


def _largest(shadows: Tensor, count: int) -> Tensor:
    """``bool[n, v, v]``, where so many of a graph's shadows are that none is larger."""
    places = shadows.flatten(1).topk(count, dim=1).indices
    return torch.zeros(shadows.shape, dtype=torch.bool).flatten(1).scatter_(1, places, True).view(shadows.shape)


def _straight_through(binary: Tensor, shadow: Tensor) -> Tensor:
    """The binary values forwards, the shadow's gradient backwards."""
    return binary + shadow - shadow.detach()


@torch.no_grad()
def _project(
    gcn: GCN, space: SearchSpace[Any], relaxation: Relaxation[Any], adjacency: Tensor, vertices: Tensor
) -> tuple[Architectures, Tensor]:
    """The architectures of binary graphs and their scores ``float[n]``, minus infinity where one is not valid."""
    archs, valid = relaxation.decode(adjacency > 0.5, vertices[..., relaxation.operations].argmax(-1))
    if len(archs) == 0:
        return archs, torch.full((len(adjacency),), -torch.inf)
    places = valid.nonzero()[:, 0]
    graphs = space.encode(archs[places], "graph")
    scores = torch.full((len(adjacency),), -torch.inf)
    scores[places] = gcn(graphs.adjacency, graphs.vertices, graphs.mask.sum(1))
    return archs, scores


def _choose(first: Architectures, second: Architectures, takes_second: Tensor) -> Architectures:
    """The second where it is taken, else the first."""
    if len(second) == 0:
        return first
    here = torch.arange(len(first))
    return type(first).cat([first, second])[torch.where(takes_second, here + len(first), here)]
