"""Candidates by gradient ascent in an embedding: NAO's search.

Luo et al., "Neural Architecture Optimization", NeurIPS 2018, section 3.
"""

from __future__ import annotations

from itertools import count as count_up
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.predictors.base import Predictor
from foretrain.search.history import History
from foretrain.search.samplers import Count, Sampler
from foretrain.search.strategy import draw_new
from foretrain.spaces.base import Architectures, SearchSpace


@runtime_checkable
class Improving(Protocol):
    """A predictor that can lead from architectures to better ones."""

    def improve(self, archs: Architectures, step: float, steps: int) -> Architectures:
        """Returns architectures that it holds for better: so many steps of this length uphill from the given ones."""


class EmbeddingAscent(Sampler):
    """What lies uphill from the best networks in the predictor's embedding.

    Steps grow longer until N' new networks are found: short ones lead back to where they began. Fewer come back where
    the ascents end in fewer different networks.

    Args:
        size: N', how many.
        parents: P, how many of the best networks the ascents begin from.
        step: Length of a step of the first ascent; that of the n-th is n times as long.
        steps: Steps of an ascent.
        ascents: At most so many ascents from each network.
    """

    def __init__(
        self,
        size: Count,
        parents: Count = 20,
        step: Annotated[float, Field(gt=0)] = 1.0,
        steps: Count = 10,
        ascents: Count = 10,
    ) -> None:
        self.size = size
        self.parents = parents
        self.step = step
        self.steps = steps
        self.ascents = ascents

    def sample(
        self, space: SearchSpace[Any], history: History, predictor: Predictor, generator: torch.Generator
    ) -> Architectures:
        """Climbs to networks that were not evaluated yet.

        Raises:
            ConfigError: The predictor has no embedding that can be climbed in.
        """
        if not isinstance(predictor, Improving):
            raise ConfigError(
                "sampler", "needs an embedding that leads uphill", type(predictor).__name__, "NAO, SemiNAS"
            )
        starts = history.at(history.best(self.parents))
        lengths = count_up(1)

        def ascend(_: int) -> Architectures:
            return predictor.improve(starts, self.step * next(lengths), self.steps)

        drawn: Architectures = draw_new(space, history.codes, self.size, ascend, attempts=self.ascents)
        return drawn
