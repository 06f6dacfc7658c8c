"""The NAP2 agent: train all, foresee, drop the worst, repeat (Algorithm 1 and section 3.4 of the source paper).

Budgets are counted in *units*: one unit is one network trained for one snapshot interval. The paper's interval is
100 mini-batch steps, so that its "100 steps before the first cut" is one unit here; an experiment that records
snapshots more often has smaller units and keeps all its rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from foretrain.metrics.selection import best_first

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
Cut = Annotated[float, Field(gt=0, lt=1)] | Literal["dynamic"]


class Contenders(Protocol):
    """A population of networks of which some are trained on, whether for real or on record."""

    @property
    def max_units(self) -> int:
        """Units after which a network is trained to its end."""

    def __len__(self) -> int:
        """Number of networks."""

    def advance(self, alive: IndexArray, units: int) -> None:
        """Trains the networks at the positions ``alive`` for ``units`` more units."""

    def scores(self, alive: IndexArray) -> FloatArray:
        """Returns how good they seem by now, ``float64[len(alive)]``; higher is better, NaN counts as the worst."""


@dataclass(frozen=True)
class SelectionRule:
    """How fast the agent drops networks: the parameters of Algorithm 1.

    Iteration i (from 0) drops the share ``cut * cut_decay**i`` of the networks that are left, rounded down, but at
    least one, and never more than would leave ``final_size``.

    Attributes:
        first_units: Units before the first cut (F_i).
        interval_units: Units before each further cut (S_i).
        cut: Share dropped in the first iteration (C_i). ``"dynamic"`` chooses it from the number of networks and the
            training that is left: with equal shares, ``final_size`` is reached just when the training ends.
        cut_decay: Factor of the share from one iteration to the next (C_d); above 1 the cuts grow.
        final_size: Networks to keep (F_s).
    """

    first_units: Annotated[int, Field(ge=1)]
    interval_units: Annotated[int, Field(ge=1)]
    cut: Cut
    cut_decay: Annotated[float, Field(gt=0)]
    final_size: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class PlannedIteration:
    """What an iteration will do, known beforehand since it does not depend on the scores.

    Attributes:
        units: Units by which each network is trained.
        keep: Networks left after the cut.
    """

    units: int
    keep: int


@dataclass(frozen=True, eq=False)
class Iteration:
    """What an iteration did.

    Attributes:
        units: Units by which each network was trained.
        alive: Positions of the networks that were trained, ascending.
        dropped: Positions of those that were then dropped, best first.
    """

    units: int
    alive: IndexArray
    dropped: IndexArray


@dataclass(frozen=True, eq=False)
class Selection:
    """What the agent chose.

    Attributes:
        kept: Positions of the chosen networks, best first by the last scores.
        resources: Units trained until the choice was made, summed over the networks; what the chosen ones still need
            to be trained to their end is not in it.
        history: The iterations in order; empty where there was nothing to drop, and in a replay of many rules.
    """

    kept: IndexArray
    resources: float
    history: tuple[Iteration, ...] = ()


def select(contenders: Contenders, rule: SelectionRule) -> Selection:
    """Runs the agent until ``rule.final_size`` networks are left.

    Equal scores are decided by position, the smaller one is better. A population that is not larger than
    ``final_size`` is returned untrained and in its own order, as the loop of Algorithm 1 then never begins.

    Args:
        contenders: The population.
        rule: How fast to drop.
    """
    alive = kept = np.arange(len(contenders))
    resources, history = 0.0, []
    for planned in plan(rule, len(contenders), contenders.max_units):
        contenders.advance(alive, planned.units)
        resources += len(alive) * planned.units
        ranked = alive[best_first(contenders.scores(alive))]
        kept, dropped = ranked[: planned.keep], ranked[planned.keep :]
        history.append(Iteration(planned.units, alive, dropped))
        alive = np.sort(kept)
    return Selection(kept, resources, tuple(history))


def plan(rule: SelectionRule, population: int, max_units: int) -> list[PlannedIteration]:
    """Returns the iterations of a rule.

    Where the networks are trained to their end before ``final_size`` is reached, the last cut goes down to it.

    Args:
        rule: How fast to drop.
        population: Number of networks at the start.
        max_units: Units after which a network is trained to its end.
    """
    iterations: list[PlannedIteration] = []
    left, used = population, 0
    cut = _dynamic_cut(rule, population, max_units) if rule.cut == "dynamic" else rule.cut
    while left > rule.final_size:
        units = min(rule.interval_units if iterations else rule.first_units, max_units - used)
        used += units
        left = rule.final_size if used == max_units else max(rule.final_size, left - _worst(left, cut))
        iterations.append(PlannedIteration(units, left))
        cut = min(cut * rule.cut_decay, 1.0)
    return iterations


def _dynamic_cut(rule: SelectionRule, population: int, max_units: int) -> float:
    """The share c with ``population * (1 - c)**iterations = final_size`` over all iterations that there can be."""
    further = max(0, max_units - rule.first_units)
    iterations = 1 + -(-further // rule.interval_units)
    left = min(1.0, rule.final_size / population)
    return float(1 - left ** (1 / iterations))


def _worst(left: int, cut: float) -> int:
    """How many of ``left`` networks to drop; a tiny amount makes up for shares like 0.29 that binary cannot hold."""
    return max(1, int(left * cut + 1e-9))
