"""What the comparison found, as tables and as flat metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from foretrain.evaluation.nap2.competition import PairedDifference
from foretrain.evaluation.nap2.cost import UnitCosts
from foretrain.evaluation.nap2.judging import JUDGED, SNAPSHOTS_SHOWN, Evidence, FloatArray
from foretrain.metrics.error import mae, mse
from foretrain.metrics.rank import bootstrap_interval, spearman

BOTH = "inside and outside"
OUTSIDE = "outside only"
INSIDE = "inside only"
LSTM = "NAP2 (LSTM)"
ATTENTION = "attention (inside and outside)"
EXTRAPOLATION = "curve extrapolation"
LAST = "last validation accuracy"
TRAINING = "training accuracy"
SOTL = "training loss (SoTL-E)"
BEFORE = "known before training"
HALVING = "successive halving"
HALVING_TRAINING = "halving on training accuracy"
BLACK_BOX = (OUTSIDE, EXTRAPOLATION, LAST, TRAINING, SOTL, BEFORE)
"""Ways to foresee that do not look inside."""
IN_PERCENT = (BOTH, OUTSIDE, INSIDE, ATTENTION, LSTM, LAST, BEFORE)
"""Ways whose forecast is an accuracy, so that it has an error."""
LEARNED_PAIRS = ((ATTENTION, LSTM), (INSIDE, LSTM), (ATTENTION, BOTH), (ATTENTION, OUTSIDE))
"""Which way should beat which, for the question whether the paper's predictor is beaten at equal data."""

_SLUGS = {
    BOTH: "both",
    OUTSIDE: "outside",
    INSIDE: "inside",
    LSTM: "nap2",
    ATTENTION: "attention",
    EXTRAPOLATION: "extrapolation",
    LAST: "last_val",
    TRAINING: "last_train",
    SOTL: "sotl",
    BEFORE: "before",
    HALVING: "halving",
    HALVING_TRAINING: "halving_train",
}


@dataclass(frozen=True, eq=False)
class Findings:
    """What the comparison found.

    Attributes:
        evidence: What was measured.
        forecasts: Each way to foresee, ``[n, t]``, higher is better.
        zero_cost: Scores of the untrained networks, ``[n]``.
        selections: One row a method, setting and final size.
        nearest: Of each method the setting whose resources are nearest to those of the rule of the tables.
        equal: (ours, theirs, share) to their comparison at equal resources.
        costs: Seconds that each row of ``nearest`` costs and saves.
        unit_costs: Seconds of a unit.
        index: The index of the networks.
        seed: Seed of the intervals.
    """

    evidence: Evidence
    forecasts: Mapping[str, FloatArray]
    zero_cost: Mapping[str, FloatArray]
    selections: pd.DataFrame
    nearest: pd.DataFrame
    equal: Mapping[tuple[str, str, float], PairedDifference]
    costs: pd.DataFrame
    unit_costs: UnitCosts
    index: pd.DataFrame
    seed: int

    def moments(self) -> list[int]:
        """Numbers of snapshots that tables show."""
        shown = (*SNAPSHOTS_SHOWN, self.evidence.snapshots)
        return [count for count in dict.fromkeys(shown) if count <= self.evidence.snapshots]


def advantage(findings: Findings, ours: str, theirs: str) -> pd.DataFrame:
    """Returns one row a snapshot: Spearman of one way to foresee minus that of another, with its paired 95% interval.

    Columns ``method``, ``snapshots``, ``value``, ``lower``, ``upper``.
    """
    first, second = findings.forecasts[ours], findings.forecasts[theirs]
    truth = findings.evidence.truth
    rows = []
    for position in range(findings.evidence.snapshots):
        triple = (truth, first[:, position], second[:, position])
        lower, upper = bootstrap_interval(_spearman_difference, *triple, seed=findings.seed)
        value = spearman(truth, triple[1]) - spearman(truth, triple[2])
        row = {"method": f"{ours} minus {theirs}", "snapshots": position + 1}
        rows.append(row | {"value": value, "lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def best_black_box(findings: Findings, snapshots: int) -> str:
    """Returns the way that ranks best without looking inside, after so many snapshots.

    It is chosen by the very networks that it is then compared on, which favours it.
    """
    truth = findings.evidence.truth
    ranking = {name: spearman(truth, findings.forecasts[name][:, snapshots - 1]) for name in BLACK_BOX}
    return max(ranking, key=lambda name: -2.0 if ranking[name] != ranking[name] else ranking[name])


def ranking_table(findings: Findings) -> pd.DataFrame:
    """Returns one row a way to foresee and snapshot: Spearman with its 95% interval."""
    rows = []
    truth = findings.evidence.truth
    for name, values in findings.forecasts.items():
        for position in range(findings.evidence.snapshots):
            pair = (truth, values[:, position])
            lower, upper = bootstrap_interval(spearman, *pair, seed=findings.seed)
            row = {"method": name, "snapshots": position + 1, "value": spearman(*pair)}
            rows.append(row | {"lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def error_table(findings: Findings) -> pd.DataFrame:
    """Returns one row a forecast of accuracy and snapshot: mean squared error, accuracies from 0 to 1, and MAE."""
    rows = []
    truth = findings.evidence.truth
    for name in IN_PERCENT:
        for position in range(findings.evidence.snapshots):
            pair = (truth / 100, findings.forecasts[name][:, position] / 100)
            lower, upper = bootstrap_interval(squared_error, *pair, seed=findings.seed)
            row = {"method": name, "snapshots": position + 1, "value": mse(*pair), "mae": 100 * mae(*pair)}
            rows.append(row | {"lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def comparison_metrics(findings: Findings) -> dict[str, float]:
    """Returns the flat metrics: ``forecast/<way>/spearman@<k>``, ``select/<method>/...``, ``advantage/...``."""
    truth = findings.evidence.truth
    metrics: dict[str, float] = {"networks": len(truth), "snapshots": findings.evidence.snapshots}
    for name, values in findings.forecasts.items():
        for count in findings.moments():
            metrics[f"forecast/{_SLUGS[name]}/spearman@{count}"] = spearman(truth, values[:, count - 1])
            if name in IN_PERCENT:
                metrics[f"forecast/{_SLUGS[name]}/mae@{count}"] = mae(truth, values[:, count - 1])
    for name, values in findings.zero_cost.items():
        metrics[f"zero_cost/{name}/spearman"] = spearman(truth, values)
    for row in findings.nearest.to_dict("records"):
        metrics |= {f"select/{slug(row['method'])}/{name}": row[name] for name in JUDGED}
    for ours, theirs in dict.fromkeys((*LEARNED_PAIRS, (BOTH, OUTSIDE), (BOTH, best_black_box(findings, 1)))):
        table = advantage(findings, ours, theirs)
        for count in findings.moments():
            key = f"advantage/{_SLUGS[ours]}_over_{_SLUGS[theirs]}@{count}"
            metrics |= {key if end == "value" else f"{key}/{end}": table[end][count - 1] for end in _ENDS}
    for (ours, theirs, share), found in findings.equal.items():
        key = f"equal_resources/{_SLUGS[ours]}_vs_{_SLUGS[theirs]}"
        metrics |= {f"{key}/ours": found.ours, f"{key}/theirs": found.theirs}
        metrics |= {f"{key}/difference@{share:g}/{end}": getattr(found.interval, end) for end in _ENDS[1:]}
    return metrics


def slug(method: str) -> str:
    """Returns a method's name as it stands in ``metrics.json``."""
    way = method.removeprefix("agent: ")
    name = _SLUGS.get(way, way.replace(" ", "_"))
    return f"agent_{name}" if way != method else name


_ENDS = ("value", "lower", "upper")


def _spearman_difference(truth: FloatArray, ours: FloatArray, theirs: FloatArray, axis: int) -> FloatArray:
    return spearman(truth, ours, axis=axis) - spearman(truth, theirs, axis=axis)


def squared_error(truth: FloatArray, forecast: FloatArray, axis: int) -> FloatArray:
    """Returns the mean squared error along an axis, as a bootstrap wants it."""
    error: FloatArray = ((truth - forecast) ** 2).mean(axis=axis)
    return error
