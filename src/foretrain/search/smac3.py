"""Hyperband and SMAC3 by the package ``smac`` (Lindauer et al. 2022), on a population of networks.

The package decides which network is trained next and how far: its Hyperband intensifier (Li et al. 2017) makes the
brackets and promotes, its configuration selector proposes, with or without a model. What this module does is to answer:
a trial of ``b`` units trains the network up to ``b`` units and tells minus its score as the cost.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from foretrain.runtime.extras import import_extra
from foretrain.search.agent import Contenders, FloatArray, Selection
from foretrain.search.selectors import Selector, Trials

Facade = Any
Network = Callable[[Any], int]
Positive = Annotated[int, Field(ge=1)]
Eta = Annotated[int, Field(ge=2)]

_WORST_COST = 1e6  # of a network whose loss is not finite; the model sees costs as logarithms
_COARSE = 16  # a column with more values than this is a real number to SMAC


@dataclass(frozen=True)
class Hyperband(Selector):
    """All brackets of Hyperband once, on networks drawn uniformly from the population, by SMAC3's own intensifier.

    Bracket s = s_max, ..., 0 starts ``ceil((s_max + 1) / (s + 1) * eta**s)`` networks with ``R * eta**-s`` units each
    and keeps the best of every eta, R being the units of a whole training and s_max the largest s whose networks get
    at least ``min_units``. Budgets that are no whole units are rounded up. The brackets have different networks; where
    the population ends, so does the search.

    Attributes:
        eta: One network of so many goes on.
        min_units: Units that a network is trained at least.
    """

    eta: Eta
    min_units: Positive = 1

    def select(self, contenders: Contenders, features: FloatArray, seed: int) -> Selection:
        """Runs the brackets; see :class:`~foretrain.search.selectors.Selector`."""
        smac, space = _packages()
        trials = Trials(contenders)
        # Before it has seen a result, SMAC3 samples with replacement: the population in a random order as its initial
        # design makes the networks of all brackets different ones, and each equally likely.
        order = np.random.default_rng(seed).permutation(len(contenders)).tolist()
        networks = space.Categorical("network", order)
        with tempfile.TemporaryDirectory() as folder:
            scenario = _scenario(smac, space, [networks], trials.max_units, self.min_units, 1 << 30, seed, folder)
            configs = [space.Configuration(scenario.configspace, {"network": position}) for position in order]
            facade = smac.HyperbandFacade(
                scenario,
                intensifier=smac.HyperbandFacade.get_intensifier(scenario, eta=self.eta),
                initial_design=smac.HyperbandFacade.get_initial_design(scenario, additional_configs=configs),
                logging_level=False,
            )
            _run(smac, facade, trials, lambda config: int(config["network"]), limit=self._trials(trials.max_units))
        return trials.selection()

    def _trials(self, max_units: int) -> int:
        """Trials in all brackets together, as the package counts them."""
        utilities = import_extra("smac.intensifier.hyperband_utils", "baselines")
        return int(utilities.determine_HB(min(self.min_units, max_units), max_units, self.eta)["trials_used"])


@dataclass(frozen=True)
class Smac3(Selector):
    """SMAC3's multi-fidelity facade: Hyperband whose networks a random forest proposes.

    SMAC3 searches in the box of ``features``; a point of the box stands for the network that is nearest to it, as the
    NAP2 paper maps "each of the algorithm's sample selections to the most relevant architecture".

    Attributes:
        trials: Trainings (a network up to some budget) that SMAC3 may ask for.
        initial: Random points that it starts with; at most all its trials.
        min_units: Units that a network is trained at least.
        eta: One network of so many goes on; 3 is the documented choice.
    """

    trials: Positive
    initial: Positive
    min_units: Positive = 1
    eta: Eta = 3

    def select(self, contenders: Contenders, features: FloatArray, seed: int) -> Selection:
        """Runs the search; see :class:`~foretrain.search.selectors.Selector`."""
        smac, space = _packages()
        trials = Trials(contenders)
        box = _Box(space, features)
        with tempfile.TemporaryDirectory() as folder:
            scenario = _scenario(
                smac, space, box.parameters, trials.max_units, self.min_units, self.trials, seed, folder
            )
            initial = min(self.initial, self.trials)
            facade = smac.MultiFidelityFacade(
                scenario,
                intensifier=smac.MultiFidelityFacade.get_intensifier(scenario, eta=self.eta),
                initial_design=smac.MultiFidelityFacade.get_initial_design(scenario, n_configs=initial, max_ratio=1.0),
                logging_level=False,
            )
            _run(smac, facade, trials, box.nearest, limit=self.trials)
        return trials.selection()


def hyperband_grid(eta: list[Eta], min_units: list[Positive]) -> list[Selector]:
    """Returns a Hyperband for all combinations."""
    return [Hyperband(*values) for values in product(eta, min_units)]


def smac3_grid(trials: list[Positive], initial: list[Positive], min_units: list[Positive]) -> list[Selector]:
    """Returns a SMAC3 for all combinations in which the initial design leaves a trial to the model."""
    return [Smac3(*values) for values in product(trials, initial, min_units) if values[1] < values[0]]


def _packages() -> tuple[Any, Any]:
    """The packages ``smac`` and ``ConfigSpace``, the former quiet."""
    smac = import_extra("smac", "baselines")
    logging.getLogger("smac").setLevel(logging.ERROR)
    return smac, import_extra("ConfigSpace", "baselines")


def _scenario(
    smac: Any,  # noqa: ANN401 - a module
    space: Any,  # noqa: ANN401 - a module
    parameters: list[Any],
    max_units: int,
    min_units: int,
    trials: int,
    seed: int,
    folder: str,
) -> Any:  # noqa: ANN401 - a class of an optional package
    config_space = space.ConfigurationSpace(seed=seed % 2**31)
    config_space.add(parameters)
    return smac.Scenario(
        config_space,
        deterministic=True,
        n_trials=trials,
        min_budget=min(min_units, max_units),
        max_budget=max_units,
        seed=seed % 2**31,
        output_directory=Path(folder),
    )


def _run(smac: Any, facade: Facade, trials: Trials, network: Network, limit: int) -> None:  # noqa: ANN401 - a module
    """Answers the facade's trials until there are no more of them."""
    exhausted = import_extra("smac.main.exceptions", "baselines").ConfigurationSpaceExhaustedException
    for _ in range(limit):
        try:
            trial = facade.ask()
        except (StopIteration, exhausted):
            return
        score = trials.score(network(trial.config), int(np.ceil(trial.budget - 1e-9)))
        cost = -score if np.isfinite(score) else _WORST_COST
        facade.tell(trial, smac.runhistory.TrialValue(cost=cost), save=False)


class _Box:
    """The space of the features: a parameter for each column that varies.

    Args:
        space: The package ``ConfigSpace``.
        features: ``[n, d]``, each column in 0 to 1.
    """

    def __init__(self, space: Any, features: FloatArray) -> None:  # noqa: ANN401 - a module
        self._names, self._values, self.parameters = [], [], []
        for column in np.flatnonzero(np.ptp(features, axis=0) > 0):
            name, values = f"x{column:04d}", np.unique(features[:, column])
            few = len(values) <= _COARSE
            self.parameters.append(
                space.Integer(name, (0, len(values) - 1)) if few else space.Float(name, (values[0], values[-1]))
            )
            self._names.append(name)
            self._values.append(values if few else None)
        self._features = features[:, [int(name[1:]) for name in self._names]]

    def nearest(self, config: Any) -> int:  # noqa: ANN401 - a class of an optional package
        """Returns the network nearest to a point of the space; of equally near ones the first."""
        point = [
            float(config[name]) if values is None else values[int(config[name])]
            for name, values in zip(self._names, self._values, strict=True)
        ]
        return int(np.square(self._features - point).sum(axis=1).argmin())
