"""Searches without a predictor: random, by regularised evolution, and local."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from foretrain.errors import DataError
from foretrain.search.history import History
from foretrain.search.strategy import Proposal, Strategy, draw_new, draw_uniformly
from foretrain.spaces.base import Architectures, SearchSpace

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class RandomSearch(Strategy):
    """Draws networks uniformly, without replacement.

    Args:
        space: The space that is searched.
        seed: Not used; all strategies have it.
        batch: Networks in a round.
    """

    def __init__(self, space: SearchSpace[Any], seed: int = 0, batch: Count = 4) -> None:
        super().__init__(space, seed)
        self.batch = batch

    def propose(self, history: History, generator: torch.Generator) -> Proposal:
        """Draws the next networks."""
        return Proposal(draw_uniformly(self.space, history, self.batch, generator))


class RegularizedEvolution(Strategy):
    """Mutates the winner of a tournament among the youngest networks; old ones die, however good they are.

    Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.

    Args:
        space: The space that is searched.
        seed: Not used; all strategies have it.
        batch: Networks in a round; the population is brought up to date between rounds only.
        population: Networks that live at a time; so many are drawn at random in the beginning.
        tournament: Living networks of which the best becomes a parent.
        mutation_rate: Probability that an element of the parent is drawn anew.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        batch: Count = 4,
        population: Count = 50,
        tournament: Count = 10,
        mutation_rate: Rate = 0.1,
    ) -> None:
        super().__init__(space, seed)
        self.batch = batch
        self.population = population
        self.tournament = tournament
        self.mutation_rate = mutation_rate

    def propose(self, history: History, generator: torch.Generator) -> Proposal:
        """Draws the next networks, or breeds them once the population is full."""
        alive = history.succeeded[-self.population :]
        if len(alive) < self.population:
            return Proposal(draw_uniformly(self.space, history, self.batch, generator))

        def breed(count: int) -> Architectures:
            entrants = torch.rand((count, len(alive)), generator=generator).argsort(1)[:, : self.tournament].numpy()
            winners = alive[entrants[np.arange(count), history.accuracy[alive[entrants]].argmax(1)]]
            children: Architectures = self.space.mutate(history.at(winners), generator, self.mutation_rate)
            return children

        children = draw_new(self.space, history.codes, self.batch, breed)
        if len(children) == 0:
            return Proposal(draw_uniformly(self.space, history, self.batch, generator))
        return Proposal(children)


class LocalSearch(Strategy):
    """Climbs from network to better neighbour; where no neighbour is better, it starts anew at random.

    White et al., "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021, in the form that moves as
    soon as a better network is found.

    Args:
        space: The space that is searched.
        seed: Not used; all strategies have it.
        batch: Networks in a round; the search moves between rounds only.
        neighbours: After so many neighbours, none of them better, the network counts as a local optimum.
        mutation_rate: Probability that an element is drawn anew to make a neighbour.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        batch: Count = 4,
        neighbours: Count = 30,
        mutation_rate: Rate = 0.05,
    ) -> None:
        super().__init__(space, seed)
        self.batch = batch
        self.neighbours = neighbours
        self.mutation_rate = mutation_rate
        self._current: int | None = None
        self._tried = 0

    def propose(self, history: History, generator: torch.Generator) -> Proposal:
        """Moves to the best network of the last round if it is better, then draws neighbours."""
        if self._current is not None and not 0 <= self._current < len(history):
            raise DataError("local search", f"stands at network {self._current} of {len(history)}", "Begin anew")
        self._move(history)
        if self._current is None or self._tried >= self.neighbours:
            return self._restart(history, generator)
        parent = history.at([self._current])

        def step(count: int) -> Architectures:
            children: Architectures = self.space.mutate(parent[[0] * count], generator, self.mutation_rate)
            return children

        neighbours = draw_new(self.space, history.codes, self.batch, step)
        if len(neighbours) == 0:
            return self._restart(history, generator)
        self._tried += len(neighbours)
        return Proposal(neighbours)

    def state(self) -> Mapping[str, Any]:
        """Returns where the search stands."""
        return {"current": self._current, "tried": self._tried}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` returned."""
        current = state["current"]
        self._current, self._tried = None if current is None else int(current), int(state["tried"])

    def _restart(self, history: History, generator: torch.Generator) -> Proposal:
        self._current, self._tried = None, 0
        return Proposal(draw_uniformly(self.space, history, self.batch, generator))

    def _move(self, history: History) -> None:
        latest = np.flatnonzero((history.round == history.rounds - 1) & ~np.isnan(history.accuracy))
        if len(latest) == 0:
            return
        best = int(latest[history.accuracy[latest].argmax()])
        if self._current is None or history.accuracy[best] > history.accuracy[self._current]:
            self._current, self._tried = best, 0
