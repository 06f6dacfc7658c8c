"""One search of one method on one benchmark, as a job among many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed
from foretrain.search.history import FloatArray
from foretrain.search.loop import SampleCount, run_search
from foretrain.search.objectives import BenchmarkPool
from foretrain.search.strategy import StrategyFactory

_SAVE_SECONDS = 20.0


@dataclass(frozen=True)
class SearchJob:
    """What one search needs.

    Attributes:
        task: The benchmark.
        make: Makes the strategy.
        seed: Seed of the search.
        budget: Number of networks.
        targets: Accuracies whose reaching is counted among what the strategy chose from.
        state: File of the search's state.
    """

    task: BenchmarkTask
    make: StrategyFactory
    seed: int
    budget: int
    targets: tuple[float, ...]
    state: Path


@dataclass(frozen=True, eq=False)
class Searched:
    """What the runs of one method did.

    Attributes:
        members: For each run ``int64[n]``, the members that it evaluated, in order.
        rounds: For each run ``int64[n]``, the round in which each was proposed.
        sampled: Networks that the method chose from, over all runs and rounds.
        reached: ``float64[t]``, how many of them reach each target.
    """

    members: list[NDArray[np.int64]]
    rounds: list[NDArray[np.int64]]
    sampled: int
    reached: FloatArray

    @classmethod
    def of(cls, records: Sequence[Record]) -> Searched:
        """Puts the records of :func:`run_job` together."""
        return cls(
            [np.array(record["members"]) for record in records],
            [np.array(record["rounds"]) for record in records],
            sum(record["sampled"] for record in records),
            np.sum([record["reached"] for record in records], axis=0),
        )

    def proposed(self) -> NDArray[np.int64]:
        """Returns the members of all rounds but the first, over all runs: the urn of candidates."""
        return np.concatenate([members[rounds > 0] for members, rounds in zip(self.members, self.rounds, strict=True)])


@cache
def open_pool(task: BenchmarkTask) -> BenchmarkPool:
    """Returns the networks of a benchmark, once a process: what is computed of all of them is kept there."""
    return BenchmarkPool(task)


def run_job(job: SearchJob) -> Record:
    """Runs a search and returns what it evaluated and what it chose from."""
    pool = open_pool(job.task)
    count = SampleCount(pool.seen, np.array(job.targets))
    strategy = job.make(space=pool.space, seed=derive_seed(job.seed, "strategy"))
    history = run_search(strategy, pool.objective(), job.budget, job.seed, job.state, count, save_seconds=_SAVE_SECONDS)
    job.state.unlink(missing_ok=True)
    return {
        "members": history.codes.tolist(),
        "rounds": history.round.tolist(),
        "sampled": count.total,
        "reached": count.reached.tolist(),
    }


def jobs_of(
    methods: Mapping[str, StrategyFactory],
    task: BenchmarkTask,
    runs: int,
    budget: int,
    targets: FloatArray,
    seed: int,
    folder: Path,
) -> dict[str, SearchJob]:
    """Returns the jobs of all methods; run r has the same seed, and so the same first networks, for each."""
    return {
        f"{name}-{run:03d}": SearchJob(
            task,
            make,
            derive_seed(seed, "run", run),
            budget,
            tuple(targets.tolist()),
            folder / f"{name}-{run:03d}.pt",
        )
        for name, make in methods.items()
        for run in range(runs)
    }
