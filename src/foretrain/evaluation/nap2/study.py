"""The study from the recording of a population to the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.evaluation.nap2.crossvalidation import cross_validate
from foretrain.evaluation.nap2.folds import Fold, split_folds
from foretrain.evaluation.nap2.judging import Evidence, FloatArray, forecast_metrics, selection_metrics, selection_table
from foretrain.evaluation.nap2.report import print_summary, write_report
from foretrain.runtime.files import sha256
from foretrain.runtime.study import RunContext, Study
from foretrain.search.agent import SelectionRule
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.training import AutoencoderSettings, PredictorSettings


class Nap2Study(Study):
    """Records a population, foresees every network out of fold, and lets the agent compete with halving.

    Args:
        data: The population and how it is recorded.
        autoencoder: Settings of the autoencoders.
        predictor: Settings of the LSTM.
        rule: The rule by which agent and halving drop networks, in the tables.
        grid: More rules, for the figures.
        folds: Folds of the cross-validation over networks.
        validation_share: Share of a fold's other networks that early stopping looks at.
    """

    def __init__(
        self,
        data: SnapshotPopulation,
        autoencoder: AutoencoderSettings,
        predictor: PredictorSettings,
        rule: SelectionRule,
        grid: list[SelectionRule],
        folds: Annotated[int, Field(ge=2)] = 4,
        validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2,
    ) -> None:
        self.data = data
        self.autoencoder = autoencoder
        self.predictor = predictor
        self.rule = rule
        self.grid = grid
        self.folds = folds
        self.validation_share = validation_share
        check_sizes(data.population, folds, validation_share, rule)

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        timings: dict[str, float] = {}
        with timed(timings, "record"):
            recorded = self.data.record(context.parallel)
            index = self.data.index()
        folds = split_folds(len(index), self.folds, self.validation_share, context.seed)
        with timed(timings, "fit"):
            forecast = cross_validate(context, recorded, index, folds, self.autoencoder, self.predictor).forecast
        with timed(timings, "judge"):
            evidence = gather_evidence(index, forecast, folds)
            selected = selection_table(evidence, self.rule)
            metrics = forecast_metrics(evidence) | selection_metrics(selected)
            context.folder.write_metrics(metrics)
            context.folder.write_predictions(prediction_table(index, evidence))
            context.folder.write_provenance(context.seed, {"snapshots/index.parquet": sha256(recorded.index_path)})
            write_report(context, self.data, evidence, selected, self.rule, self.grid)
        print_summary(metrics)
        return timings


def gather_evidence(index: pd.DataFrame, forecast: FloatArray, folds: list[Fold]) -> Evidence:
    """Puts together what was measured and foreseen; the forecasts are as many as the longest training has snapshots.

    Args:
        index: The index of the recorded networks.
        forecast: ``[n, t]``, out of fold.
        folds: The folds, the one without a test set included.
    """
    loss = np.stack(index["val_loss"].to_list())
    return Evidence(
        truth=index["test_accuracy"].to_numpy(dtype=np.float64),
        forecast=forecast,
        last_value=np.stack(index["val_accuracy"].to_list()),
        loss=np.where(np.isfinite(loss), loss, np.nan),
        fixed={name: index[name].to_numpy(dtype=np.float64) for name in ("parameters", "flops")},
        folds=[fold.test for fold in folds if len(fold.test)],
    )


def prediction_table(index: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Returns one row a network and number of snapshots, for ``predictions.parquet``; accuracies in percent."""
    fold_of = np.empty(len(index), dtype=np.int64)
    for number, members in enumerate(evidence.folds):
        fold_of[members] = number
    t = evidence.snapshots
    return pd.DataFrame(
        {
            "arch_id": np.repeat(index["key"].to_numpy(), t),
            "fold": np.repeat(fold_of, t),
            "snapshots": np.tile(np.arange(1, t + 1), len(index)),
            "mean": evidence.forecast.ravel(),
            "truth": np.repeat(evidence.truth, t),
            "val_accuracy": evidence.last_value.ravel(),
            "val_loss": evidence.loss.ravel(),
        }
    )


def check_sizes(population: int, folds: int, validation_share: float, rule: SelectionRule) -> None:
    """Refuses what cannot work before anything is recorded."""
    try:
        split_folds(population, folds, validation_share, seed=0)
    except ValueError as error:
        raise ConfigError("data.population", str(error), population) from error
    if rule.final_size >= population // folds:
        allowed = f"less than the {population // folds} networks of a fold"
        raise ConfigError("rule.final_size", "leaves nothing to select", rule.final_size, allowed)


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Notes the wall-clock seconds of the block under a name."""
    start = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - start
