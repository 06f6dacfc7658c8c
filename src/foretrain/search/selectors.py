"""Selection methods that ask for one network at a time, and what they share: the count of what was trained.

Whatever a method is, it is given :class:`~foretrain.search.agent.Contenders` (recorded or really trained), its
resources are counted in the same units, and it returns all networks that it trained, ranked by their most recent
performance (NAP2, section 4.3). The first ``final_size`` of them are its choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from foretrain.metrics.selection import best_first
from foretrain.runtime.seeding import make_generator
from foretrain.search.agent import Contenders, FloatArray, Selection


class Selector(ABC):
    """A selection method with its settings.

    Attributes:
        trains_to_end: Whether each network that is trained at all is trained to its end.
    """

    trains_to_end: ClassVar[bool] = False

    @abstractmethod
    def select(self, contenders: Contenders, features: FloatArray, seed: int) -> Selection:
        """Trains networks as the method wants and ranks those that it trained.

        Args:
            contenders: The population, not trained yet.
            features: ``[n, d]``, each network as a point of the space that a method with a model searches in; each
                column is in 0 to 1.
            seed: Seed of all that is random.
        """


class Trials:
    """Trains single networks up to where a method wants them, and counts the units.

    A network that was trained before goes on from there, so its units are counted once. Asked for less training than a
    network has, this gives its score as it is: nobody trains anew to know less.

    Args:
        contenders: The population, not trained yet.
    """

    def __init__(self, contenders: Contenders) -> None:
        self._contenders = contenders
        self._units = np.zeros(len(contenders), dtype=np.intp)
        self._latest = np.full(len(contenders), np.nan)

    @property
    def max_units(self) -> int:
        """Units after which a network is trained to its end."""
        return self._contenders.max_units

    def __len__(self) -> int:
        return len(self._contenders)

    def score(self, position: int, units: int) -> float:
        """Returns the score of a network after ``units`` units in all; higher is better, NaN where it has none."""
        missing = units - self._units[position]
        if missing > 0:
            one = np.array([position])
            self._contenders.advance(one, int(missing))
            self._units[position] = units
            self._latest[position] = self._contenders.scores(one)[0]
        return float(self._latest[position])

    def selection(self) -> Selection:
        """Returns the networks that were trained, best first by their most recent scores."""
        trained = np.flatnonzero(self._units)
        return Selection(trained[best_first(self._latest[trained])], float(self._units.sum()))


@dataclass(frozen=True)
class FullTraining(Selector):
    """Trains all networks to their end: what every other method is to save."""

    trains_to_end: ClassVar[bool] = True

    def select(self, contenders: Contenders, features: FloatArray, seed: int) -> Selection:
        """Ranks all by their last scores; see :class:`Selector`."""
        everyone = np.arange(len(contenders))
        contenders.advance(everyone, contenders.max_units)
        ranked = everyone[best_first(contenders.scores(everyone))]
        return Selection(ranked, float(len(contenders) * contenders.max_units))


@dataclass(frozen=True)
class RandomSearch(Selector):
    """Trains a random share of the networks to their end (Bergstra & Bengio 2012).

    Attributes:
        share: Share of the population that is trained, rounded up.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    trains_to_end: ClassVar[bool] = True

    def select(self, contenders: Contenders, features: FloatArray, seed: int) -> Selection:
        """Ranks the chosen by their last scores; see :class:`Selector`."""
        count = int(np.ceil(self.share * len(contenders) - 1e-9))
        generator = np.random.default_rng(make_generator(seed, "random search").initial_seed())
        chosen = np.sort(generator.permutation(len(contenders))[:count])
        contenders.advance(chosen, contenders.max_units)
        return Selection(chosen[best_first(contenders.scores(chosen))], float(count * contenders.max_units))


def random_search_grid(share: list[Annotated[float, Field(gt=0, le=1)]]) -> list[Selector]:
    """Returns a random search for each share."""
    return [RandomSearch(value) for value in share]
