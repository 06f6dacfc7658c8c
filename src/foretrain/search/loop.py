"""The loop around every strategy: propose, evaluate, and keep all on disk after each round."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretrain.errors import CheckpointError
from foretrain.runtime.files import atomic_path
from foretrain.runtime.resuming import going_on_from
from foretrain.runtime.seeding import make_generator
from foretrain.runtime.tensors import load_tensors
from foretrain.search.history import FloatArray, History
from foretrain.search.objectives import Objective
from foretrain.search.strategy import Strategy
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.modules import Members

_SCHEMA_VERSION = 1


class SampleCount:
    """Counts how good the networks are that a strategy chose from; for judging a search whose truth is known.

    Args:
        accuracy: ``float64[N]``, true accuracies of the members of a finite space. The strategy never sees them.
        targets: ``float64[t]``, accuracies to reach.

    Attributes:
        total: Networks counted, over all rounds.
        reached: ``int64[t]``, how many of them reach each target.
    """

    def __init__(self, accuracy: FloatArray, targets: FloatArray) -> None:
        self._order = np.argsort(targets)
        self._targets = targets[self._order]
        self._accuracy = accuracy
        self.total = 0
        self.reached = np.zeros(len(targets), dtype=np.int64)

    def add(self, sampled: Members, seen: Tensor) -> None:
        """Adds the networks of a round, but for those that were evaluated before."""
        new = sampled.index[~torch.isin(sampled.index, seen)].numpy()
        places = np.searchsorted(self._targets, self._accuracy[new], side="right")
        at_least = np.bincount(places, minlength=len(self._targets) + 1)[::-1].cumsum()[::-1][1:]
        self.reached[self._order] += at_least
        self.total += len(new)


def run_search(
    strategy: Strategy,
    objective: Objective,
    budget: int,
    seed: int,
    path: str | Path | None = None,
    count: SampleCount | None = None,
    save_seconds: float = 0.0,
) -> History:
    """Evaluates networks until the budget is spent or the space is exhausted.

    Args:
        strategy: Says what to evaluate next; new, so that its state is that before the first round.
        objective: Evaluates it. A failed evaluation is recorded with its reason, and counts.
        budget: Number of networks.
        seed: Seed of the random numbers of all rounds.
        path: File for the state after each round. Where it is there, the search goes on from it as if it had not been
            interrupted; a kill loses at most the networks of one round.
        count: Counts what the strategy chose from.
        save_seconds: Where rounds take moments: age of the state on disk from which on it is written again.

    Returns:
        All networks in the order of their evaluation.

    Raises:
        CheckpointError: The file is damaged or belongs to another search.
    """
    history = History.empty(objective.space)
    label = {"seed": seed, "strategy": type(strategy).__qualname__, "space": objective.space.name}
    if path is not None and Path(path).exists():
        history = _restore(Path(path), label, objective, strategy, count)
    saved = time.monotonic()
    while len(history) < budget:
        proposal = strategy.propose(history, make_generator(seed, "round", history.rounds))
        chosen = proposal.archs[: budget - len(history)]
        if len(chosen) == 0:
            break
        if count is not None and isinstance(proposal.sampled, Members):
            count.add(proposal.sampled, history.codes)
        history = history.extended(chosen, objective.evaluate(chosen))
        if path is not None and time.monotonic() - saved >= save_seconds:
            _save(Path(path), label, history, strategy, count)
            saved = time.monotonic()
    if path is not None and save_seconds > 0:
        _save(Path(path), label, history, strategy, count)
    return history


def _save(
    path: Path, label: Mapping[str, Any], history: History, strategy: Strategy, count: SampleCount | None
) -> None:
    archs = history.archs
    content = {
        "schema_version": _SCHEMA_VERSION,
        "label": dict(label),
        "archs": [] if archs is None else archs.tensors(),
        "accuracy": torch.from_numpy(history.accuracy),
        "reason": list(history.reason),
        "round": torch.from_numpy(history.round),
        "strategy": dict(strategy.state()),
        "counted": None if count is None else (count.total, torch.from_numpy(count.reached)),
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def _restore(
    path: Path, label: Mapping[str, Any], objective: Objective, strategy: Strategy, count: SampleCount | None
) -> History:
    with going_on_from(path):
        content = load_tensors(path)
        if content["schema_version"] != _SCHEMA_VERSION:
            raise CheckpointError(path, "is no state of a search of this version", "Delete it to begin anew")
        if content["label"] != label:
            problem = f"holds the search {content['label']}, not {dict(label)}"
            raise CheckpointError(path, problem, "Choose another file")
        strategy.set_state(content["strategy"])
        if count is not None:
            total, reached = content["counted"]
            count.total, count.reached[:] = int(total), reached.numpy()
        return _history(content, objective.space)


def _history(content: Mapping[str, Any], space: SearchSpace[Any]) -> History:
    """The networks of a state, none of which the space would not have."""
    given: Architectures = type(space.sample(1, torch.Generator()))(*content["archs"])
    archs = space.parse(space.format(given))
    accuracy, rounds = (content[name].numpy() for name in ("accuracy", "round"))
    reason = tuple(map(str, content["reason"]))
    lengths = {values.shape for values in (accuracy, rounds)} | {(len(reason),)}
    if lengths != {(len(archs),)} or accuracy.dtype != np.float64 or rounds.dtype != np.int64 or len(archs) == 0:
        raise ValueError(f"{len(archs)} networks, but not as many accuracies, rounds and reasons")
    return History(space, archs, accuracy, reason, rounds, space.codes(archs))
