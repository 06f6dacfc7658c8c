"""What a selection costs in seconds, and what it saves: time saved minus time spent on recording and foreseeing.

Seconds are those of the processor. They depend on the machine and are no metrics: they stand in ``timings.json`` and in
the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F

from foretrain.evaluation.nap2.inputs import score_untrained
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.statistics import NetworkStatistics, trainable_layers
from foretrain.training.candidate import CandidateTraining, candidate_data, candidate_module

_NETWORKS = 4
_REPEATS = 3
_UNITS = 3


@dataclass(frozen=True)
class UnitCosts:
    """Seconds of one unit (one network trained for one snapshot interval).

    Attributes:
        training: Of training and evaluating.
        recording: Of a snapshot.
        foreseeing: Of turning a snapshot into a forecast, by the method that does.
        scoring: Of the zero-cost scores of one untrained network, by the method that looks at them.
        fitting: Of fitting the predictor, once for all sweeps, by the method that has one.
    """

    training: float
    recording: float
    foreseeing: Mapping[str, float]
    scoring: Mapping[str, float]
    fitting: Mapping[str, float]


def recording_seconds(data: SnapshotPopulation) -> float:
    """Returns the median seconds of a snapshot, over the first few networks of a population."""
    seconds = []
    for candidate in data.candidates[:_NETWORKS]:
        module = candidate_module(candidate, data.space, data.images, data.plan, data.total_steps)
        images, labels = next(iter(candidate_data(candidate, data.images, data.plan).train_dataloader()))
        torch.autograd.backward(F.cross_entropy(module.network(images), labels))
        layers = list(trainable_layers(module.network).values())
        statistics = NetworkStatistics(layers, torch.Generator().manual_seed(0))
        seconds += [seconds_of(statistics) for _ in range(_REPEATS)]
    return float(pd.Series(seconds).median())


def training_seconds(data: SnapshotPopulation) -> float:
    """Returns the median seconds of a unit of training and its evaluation, over the first few networks."""
    units = min(_UNITS, data.total_steps // data.every_n_steps)
    seconds = []
    for candidate in data.candidates[:_NETWORKS]:
        training = CandidateTraining(candidate, data.space, data.images, data.plan)
        seconds.append(seconds_of(partial(training.advance, units * data.every_n_steps)) / units)
    return float(pd.Series(seconds).median())


def scoring_seconds(data: SnapshotPopulation, proxies: list[str]) -> float:
    """Returns the median seconds of the zero-cost scores of a network, over the first few networks."""
    jobs = [partial(score_untrained, candidate, data, proxies) for candidate in data.candidates[:_NETWORKS]]
    return float(pd.Series([seconds_of(job) for job in jobs]).median())


def seconds_of(work: Callable[[], object]) -> float:
    """Returns the processor seconds of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def net_cost(table: pd.DataFrame, costs: UnitCosts, networks: float, total_units: int) -> pd.DataFrame:
    """Returns what each selection costs and saves against training all networks to their end.

    What the chosen networks still need to be trained to their end is on no side of the account.

    Args:
        table: One row a method: ``method``, ``resources`` and ``seconds`` (of its decisions) for one selection.
        costs: Seconds of a unit.
        networks: Networks that are selected from.
        total_units: Units of a whole training.

    Returns:
        Columns ``method``, ``resources``, ``training``, ``recording``, ``foreseeing``, ``deciding``, ``saved`` (all in
        seconds), ``saved_share`` (of full training), ``fit_once``.
    """
    full = networks * total_units * costs.training
    foresees, scores, fits = (
        table["method"].map(part).astype(float).fillna(0.0) for part in (costs.foreseeing, costs.scoring, costs.fitting)
    )
    result = pd.DataFrame(
        {
            "method": table["method"],
            "resources": table["resources"],
            "training": table["resources"] * costs.training,
            "recording": table["resources"] * costs.recording * (foresees > 0),
            "foreseeing": table["resources"] * foresees + networks * scores,
            "deciding": table["seconds"],
        }
    )
    result["saved"] = full - result[["training", "recording", "foreseeing", "deciding"]].sum(axis=1)
    result["saved_share"] = result["saved"] / full
    result["fit_once"] = fits
    return result


def nearest_settings(table: pd.DataFrame, resources: float, final_size: int) -> pd.DataFrame:
    """Returns for each method the setting whose resources are nearest to the given ones; of equal ones the first."""
    of_size = table[table["final_size"] == final_size]
    distance = (of_size["resources"] - resources).abs()
    return of_size.loc[distance.groupby(of_size["method"], sort=False).idxmin()].reset_index(drop=True)
