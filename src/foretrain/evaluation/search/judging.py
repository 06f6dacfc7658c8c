"""What searches found, and how efficiently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from foretrain.evaluation.search.runs import Searched
from foretrain.metrics.gain import expected_draws, gain_of_draws, largest_gain, reached
from foretrain.search.history import FloatArray
from foretrain.search.objectives import BenchmarkPool

MOMENTS = (50, 100, 150, 300, 500, 1000)
"""Numbers of evaluated networks after which searches are judged."""

TOP = (1, 10, 100, 1000)
"""The targets of the gains: the errors that so many networks reach."""

_GRID = 120


class Targets(NamedTuple):
    """Target errors, percent, of what is seen.

    Attributes:
        top: ``float64[k]``, those that the best networks reach.
        ranks: How many networks reach each of them.
        grid: ``float64[t]``, from the best network's error to that of the median one.
    """

    top: FloatArray
    ranks: tuple[int, ...]
    grid: FloatArray

    @classmethod
    def of(cls, pool: BenchmarkPool) -> Targets:
        """Places the targets."""
        errors = np.sort(100 - pool.seen)
        ranks = tuple(rank for rank in TOP if rank < len(errors) / 2)
        return cls(errors[[rank - 1 for rank in ranks]], ranks, np.linspace(errors[0], np.median(errors), _GRID))

    @property
    def all(self) -> FloatArray:
        """All target errors, the grid last."""
        return np.concatenate([self.top, self.grid])


@dataclass(frozen=True, eq=False)
class Convergence:
    """The best networks so far.

    Attributes:
        seen: ``float64[runs, budget]``, the lowest error that was seen so far, percent.
        judged: ``float64[runs, budget]``, the judged error of the network that has it.
    """

    seen: FloatArray
    judged: FloatArray

    @classmethod
    def of(cls, searched: Searched, pool: BenchmarkPool, budget: int) -> Convergence:
        """Follows the runs; where one exhausted the space, its last network stands for the rest."""
        best = np.stack([_best_so_far(members, pool.seen, budget) for members in searched.members])
        return cls(100 - pool.seen[best], 100 - pool.judged[best])


def _best_so_far(members: NDArray[np.int64], accuracy: FloatArray, budget: int) -> NDArray[np.int64]:
    """The member with the highest accuracy among the first 1, 2, ... of a run."""
    highest = np.maximum.accumulate(accuracy[members])
    first = np.r_[True, highest[1:] > highest[:-1]]
    places = np.maximum.accumulate(np.where(first, np.arange(len(members)), 0))
    best: NDArray[np.int64] = members[np.pad(places, (0, budget - len(places)), mode="edge")]
    return best


@dataclass(frozen=True, eq=False)
class Gains:
    """Sample-efficiency gains of one method at targets, in decibel.

    Attributes:
        whole: Of the candidates over the space.
        limit: The largest that the urns allow.
        sampling: Of what the method chose from over the space (the source's gain_e).
        predictor: Of the candidates over what they were chosen from (gain_p).
    """

    whole: FloatArray
    limit: FloatArray
    sampling: FloatArray
    predictor: FloatArray

    @classmethod
    def of(cls, searched: Searched, pool: BenchmarkPool, targets: FloatArray) -> Gains:
        """Compares the urns."""
        errors = 100 - pool.seen
        candidates = errors[searched.proposed()]
        in_space, runs = reached(errors, targets), len(searched.members)
        space = expected_draws(len(errors), in_space)
        chosen = expected_draws(len(candidates), reached(candidates, targets))
        sampled = expected_draws(searched.sampled, searched.reached)
        limit = largest_gain(len(errors), in_space, len(candidates), runs)
        return cls(gain_of_draws(space, chosen), limit, gain_of_draws(space, sampled), gain_of_draws(sampled, chosen))

    def part(self, places: slice) -> Gains:
        """Returns the gains at some of the targets."""
        return Gains(self.whole[places], self.limit[places], self.sampling[places], self.predictor[places])


def moments(budget: int) -> list[int]:
    """Returns the numbers of networks after which a search of this budget is judged."""
    return sorted({moment for moment in MOMENTS if moment < budget} | {budget})


def convergence_table(found: dict[str, Convergence], budget: int) -> pd.DataFrame:
    """Returns one row a method and moment: mean, deviation and 95% interval (Student's t) of both errors over runs."""
    rows = []
    for method, convergence in found.items():
        for moment in moments(budget):
            row: dict[str, object] = {"method": method, "networks": moment}
            for name, values in (("seen", convergence.seen), ("judged", convergence.judged)):
                row |= _over_runs(values[:, moment - 1], name)
            rows.append(row)
    return pd.DataFrame(rows)


def _over_runs(values: FloatArray, name: str) -> dict[str, float]:
    runs = len(values)
    deviation = float(values.std(ddof=1)) if runs > 1 else np.nan
    half = float(stats.t.ppf(0.975, runs - 1)) * deviation / np.sqrt(runs) if runs > 1 else np.nan
    mean = float(values.mean())
    return {name: mean, f"{name}_sd": deviation, f"{name}_lower": mean - half, f"{name}_upper": mean + half}


def search_metrics(table: pd.DataFrame, gains: dict[str, Gains], ranks: tuple[int, ...]) -> dict[str, float]:
    """Returns all numbers by stable names: ``METHOD/judged_error@N`` and the like."""
    metrics: dict[str, float] = {}
    for row in table.to_dict("records"):
        for name in ("seen", "judged"):
            for end in ("", "_sd", "_lower", "_upper"):
                metrics[f"{row['method']}/{name}_error{end}@{row['networks']}"] = float(row[f"{name}{end}"])
    for method, gain in gains.items():
        for place, rank in enumerate(ranks):
            metrics[f"{method}/gain@top{rank}"] = float(gain.whole[place])
            metrics[f"{method}/largest_gain@top{rank}"] = float(gain.limit[place])
            metrics[f"{method}/sampling_gain@top{rank}"] = float(gain.sampling[place])
            metrics[f"{method}/predictor_gain@top{rank}"] = float(gain.predictor[place])
    return metrics
