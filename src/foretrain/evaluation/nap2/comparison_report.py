"""What a person reads of the comparison: figures, ``report.md`` and a short table on the console."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretrain.evaluation.nap2.figures import (
    advantage_over_snapshots,
    population_histograms,
    selection_over_resources,
    spearman_over_snapshots,
    squared_error_over_snapshots,
)
from foretrain.evaluation.nap2.findings import (
    ATTENTION,
    BEFORE,
    BOTH,
    HALVING,
    HALVING_TRAINING,
    LEARNED_PAIRS,
    OUTSIDE,
    Findings,
    advantage,
    best_black_box,
    error_table,
    ranking_table,
)
from foretrain.evaluation.nap2.inputs import depth_table
from foretrain.evaluation.nap2.judging import JUDGED
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.metrics.rank import spearman
from foretrain.runtime.study import RunContext
from foretrain.snapshots.recording import SnapshotPopulation

_GOAL = 0.05
_LEARNED = (
    "Spearman's rank correlation with the final test accuracy, 95% bootstrap interval over networks. All that is "
    "learned is judged out of fold. *Outside*: training and validation curves so far, hyperparameters, graph "
    f"features, parameters, FLOPs, zero-cost scores. *{BEFORE.capitalize()}*: the same without curves."
)
_PAIRS = (
    "Difference in Spearman's correlation, paired 95% bootstrap interval over networks: above 0 ours ranks better. "
    "*Attention* learns from layers and from all that *outside* sees, end to end."
)
_NEAREST = (
    "Of every method the setting whose resources come nearest to those of the agents' rule; means over folds and "
    "repeats. All settings:"
)
_EQUAL = (
    "Accuracy difference from the best network, mean over all rules of the grid and 100 random halves of the "
    "population; both methods of a row have the same rules and so the same resources. The interval (95%) is that "
    "of ours minus the given share of theirs, paired: below 0 ours is better."
)


def write_comparison(context: RunContext, data: SnapshotPopulation, findings: Findings) -> None:
    """Draws the figures and writes ``report.md``."""
    ranking, errors = ranking_table(findings), error_table(findings)
    inside = advantage(findings, BOTH, OUTSIDE)
    _draw(context, data, findings, ranking, errors, inside)
    best = best_black_box(findings, 1)
    sections = [
        f"# NAP2 and its baselines on {data.title}",
        _population_text(data, findings),
        "## Does looking inside add anything?",
        inside_sentence(inside),
        "![What looking inside adds](figures/inside.png)",
        goal_sentence(advantage(findings, BOTH, best), best),
        "## How well is the final accuracy foreseen?",
        markdown_table(_ranking_rows(findings, ranking)),
        _LEARNED,
        "![Spearman over snapshots](figures/spearman.png)",
        "![Squared error over snapshots](figures/squared_error.png)",
        "Zero-cost scores of the untrained networks: " + _zero_cost_text(findings) + ".",
        "### Is the paper's predictor beaten at equal data?",
        markdown_table(_pair_rows(findings)),
        _PAIRS,
        "## Which networks are worth training to the end?",
        _selection_text(data),
        markdown_table(_selection_rows(findings)),
        _NEAREST,
        "![Selection over resources](figures/selection.png)",
        "### At equal resources",
        markdown_table(_equal_rows(findings)),
        _EQUAL,
        "## What does it cost, and what is saved?",
        _cost_text(data, findings),
        markdown_table(_cost_rows(findings), digits=2),
        "## The population",
        markdown_table(depth_table({data.title: findings.index})),
        "![Final accuracies and depths](figures/population.png)",
    ]
    context.folder.write_report("\n\n".join(sections) + "\n")


def print_comparison(findings: Findings) -> None:
    """Prints the main tables."""
    rows = [
        {
            "foreseen from": name,
            **{f"after {k}": spearman(findings.evidence.truth, values[:, k - 1]) for k in findings.moments()},
        }
        for name, values in findings.forecasts.items()
    ]
    print_table(pd.DataFrame(rows), "Spearman with the final accuracy, by snapshots seen")
    print_table(_selection_rows(findings).drop(columns="setting"), "Selection, settings of about equal resources")


def inside_sentence(inside: pd.DataFrame) -> str:
    """Says in one sentence whether, when and by how much looking inside helps a predictor that sees all else.

    Args:
        inside: The advantage of inside and outside over outside only, as of :func:`~.findings.advantage`.
    """
    better = inside[inside["lower"] > 0]
    worse = inside[inside["upper"] < 0]
    first = _interval(inside.iloc[0])
    if len(better):
        best = better.iloc[int(better["value"].argmax())]
        moments = ", ".join(str(count) for count in better["snapshots"])
        return (
            f"Looking inside improves the ranking after {moments} snapshots, most after {best['snapshots']} with a "
            f"difference of {_interval(best)} in Spearman's correlation; after the first it is {first}."
        )
    verdict = "No, it even ranks worse at some snapshots" if len(worse) else "No difference can be told from zero"
    return f"{verdict}: after the first snapshot looking inside changes Spearman's correlation by {first}."


def goal_sentence(over_best: pd.DataFrame, best: str) -> str:
    """Says whether the predictor is .05 above the best black box after one snapshot."""
    first = over_best.iloc[0]
    reached = "reached" if first["lower"] >= _GOAL else "not reached" if first["upper"] < _GOAL else "open"
    return (
        f"Against the best black box after one snapshot, {best} (chosen on these very networks, which favours it), the "
        f"difference is {_interval(first)}: the goal of {_GOAL} is {reached}."
    )


def _draw(
    context: RunContext,
    data: SnapshotPopulation,
    findings: Findings,
    ranking: pd.DataFrame,
    errors: pd.DataFrame,
    inside: pd.DataFrame,
) -> None:
    folder, steps = context.folder.figures, data.every_n_steps
    spearman_over_snapshots(ranking, folder / "spearman.png", steps, data.title)
    squared_error_over_snapshots(errors, folder / "squared_error.png", steps, data.title)
    parts = [inside, advantage(findings, ATTENTION, OUTSIDE)]
    advantage_over_snapshots(pd.concat(parts), folder / "inside.png", steps, data.title)
    selection_over_resources(findings.selections, folder / "selection.png", steps, data.title)
    depths = findings.index["layers"].map(len).to_numpy()
    population_histograms({data.title: (findings.evidence.truth, depths)}, folder / "population.png")


def _population_text(data: SnapshotPopulation, findings: Findings) -> str:
    truth = findings.evidence.truth
    validation = findings.index["final_val_accuracy"].to_numpy(dtype=np.float64)
    return (
        f"{len(truth)} networks, {findings.evidence.snapshots} snapshots each, one every {data.every_n_steps} "
        f"mini-batch steps of {data.total_steps}; {len(findings.evidence.folds)} folds. Final test accuracies from "
        f"{truth.min():.1f}% to {truth.max():.1f}%, median {np.median(truth):.1f}%, standard deviation "
        f"{truth.std(ddof=1):.1f} points. Final validation and test accuracy, of the same training on other images, "
        f"agree by a Spearman correlation of {spearman(truth, validation):.3f}: so reliable is either as a measurement."
    )


def _selection_text(data: SnapshotPopulation) -> str:
    return (
        f"Resources count alike for all: one unit is one network trained for {data.every_n_steps} mini-batch steps "
        "(100 in the source paper), each network's training counted once however often a method comes back to it. "
        f"The agents rank by a forecast, {HALVING_TRAINING} by what its name says; all others that stop "
        "networks early see the validation loss of the recorded snapshots; random search and full training train to "
        "the end. All return the networks that they trained, ranked by their most recent "
        "performance."
    )


def _ranking_rows(findings: Findings, ranking: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name in findings.forecasts:
        of_name = ranking[ranking["method"] == name].sort_values("snapshots")
        moments = {f"after {count}": _interval(_row(of_name, count)) for count in findings.moments()}
        rows.append({"foreseen from": name, **moments})
    return pd.DataFrame(rows)


def _pair_rows(findings: Findings) -> pd.DataFrame:
    rows = []
    for ours, theirs in LEARNED_PAIRS:
        table = advantage(findings, ours, theirs)
        moments = {f"after {count}": _interval(_row(table, count)) for count in findings.moments()}
        rows.append({"ours": ours, "theirs": theirs, **moments})
    return pd.DataFrame(rows)


def _zero_cost_text(findings: Findings) -> str:
    truth = findings.evidence.truth
    return ", ".join(f"{name} {spearman(truth, values):.3f}" for name, values in findings.zero_cost.items())


def _selection_rows(findings: Findings) -> pd.DataFrame:
    shown = findings.nearest[["method", "setting", *JUDGED]]
    return shown.rename(columns={name: name.replace("_", " ") for name in JUDGED})


def _equal_rows(findings: Findings) -> pd.DataFrame:
    rows = []
    for (ours, theirs, share), found in findings.equal.items():
        interval = f"[{found.interval.lower:.3f}, {found.interval.upper:.3f}]"
        rows.append(
            {
                "ours": ours,
                "theirs": theirs,
                "our loss": found.ours,
                "their loss": found.theirs,
                "share": share,
                "interval": interval,
            }
        )
    return pd.DataFrame(rows)


def _cost_text(data: SnapshotPopulation, findings: Findings) -> str:
    unit = findings.unit_costs
    learned = len(findings.index) * data.total_steps // data.every_n_steps * unit.training
    return (
        f"Processor seconds, measured on the machine of this run. A unit of training takes {unit.training:.3f}, its "
        f"snapshot {unit.recording:.4f}; foreseeing counts the zero-cost scores where a method sees them. "
        "The selection is out of one fold; what the chosen networks still need is on no side. A "
        "predictor is fitted once (last column) on networks that somebody trained to the end: here the "
        f"whole population takes {learned:.0f} seconds, which a first sweep has to pay and {HALVING} has not."
    )


def _cost_rows(findings: Findings) -> pd.DataFrame:
    table = findings.costs.copy()
    table["saved"] = table["saved"].round(2) + 0.0  # no minus before nothing
    table["saved_share"] = [f"{round(share, 2) + 0.0:.0%}" for share in table["saved_share"]]
    return table.rename(columns={name: name.replace("_", " ") for name in table.columns})


def _row(table: pd.DataFrame, snapshots: int) -> pd.Series:
    return table.iloc[snapshots - 1]


def _interval(row: pd.Series) -> str:
    return with_interval(float(row["value"]), float(row["lower"]), float(row["upper"]))
