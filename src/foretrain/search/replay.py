"""The agent on recorded trajectories: one rule as if it were live, or a whole grid of rules at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from foretrain.metrics.selection import accuracy_difference, best_first, top_k_precision
from foretrain.search.agent import Cut, FloatArray, IndexArray, PlannedIteration, Selection, SelectionRule, plan

BoolArray = NDArray[np.bool_]


class RecordedContenders:
    """Networks whose training is on record.

    The scores make the method: the forecasts of a predictor are the NAP2 agent; **minus the validation loss** is
    successive halving on validation loss (section 4.3 of the source paper), with the same budgets and the same code;
    the validation accuracy, or anything else that was recorded, works alike.

    Args:
        scores: ``[n, t]``, how good each network seemed after 1 to t units; higher is better, NaN is the worst.
    """

    def __init__(self, scores: ArrayLike) -> None:
        self._scores = _as_trajectories(scores)
        self._units = np.zeros(len(self._scores), dtype=np.intp)

    @property
    def max_units(self) -> int:
        """Units on record."""
        return int(self._scores.shape[1])

    def __len__(self) -> int:
        return len(self._scores)

    def advance(self, alive: IndexArray, units: int) -> None:
        """Moves on in the records.

        Raises:
            ValueError: The records end before.
        """
        if np.any(self._units[alive] + units > self.max_units):
            raise ValueError(f"{units} more units lead past the {self.max_units} units on record")
        self._units[alive] += units

    def scores(self, alive: IndexArray) -> FloatArray:
        """Returns the scores after the units so far.

        Raises:
            ValueError: Some of the networks were not advanced yet.
        """
        if np.any(self._units[alive] == 0):
            raise ValueError("no scores before the first unit of training: call advance first")
        return self._scores[alive, self._units[alive] - 1]


def replay(scores: ArrayLike, rules: Sequence[SelectionRule]) -> list[Selection]:
    """Runs the agent with many rules on the same recorded trajectories at once.

    Gives what :func:`foretrain.search.agent.select` gives for each rule, but the history. The order of all networks at
    each unit is found once and serves all rules: a rule then only strikes out networks, without sorting.

    Args:
        scores: ``[n, t]``, as in :class:`RecordedContenders`.
        rules: s rules.

    Returns:
        The s selections, in the order of the rules.
    """
    scores = _as_trajectories(scores)
    population, max_units = scores.shape
    plans = [plan(rule, population, max_units) for rule in rules]
    order = best_first(scores.T)
    alive = np.ones((len(rules), population), dtype=np.bool_)
    used = np.zeros(len(rules), dtype=np.intp)
    for number in range(max(map(len, plans), default=0)):
        active = [index for index, planned in enumerate(plans) if number < len(planned)]
        used[active] += [plans[index][number].units for index in active]
        keep = np.array([plans[index][number].keep for index in active])
        alive[active] = _strike_out(alive[active], order[used[active] - 1], keep)
    ranked = [order[units - 1] if units else np.arange(population) for units in used]
    return [
        Selection(by_rank[mask[by_rank]], _resources(planned, population))
        for by_rank, mask, planned in zip(ranked, alive, plans, strict=True)
    ]


def rules_grid(
    first_units: list[Annotated[int, Field(ge=1)]],
    interval_units: list[Annotated[int, Field(ge=1)]],
    cut: list[Cut],
    cut_decay: list[Annotated[float, Field(gt=0)]],
    final_size: list[Annotated[int, Field(ge=1)]],
) -> list[SelectionRule]:
    """Returns all combinations of the given values, the last one varying fastest."""
    return [SelectionRule(*values) for values in product(first_units, interval_units, cut, cut_decay, final_size)]


def judge(selection: Selection, truth: ArrayLike) -> dict[str, float]:
    """Returns how good a selection is, under stable keys.

    Args:
        selection: What was chosen out of n networks.
        truth: ``[n]``, their final accuracies in percent.

    Returns:
        ``accuracy_difference`` in points, ``top3_precision`` and ``top5_precision`` (0 to 1), ``resources`` in units.
    """
    return {
        "accuracy_difference": accuracy_difference(truth, selection.kept),
        "top3_precision": top_k_precision(truth, selection.kept, k=3),
        "top5_precision": top_k_precision(truth, selection.kept, k=5),
        "resources": selection.resources,
    }


def judge_grid(scores: ArrayLike, rules: Sequence[SelectionRule], truth: ArrayLike) -> pd.DataFrame:
    """Returns one row for each rule: its parameters and what :func:`judge` says of its selection.

    Args:
        scores: ``[n, t]``, as in :class:`RecordedContenders`.
        rules: The rules.
        truth: ``[n]``, the final accuracies in percent.
    """
    selections = replay(scores, rules)
    return pd.DataFrame(
        [asdict(rule) | judge(selection, truth) for rule, selection in zip(rules, selections, strict=True)]
    )


def _as_trajectories(scores: ArrayLike) -> FloatArray:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"trajectories have shape [networks, units], units at least 1; these have {list(array.shape)}")
    return array


def _strike_out(alive: BoolArray, order: IndexArray, keep: IndexArray) -> BoolArray:
    """Leaves the best ``keep[s]`` of the networks ``alive[s, n]`` when ``order[s, n]`` lists all from best to worst."""
    by_rank = np.take_along_axis(alive, order, axis=1)
    by_rank &= np.cumsum(by_rank, axis=1) <= keep[:, None]
    left = np.empty_like(alive)
    np.put_along_axis(left, order, by_rank, axis=1)
    return left


def _resources(planned: Sequence[PlannedIteration], population: int) -> float:
    trained = [population, *(iteration.keep for iteration in planned)]
    return float(sum(size * iteration.units for size, iteration in zip(trained, planned, strict=False)))
