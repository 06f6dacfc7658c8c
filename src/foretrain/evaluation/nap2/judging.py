"""How good the forecasts and the selections are, beside their baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.metrics.error import mae
from foretrain.metrics.rank import bootstrap_interval, spearman
from foretrain.search.agent import SelectionRule
from foretrain.search.replay import judge, judge_grid, replay

FloatArray = NDArray[np.float64]
SNAPSHOTS_SHOWN = (1, 3, 5, 10)
NAMES = {"test": "NAP2", "baseline/last_val": "last validation accuracy", "baseline/best_val": "best so far"}
JUDGED = ("accuracy_difference", "top3_precision", "top5_precision", "resources")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was foreseen and measured of n networks after each of t snapshots.

    Attributes:
        truth: ``[n]``, final test accuracy in percent.
        forecast: ``[n, t]``, forecast of the final accuracy, out of fold.
        last_value: ``[n, t]``, validation accuracy at that moment, in percent.
        loss: ``[n, t]``, validation loss at that moment; NaN where it is not finite.
        fixed: Scores known before training, ``[n]`` each, by name (parameters, FLOPs).
        folds: Positions of the networks of each fold.
    """

    truth: FloatArray
    forecast: FloatArray
    last_value: FloatArray
    loss: FloatArray
    fixed: Mapping[str, FloatArray]
    folds: Sequence[NDArray[np.intp]]

    @property
    def snapshots(self) -> int:
        """Number of snapshots t."""
        return int(self.forecast.shape[1])

    @property
    def curves(self) -> dict[str, FloatArray]:
        """The forecasters that change with the snapshots, ``[n, t]`` each, under their metric prefix."""
        best_so_far = np.maximum.accumulate(self.last_value, axis=1)
        return {"test": self.forecast, "baseline/last_val": self.last_value, "baseline/best_val": best_so_far}


def forecast_metrics(evidence: Evidence) -> dict[str, float]:
    """Returns MAE and Spearman of every forecaster after 1, 3, 5, 10 and all snapshots, under flat names.

    ``test/spearman@3`` is the predictor's after three snapshots, ``test/spearman`` after all of them; the baselines
    stand under ``baseline/...``. All networks are judged together, each foreseen by the fold that did not see it.
    """
    metrics: dict[str, float] = {"test/networks": len(evidence.truth), "test/snapshots": evidence.snapshots}
    moments = {f"@{k}": k - 1 for k in SNAPSHOTS_SHOWN if k <= evidence.snapshots} | {"": -1}
    for prefix, values in evidence.curves.items():
        for label, position in moments.items():
            metrics[f"{prefix}/mae{label}"] = mae(evidence.truth, values[:, position])
            metrics[f"{prefix}/spearman{label}"] = spearman(evidence.truth, values[:, position])
    for name, score in evidence.fixed.items():
        metrics[f"baseline/{name}/spearman"] = spearman(evidence.truth, score)
    return metrics


def over_snapshots(evidence: Evidence, statistic: Callable[..., float], seed: int) -> pd.DataFrame:
    """Returns one row a method and snapshot: ``method``, ``snapshots``, ``value``, ``lower``, ``upper``.

    Args:
        evidence: The forecasts.
        statistic: Of truth and forecast, e.g. Spearman's correlation.
        seed: Seed of the 95% bootstrap interval.
    """
    rows = []
    for prefix, values in evidence.curves.items():
        for position in range(evidence.snapshots):
            pair = (evidence.truth, values[:, position])
            lower, upper = bootstrap_interval(statistic, *pair, seed=seed)
            row = {"method": NAMES[prefix], "snapshots": position + 1, "value": statistic(*pair)}
            rows.append(row | {"lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def advantage_over_snapshots(evidence: Evidence, seed: int) -> pd.DataFrame:
    """Returns one row a snapshot: Spearman of the predictor minus that of the last validation accuracy.

    The interval is paired: both are judged on the same bootstrap samples of networks.
    """
    rows = []
    for position in range(evidence.snapshots):
        triple = (evidence.truth, evidence.forecast[:, position], evidence.last_value[:, position])
        lower, upper = bootstrap_interval(_spearman_difference, *triple, seed=seed)
        value = spearman(*triple[:2]) - spearman(evidence.truth, triple[2])
        rows.append({"snapshots": position + 1, "value": value, "lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def _spearman_difference(truth: FloatArray, ours: FloatArray, theirs: FloatArray, axis: int) -> FloatArray:
    return spearman(truth, ours, axis=axis) - spearman(truth, theirs, axis=axis)


def methods(evidence: Evidence) -> dict[str, FloatArray]:
    """The selection methods: what each ranks by after every snapshot, higher is better."""
    return {"agent": evidence.forecast, "halving": -evidence.loss}


def selection_table(evidence: Evidence, rule: SelectionRule) -> pd.DataFrame:
    """Returns one row a method and fold: what the rule selects out of the fold's networks (paper: 110 of them)."""
    rows = []
    for method, scores in methods(evidence).items():
        for number, members in enumerate(evidence.folds):
            selection = replay(scores[members], [rule])[0]
            rows.append({"method": method, "fold": number, **judge(selection, evidence.truth[members])})
    return pd.DataFrame(rows)


def selection_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Returns the means over the folds as ``agent/accuracy_difference``, ..., ``halving/resources``."""
    means = table.groupby("method", sort=False)[list(JUDGED)].mean()
    return {f"{method}/{name}": float(means.loc[method, name]) for method in means.index for name in JUDGED}


def grid_table(evidence: Evidence, rules: Sequence[SelectionRule]) -> pd.DataFrame:
    """Returns one row a method and rule: the means over the folds, for the figures over resources."""
    parts = []
    for method, scores in methods(evidence).items():
        folds = [judge_grid(scores[members], rules, evidence.truth[members]) for members in evidence.folds]
        means = pd.concat(folds).groupby(level=0)[list(JUDGED)].mean()
        parts.append(folds[0].drop(columns=list(JUDGED)).join(means).assign(method=method))
    return pd.concat(parts, ignore_index=True)
