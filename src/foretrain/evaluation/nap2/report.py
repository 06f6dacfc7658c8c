"""What a person reads of the study: figures, ``report.md`` and a short table on the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from foretrain.evaluation.figures import forecast_scatter
from foretrain.evaluation.nap2.figures import error_over_snapshots, selection_over_resources, spearman_over_snapshots
from foretrain.evaluation.nap2.judging import (
    JUDGED,
    NAMES,
    SNAPSHOTS_SHOWN,
    Evidence,
    advantage_over_snapshots,
    grid_table,
    over_snapshots,
)
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.metrics.error import mae
from foretrain.metrics.rank import spearman
from foretrain.runtime.study import RunContext
from foretrain.search.agent import SelectionRule
from foretrain.snapshots.recording import SnapshotPopulation

METHOD_NAMES = {"agent": "NAP2 agent", "halving": "successive halving"}


def write_report(
    context: RunContext,
    data: SnapshotPopulation,
    evidence: Evidence,
    selected: pd.DataFrame,
    rule: SelectionRule,
    grid: Sequence[SelectionRule],
) -> None:
    """Draws the figures and writes ``report.md``.

    Args:
        context: The run.
        data: The recorded population.
        evidence: What was foreseen and measured.
        selected: The table of :func:`~foretrain.evaluation.nap2.judging.selection_table`.
        rule: The rule of that table.
        grid: The rules of the figure.
    """
    ranking = over_snapshots(evidence, spearman, context.seed)
    error = over_snapshots(evidence, mae, context.seed)
    advantage = advantage_over_snapshots(evidence, context.seed)
    _draw(context.folder.figures, data, evidence, ranking, error, grid)
    sections = [
        f"# NAP2 on {data.title}",
        _population_text(data, evidence),
        "## How well is the final accuracy foreseen?",
        verdict(advantage),
        markdown_table(_forecast_rows(evidence, ranking, error)),
        "Spearman's rank correlation with the final test accuracy and mean absolute error in points, each with its 95% "
        "bootstrap interval over networks. Scores that are known before training: " + _fixed_text(evidence) + ".",
        "![Spearman over snapshots](figures/spearman.png)",
        "![Error over snapshots](figures/error.png)",
        "![Forecast against truth](figures/forecasts.png)",
        "## Which networks are worth training to the end?",
        _selection_text(data, rule, evidence),
        markdown_table(_selection_rows(selected)),
        "Mean and standard deviation over the folds.",
        "![Selection over resources](figures/selection.png)",
    ]
    context.folder.write_report("\n\n".join(sections) + "\n")


def print_summary(metrics: Mapping[str, float]) -> None:
    """Prints the main figures."""
    rows = []
    for prefix, name in NAMES.items():
        moments = {f"after {k}": metrics.get(f"{prefix}/spearman@{k}", float("nan")) for k in SNAPSHOTS_SHOWN}
        rows.append({"forecast by": name, **moments, "after all": metrics[f"{prefix}/spearman"]})
    title = f"Spearman with the final accuracy of {metrics['test/networks']} networks, out of fold, by snapshots seen"
    print_table(pd.DataFrame(rows), title)
    judged = [
        {"method": METHOD_NAMES[method], **{name.replace("_", " "): metrics[f"{method}/{name}"] for name in JUDGED}}
        for method in METHOD_NAMES
    ]
    print_table(pd.DataFrame(judged), "Selection at equal budgets, mean over folds")


def verdict(advantage: pd.DataFrame) -> str:
    """Says in one sentence at which snapshots the predictor ranks better than the last validation accuracy."""
    better = advantage.loc[advantage["lower"] > 0, "snapshots"].to_list()
    worse = advantage.loc[advantage["upper"] < 0, "snapshots"].to_list()
    first = advantage.iloc[0]
    opening = f"After one snapshot, NAP2's Spearman minus that of the last validation accuracy is {_interval(first)}. "
    parts = []
    if better:
        parts.append(f"NAP2 ranks better after {_listed(better)} snapshots")
    if worse:
        parts.append(f"the last validation accuracy ranks better after {_listed(worse)} snapshots")
    if not parts:
        return opening + "At no snapshot does the 95% interval of the difference exclude zero: neither ranks better."
    sentence = " and ".join(parts)
    return opening + sentence[0].upper() + sentence[1:] + " (95% interval of the paired difference excludes zero)."


def _draw(
    folder: Path,
    data: SnapshotPopulation,
    evidence: Evidence,
    ranking: pd.DataFrame,
    error: pd.DataFrame,
    grid: Sequence[SelectionRule],
) -> None:
    steps = data.every_n_steps
    spearman_over_snapshots(ranking, folder / "spearman.png", steps, data.title)
    error_over_snapshots(error, folder / "error.png", steps, data.title)
    moments = dict.fromkeys([1, min(5, evidence.snapshots), evidence.snapshots])
    panels = {f"after {k} snapshot{'s' * (k > 1)}": evidence.forecast[:, k - 1] for k in moments}
    forecast_scatter(evidence.truth, panels, folder / "forecasts.png", data.title)
    settings = grid_table(evidence, grid).replace({"method": METHOD_NAMES})
    selection_over_resources(settings, folder / "selection.png", steps, data.title)


def _population_text(data: SnapshotPopulation, evidence: Evidence) -> str:
    truth = evidence.truth
    return (
        f"{len(truth)} networks were trained and recorded with {evidence.snapshots} snapshots each, one every "
        f"{data.every_n_steps} mini-batch steps of {data.total_steps}. Each of the {len(truth)} networks was foreseen "
        f"out of fold: by a predictor whose normalisation, autoencoders and LSTM were fitted on other networks only "
        f"({len(evidence.folds)} folds). Final test accuracies run from {truth.min():.1f}% to {truth.max():.1f}%, "
        f"their median is {pd.Series(truth).median():.1f}%."
    )


def _forecast_rows(evidence: Evidence, ranking: pd.DataFrame, error: pd.DataFrame) -> pd.DataFrame:
    moments = [k for k in dict.fromkeys((*SNAPSHOTS_SHOWN, evidence.snapshots)) if k <= evidence.snapshots]
    rows = []
    for name in NAMES.values():
        row = {"forecast by": name}
        for k in moments:
            row[f"Spearman@{k}"] = _interval(_at(ranking, name, k))
            row[f"MAE@{k}"] = _interval(_at(error, name, k), digits=1)
        rows.append(row)
    return pd.DataFrame(rows)


def _fixed_text(evidence: Evidence) -> str:
    return ", ".join(f"{name} {spearman(evidence.truth, score):.3f}" for name, score in evidence.fixed.items())


def _selection_text(data: SnapshotPopulation, rule: SelectionRule, evidence: Evidence) -> str:
    members = ", ".join(str(len(fold)) for fold in evidence.folds)
    return (
        f"Out of each fold's networks ({members}), {rule.final_size} are kept. Both methods train all networks for "
        f"{_steps(rule.first_units, data)} mini-batch steps, drop {rule.cut:.0%}, and again every "
        f"{_steps(rule.interval_units, data)} (share dropped times {rule.cut_decay} each time). The agent drops by "
        "NAP2's forecast, successive halving by the validation loss; their budgets are the same by construction."
    )


def _steps(units: int, data: SnapshotPopulation) -> str:
    return f"{units * data.every_n_steps:,}"


def _selection_rows(selected: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for method, table in selected.groupby("method", sort=False):
        spread = {name: f"{table[name].mean():.3f} ± {table[name].std():.3f}" for name in JUDGED}
        named = {name.replace("_", " "): value for name, value in spread.items()}
        rows.append({"method": METHOD_NAMES[str(method)], **named})
    return pd.DataFrame(rows)


def _at(table: pd.DataFrame, name: str, snapshots: int) -> pd.Series:
    return table[(table["method"] == name) & (table["snapshots"] == snapshots)].iloc[0]


def _interval(row: pd.Series, digits: int = 3) -> str:
    return with_interval(float(row["value"]), float(row["lower"]), float(row["upper"]), digits)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
