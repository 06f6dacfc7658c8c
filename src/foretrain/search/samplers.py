"""Where candidates come from: the subsets S' of the space that a predictor looks at.

Mauch et al., "Efficient Sampling for Predictor-Based Neural Architecture Search", 2020, section 3.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from foretrain.predictors.base import Predictor
from foretrain.search.history import History
from foretrain.search.strategy import draw_new, draw_uniformly
from foretrain.spaces.base import Architectures, SearchSpace

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Sampler(ABC):
    """Draws the networks among which a predictor looks for the best."""

    @abstractmethod
    def sample(
        self, space: SearchSpace[Any], history: History, predictor: Predictor, generator: torch.Generator
    ) -> Architectures:
        """Draws distinct valid networks.

        Args:
            space: The space that is searched.
            history: What was evaluated; at least one network with success.
            predictor: What was learned from it.
            generator: Where random numbers come from.
        """


class Whole(Sampler):
    """The whole space, always the same batch, so that what a predictor computes of it once can be kept.

    It holds the networks that were evaluated too; a search leaves them out of its choice.
    """

    def sample(
        self, space: SearchSpace[Any], history: History, predictor: Predictor, generator: torch.Generator
    ) -> Architectures:
        """Returns all networks of a finite space."""
        everything: Architectures = space.enumerate()
        return everything


class Uniform(Sampler):
    """Networks drawn with equal probability, without replacement.

    Args:
        size: N', how many.
    """

    def __init__(self, size: Count) -> None:
        self.size = size

    def sample(
        self, space: SearchSpace[Any], history: History, predictor: Predictor, generator: torch.Generator
    ) -> Architectures:
        """Draws networks that were not evaluated yet."""
        drawn: Architectures = draw_uniformly(space, history, self.size, generator)
        return drawn


class Evolutionary(Sampler):
    """Children of the best networks: mutations of one, then crossings of two (algorithm 2).

    Every element (edge, operation) of a mutated parent is drawn anew with the mutation rate, from all its values: an
    edge is flipped with half of that probability. Crossings take every element from one parent or the other.

    Args:
        size: N', how many.
        parents: P, how many of the best networks are parents.
        mutation_rate: Probability that an element is drawn anew.
        mutated: Alpha, share of the children that come by mutation.
    """

    def __init__(
        self,
        size: Count,
        parents: Count = 20,
        mutation_rate: Rate = 0.1,
        mutated: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        self.size = size
        self.parents = parents
        self.mutation_rate = mutation_rate
        self.mutated = mutated

    def sample(
        self, space: SearchSpace[Any], history: History, predictor: Predictor, generator: torch.Generator
    ) -> Architectures:
        """Breeds networks that were not evaluated yet; fewer than N' where the parents have no more children."""
        parents = history.at(history.best(self.parents))

        def pick(count: int) -> Architectures:
            return parents[torch.randint(len(parents), (count,), generator=generator)]

        def mutate(count: int) -> Architectures:
            children: Architectures = space.mutate(pick(count), generator, self.mutation_rate)
            return children

        def cross(count: int) -> Architectures:
            children: Architectures = space.crossover(pick(count), pick(count), generator)
            return children

        by_mutation = int(np.ceil(self.mutated * self.size))
        mutants = draw_new(space, history.codes, by_mutation, mutate)
        seen = torch.cat([history.codes, space.codes(mutants)])
        crossed = draw_new(space, seen, self.size - len(mutants), cross)
        children: Architectures = type(mutants).cat([mutants, crossed])
        return children
