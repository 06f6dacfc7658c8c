"""The metrics of several runs side by side."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from foretrain.integrations.report.runs import Run

Direction = Literal["higher", "lower", ""]

_NAME = re.compile(r"(?:(?P<method>.+)/)?(?P<metric>[^/@]+)(?:@(?P<at>\d+))?")
_SPREAD = re.compile(r"(?P<of>.+)[_/](?:std|lower|upper)")
_BOUNDED = ("minus_reference", "spearman")
"""What ``method/lower`` and ``method/upper`` are the ends of: the first of these that the method has."""
_BASELINES = {
    "baseline", "baselines", "best_so_far", "best_val", "flops", "last_val", "last_value", "parameters", "params",
    "random", "random_search",
}  # fmt: skip
_WORDS: dict[str, Direction] = {
    "accuracy": "higher", "coverage": "", "difference": "lower", "error": "lower", "gain": "higher",
    "kendall": "higher", "loss": "lower", "mae": "lower", "mse": "lower", "nll": "lower", "pearson": "higher",
    "precision": "higher", "regret": "lower", "resources": "lower", "rmse": "lower", "seconds": "lower",
    "spearman": "higher", "crps": "lower", "speedup": "higher",
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One metric of one method in all runs.

    Attributes:
        method: The method, the part of the name before the last slash; of a metric of the whole run it is empty.
        metric: The metric.
        at: The number after ``@``, e.g. of snapshots seen; None where there is none.
        baseline: Whether the method is one of those that everything is compared with.
        values: A value for each run, None where a run lacks it or it is not defined.
        lower: Lower end of what the metric varies by, for each run, where the run states it.
        upper: Upper end.
    """

    method: str
    metric: str
    at: int | None
    baseline: bool
    values: list[float | None]
    lower: list[float | None]
    upper: list[float | None]


def measures_of(runs: Sequence[Run]) -> list[Measure]:
    """Returns all metrics of the runs, in the order of their names.

    Names are ``method/metric`` or ``method/metric@number``. Those that end with ``_std``, ``_lower`` or ``_upper`` (or
    ``/lower`` and ``/upper``), and ``method/lower`` and ``method/upper`` beside ``minus_reference`` or else
    ``spearman``, become the ends of that metric and are no metrics of their own.
    """
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return [_measure(name, runs) for name in names if _spread_of(name, names) is None]


def direction_of(metric: str) -> Direction:
    """Says whether higher or lower values of a metric are better; empty where that is not known."""
    for word in reversed(re.split(r"[_\W]+", metric.lower())):
        if word in _WORDS:
            return _WORDS[word]
    return ""


def _measure(name: str, runs: Sequence[Run]) -> Measure:
    method, metric, at = _parts(name)
    ends = [_ends(run.metrics, name) for run in runs]
    return Measure(
        method,
        metric,
        at,
        not _BASELINES.isdisjoint(method.split("/")),
        [_known(run.metrics.get(name)) for run in runs],
        [lower for lower, _ in ends],
        [upper for _, upper in ends],
    )


def _parts(name: str) -> tuple[str, str, int | None]:
    match = _NAME.fullmatch(name)
    if match is None:
        return "", name, None
    return match["method"] or "", match["metric"], int(match["at"]) if match["at"] else None


def _spread_of(name: str, names: Collection[str]) -> str | None:
    """The metric that this is the spread of, or None."""
    match = _SPREAD.fullmatch(name)
    if match is None:
        return None
    candidates = (
        match["of"],
        *(f"{match['of']}/{metric}" for metric in _BOUNDED if "/lower" in name or "/upper" in name),
    )
    return next((candidate for candidate in candidates if candidate in names), None)


def _ends(metrics: Mapping[str, float], name: str) -> tuple[float | None, float | None]:
    value, deviation = _known(metrics.get(name)), _known(metrics.get(f"{name}_std"))
    lower, upper = (_known(metrics.get(_end_of(name, end, metrics))) for end in ("lower", "upper"))
    if lower is None and value is not None and deviation is not None:
        return value - deviation, value + deviation
    return lower, upper


def _end_of(name: str, end: str, metrics: Mapping[str, float]) -> str:
    """The name of one end of a metric, empty where there is none."""
    method = name.rpartition("/")[0]
    candidates = (f"{name}_{end}", f"{name}/{end}", f"{method}/{end}")
    return next(
        (candidate for candidate in candidates if candidate in metrics and _spread_of(candidate, metrics) == name), ""
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None
