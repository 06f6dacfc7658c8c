"""Optuna's pruners on a population of networks: another library's word on halving and Hyperband.

The networks come one after the other in a random order, each reports its score after every unit, and the pruner says
when to stop it. So a network is judged by those before it only (asynchronous halving), and ``final_size`` plays no role
in what is trained.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from foretrain.runtime.extras import import_extra
from foretrain.runtime.seeding import derive_seed
from foretrain.search.agent import Contenders, FloatArray, Selection
from foretrain.search.selectors import Selector, Trials

Positive = Annotated[int, Field(ge=1)]
Factor = Annotated[int, Field(ge=2)]


@dataclass(frozen=True)
class OptunaPruning(Selector):
    """Trains every network until the pruner stops it.

    Attributes:
        reduction_factor: One network of so many goes on.
        min_units: Units before a network can be stopped.
    """

    reduction_factor: Factor
    min_units: Positive = 1

    @abstractmethod
    def make_pruner(self, pruners: Any, max_units: int) -> Any:  # noqa: ANN401 - a module and a class of optional packages
        """Returns the pruner out of ``optuna.pruners``."""

    def select(self, contenders: Contenders, features: FloatArray, seed: int) -> Selection:
        """Asks the pruner after each unit of each network; see :class:`~foretrain.search.selectors.Selector`."""
        optuna = import_extra("optuna", "baselines")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        trials = Trials(contenders)
        study = optuna.create_study(
            # Hyperband chooses a trial's bracket by the study's name and the trial's number.
            study_name=str(seed),
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=seed % 2**32),
            pruner=self.make_pruner(optuna.pruners, trials.max_units),
        )
        order = np.random.default_rng(derive_seed(seed, "optuna order")).permutation(len(trials))
        for position in order.tolist():
            _train(study.ask(), trials, position)
        return trials.selection()


@dataclass(frozen=True)
class OptunaHalving(OptunaPruning):
    """``optuna.pruners.SuccessiveHalvingPruner``."""

    def make_pruner(self, pruners: Any, max_units: int) -> Any:  # noqa: ANN401
        """Returns the pruner; see :class:`OptunaPruning`."""
        return pruners.SuccessiveHalvingPruner(min_resource=self.min_units, reduction_factor=self.reduction_factor)


@dataclass(frozen=True)
class OptunaHyperband(OptunaPruning):
    """``optuna.pruners.HyperbandPruner``."""

    def make_pruner(self, pruners: Any, max_units: int) -> Any:  # noqa: ANN401
        """Returns the pruner; see :class:`OptunaPruning`."""
        return pruners.HyperbandPruner(self.min_units, max_resource=max_units, reduction_factor=self.reduction_factor)


def optuna_halving_grid(reduction_factor: list[Factor], min_units: list[Positive]) -> list[Selector]:
    """Returns a halving for all combinations."""
    return [OptunaHalving(*values) for values in product(reduction_factor, min_units)]


def optuna_hyperband_grid(reduction_factor: list[Factor], min_units: list[Positive]) -> list[Selector]:
    """Returns a Hyperband for all combinations."""
    return [OptunaHyperband(*values) for values in product(reduction_factor, min_units)]


def _train(trial: Any, trials: Trials, position: int) -> None:  # noqa: ANN401 - a class of an optional package
    """Trains a network unit by unit until it is stopped or done; the study learns its last score.

    A score that is no number is reported as the worst possible, since Optuna stops comparing at NaN.
    """
    score = -np.inf
    for units in range(1, trials.max_units + 1):
        score = trials.score(position, units)
        score = score if np.isfinite(score) else -np.finfo(np.float64).max
        trial.report(score, units)
        if trial.should_prune():
            break
    trial.study.tell(trial, score)
