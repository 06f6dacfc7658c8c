"""What every search is: a rule that says which networks to evaluate next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from foretrain.search.history import History
from foretrain.spaces.base import Architectures, SearchSpace

_ATTEMPTS = 20
_FEWEST_DRAWN = 16
"""So many are drawn at a time at least, as many of them may be known or equal."""

A = TypeVar("A", bound=Architectures)


@dataclass(frozen=True, eq=False)
class Proposal:
    """What to evaluate next.

    Attributes:
        archs: The networks, the most promising first; none where the space is exhausted.
        sampled: What they were chosen from; None where there was no choice.
    """

    archs: Architectures
    sampled: Architectures | None = None


class Strategy(ABC):
    """Proposes networks that were not evaluated yet, from what was.

    All random numbers come from the generator of the round; what else a strategy remembers from round to round is
    its :meth:`state`. So a search that goes on from its state on disk is the search that was never interrupted.

    Args:
        space: The space that is searched.
        seed: Seed of what the strategy learns.
    """

    def __init__(self, space: SearchSpace[Any], seed: int = 0) -> None:
        self.space = space
        self.seed = seed

    @abstractmethod
    def propose(self, history: History, generator: torch.Generator) -> Proposal:
        """Proposes the networks of the next round.

        Args:
            history: All rounds so far.
            generator: Where the random numbers of this round come from.
        """

    def state(self) -> Mapping[str, Any]:
        """Returns what is remembered besides the history: tensors and plain values."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` returned.

        Raises:
            ValueError: This strategy remembers nothing.
        """
        if state:
            raise ValueError(f"{type(self).__name__} remembers nothing, this is the state of another strategy")


StrategyFactory = Callable[..., Strategy]
"""Makes a strategy from ``space`` and ``seed``: a class, or a partial of one as a config gives it."""


def draw_new(space: SearchSpace[A], seen: Tensor, count: int, draw: Callable[[int], A], attempts: int = _ATTEMPTS) -> A:
    """Draws distinct networks that are not among the seen ones.

    Args:
        space: Tells networks apart.
        seen: ``int64[s]``, codes of networks that must not be drawn.
        count: How many are wanted.
        draw: Draws about as many as it is asked for, seen and equal ones among them.
        attempts: How often.

    Returns:
        At most ``count`` networks in the order in which they were drawn; fewer where the draws found no more.
    """
    parts, found = [], 0
    for _ in range(attempts):
        batch = draw(max(count - found, _FEWEST_DRAWN))
        codes = space.codes(batch)
        new = _first_of_each(codes) & ~torch.isin(codes, seen)
        places = new.nonzero()[: count - found, 0]
        parts.append(batch[places])
        seen = torch.cat([seen, codes[places]])
        found += len(places)
        if found == count:
            break
    return type(parts[0]).cat(parts)


def draw_uniformly(space: SearchSpace[A], history: History, count: int, generator: torch.Generator) -> A:
    """Draws distinct networks that were not evaluated, each with the same probability as the space's ``sample``."""
    return draw_new(space, history.codes, count, lambda n: space.sample(n, generator))


def _first_of_each(codes: Tensor) -> Tensor:
    """``bool[n]``, the first of several equal codes."""
    _, first = np.unique(codes.numpy(), return_index=True)
    marks = torch.zeros(len(codes), dtype=torch.bool)
    marks[torch.from_numpy(first)] = True
    return marks
