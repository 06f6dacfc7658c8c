"""What is known of every network after every snapshot, in blocks that a predictor may see or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from foretrain.evaluation.nap2.judging import FloatArray
from foretrain.proxies import score
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.storage import PER_SNAPSHOT, SnapshotFolder
from foretrain.snapshots.summaries import summarize
from foretrain.training.candidate import candidate_data, candidate_module
from foretrain.training.population import Candidate

_LARGEST_LOSS = 1e6
_SMALLEST_LOSS = 1e-6


@dataclass(frozen=True, eq=False)
class Inputs:
    """The blocks of n networks and t snapshots; what does not change in training is there before the first.

    Attributes:
        hyperparameters: ``[n, 3]``: whether Adam trains it, logarithm of the learning rate, whether weights decay.
        architecture: ``[n, d]``: graph features where the space has them, logarithms of parameters and FLOPs, layers.
        zero_cost: ``[n, d]``: scores of the untrained network, NaN replaced by the column's median.
        zero_cost_names: Their names.
        curves: ``[n, t, 16]``: losses (as logarithms) and accuracies on training and validation images so far.
        inside: ``[n, t, d]``: summaries of weights and gradients, and their change since the first snapshot.
    """

    hyperparameters: FloatArray
    architecture: FloatArray
    zero_cost: FloatArray
    zero_cost_names: Sequence[str]
    curves: FloatArray
    inside: FloatArray

    def table(self, *blocks: str) -> FloatArray:
        """Puts blocks side by side, ``[n, t, d]``; those that do not change are repeated."""
        n, t = self.curves.shape[:2]
        parts: list[FloatArray] = [getattr(self, name) for name in blocks]
        spread = [part if part.ndim == 3 else np.broadcast_to(part[:, None], (n, t, part.shape[1])) for part in parts]
        return np.concatenate(spread, axis=2)


def gather_inputs(
    context: RunContext, data: SnapshotPopulation, recorded: SnapshotFolder, index: pd.DataFrame, proxies: list[str]
) -> Inputs:
    """Puts the blocks together; the untrained networks are scored through the parallel map.

    Args:
        context: The run.
        data: The population.
        recorded: Its recording.
        index: The index of its networks, in the population's order.
        proxies: Zero-cost scores to take, keys of :data:`foretrain.proxies.PROXIES`.
    """
    items = dict(zip(data.keys, data.candidates, strict=True))
    job = partial(score_untrained, data=data, proxies=proxies)
    records = context.parallel(job, items, context.folder.path / "fits" / "zero_cost", "scoring untrained networks")
    maps, rows, _ = recorded.load_all(index["key"].to_list())
    inside = summarize(maps, rows)
    return Inputs(
        hyperparameters=hyperparameter_inputs(index),
        architecture=architecture_inputs(data, index),
        zero_cost=_without_gaps(np.array([[records[key][name] for name in proxies] for key in index["key"]])),
        zero_cost_names=proxies,
        curves=curve_inputs(index),
        inside=np.concatenate([inside, inside - inside[:, :1]], axis=2),
    )


def score_untrained(candidate: Candidate, data: SnapshotPopulation, proxies: list[str]) -> Record:
    """Returns the zero-cost scores of a network with the weights that its training began with, higher is better."""
    module = candidate_module(candidate, data.space, data.images, data.plan, data.total_steps)
    batch = next(iter(candidate_data(candidate, data.images, data.plan).train_dataloader()))
    scores = score(module.network, batch, proxies=proxies, seed=derive_seed(candidate.seed, "zero-cost"))
    return {name: scores[name].signed for name in proxies}


def hyperparameter_inputs(index: pd.DataFrame) -> FloatArray:
    """Returns the block of hyperparameters, ``[n, 3]``."""
    settings = [json.loads(text) for text in index["hyperparameters"]]
    rows = [(item["optimizer"] == "adam", np.log(item["learning_rate"]), item["weight_decay"] > 0) for item in settings]
    return np.array(rows, dtype=np.float64)


def architecture_inputs(data: SnapshotPopulation, index: pd.DataFrame) -> FloatArray:
    """Returns the block of the architecture, ``[n, d]``."""
    logs = np.log(index[["parameters", "flops"]].to_numpy(dtype=np.float64))
    layers = index["layers"].map(len).to_numpy(dtype=np.float64)[:, None]
    if "graph_features" not in data.space.encoders:
        return np.concatenate([logs, layers], axis=1)
    graphs = data.space.encode(data.space.parse(index["architecture"].to_list()), "graph_features")
    return np.concatenate([np.asarray(graphs, dtype=np.float64), logs, layers], axis=1)


def curve_inputs(index: pd.DataFrame) -> FloatArray:
    """Returns the block of the curves, ``[n, t, 16]``: value, mean and best so far, and change of each."""
    parts = []
    for name in PER_SNAPSHOT:
        values = np.stack(index[name].to_list()).astype(np.float64)
        if name.endswith("loss"):
            # bounded, since a diverged network's loss is infinite; minus, so that higher is better for all
            finite = np.nan_to_num(values, nan=_LARGEST_LOSS, posinf=_LARGEST_LOSS)
            values = -np.log(np.clip(finite, _SMALLEST_LOSS, _LARGEST_LOSS))
        so_far = np.cumsum(values, axis=1) / np.arange(1, values.shape[1] + 1)
        best = np.maximum.accumulate(values, axis=1)
        change = np.diff(values, axis=1, prepend=values[:, :1])
        parts += [values, so_far, best, change]
    return np.stack(parts, axis=2)


def configuration_space(data: SnapshotPopulation, index: pd.DataFrame) -> FloatArray:
    """Returns each network as a point of the box that SMAC3 searches in, ``[n, d]`` in 0 to 1.

    Architecture (one-hot where the space has it) and hyperparameters, each column scaled by its range.
    """
    blocks = [hyperparameter_inputs(index)]
    if "one_hot" in data.space.encoders:
        encoded = data.space.encode(data.space.parse(index["architecture"].to_list()), "one_hot")
        blocks.append(np.asarray(encoded, dtype=np.float64).reshape(len(index), -1))
    points = np.concatenate(blocks, axis=1)
    span = np.ptp(points, axis=0)
    scaled: FloatArray = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
    return scaled


def depth_table(indices: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns how many networks of each population have fewer than 10, 20, ... layers (table 2 of the paper).

    The paper's columns overlap in name ("Depth < 60" beside "Depth < 50") and add up to the population, so each counts
    from the column before.
    """
    deepest = max(index["layers"].map(len).max() for index in indices.values())
    bounds = range(10, deepest + 11, 10)
    rows = []
    for name, index in indices.items():
        layers = index["layers"].map(len).to_numpy()
        rows.append({"population": name} | dict(_binned(layers, bounds)))
    return pd.DataFrame(rows)


def _binned(layers: FloatArray, bounds: Sequence[int]) -> Iterator[tuple[str, int]]:
    for upper in bounds:
        yield f"{upper - 10} to {upper - 1} layers", int(np.count_nonzero((layers >= upper - 10) & (layers < upper)))


def _without_gaps(scores: FloatArray) -> FloatArray:
    """Replaces what is no finite number by the column's median; a column without any by zeros."""
    known = np.where(np.isfinite(scores), scores, np.nan)
    median = [np.nanmedian(column) if np.isfinite(column).any() else 0.0 for column in known.T]
    return np.where(np.isfinite(known), known, median)
