"""What a person reads of the studies of curves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretrain.evaluation.curves.population import CurvePopulation
from foretrain.evaluation.curves.splits import FEW_SHOT, FEW_SHOT_VALID
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.runtime.study import RunContext


def write_ensembles_report(
    context: RunContext,
    title: str,
    population: CurvePopulation,
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    setting: tuple[int, float],
) -> None:
    """Writes ``report.md`` of the comparison and prints its tables.

    Args:
        context: The run.
        title: What the benchmark is.
        population: The curves.
        tables: Those of :func:`~foretrain.evaluation.curves.judging.zero_shot_table`, of
            :func:`~foretrain.evaluation.curves.splits.few_shot_table` and of
            :func:`~foretrain.evaluation.curves.splits.split_table`, for all numbers of epochs one after the other.
        setting: Number of finished runs, and the level of the intervals.
    """
    zero, few, by_split = tables
    finished, level = setting
    zero_rows, few_rows, weakest_rows = _zero_rows(zero), _few_rows(few), _weakest_rows(by_split)
    sections = [
        f"# Learning curves of {title}",
        (
            f"{len(population.valid)} networks, {population.horizon} epochs; final values from "
            f"{population.final.min():.1f} to {population.final.max():.1f}, median {np.median(population.final):.1f}."
        ),
        "## Nothing has finished yet",
        markdown_table(zero_rows),
        (
            "Spearman's rank correlation with the final value, its paired difference to that of the best value so far "
            "and of the training curve alone, and the mean absolute error in points, each with a 95% bootstrap "
            "interval over networks. Methods without an error only rank."
        ),
        f"## {finished} runs have finished",
        markdown_table(few_rows),
        (
            f"Means over {few['splits'].iloc[0]} random splits with 95% bootstrap intervals over networks; median of "
            f"the error over splits and its standard deviation there. Coverage is the share of final values inside the "
            f"{level:.0%} interval, width its median length in points."
        ),
        markdown_table(weakest_rows),
        (
            "The same error by the weakest finished run of a split: what no finished run has shown, none can teach. "
            "The lowest final value of the finished runs, from and to, in four equal groups of splits."
        ),
        "![Curves](figures/curves.png)",
        "![Convergence of the published models](figures/convergence.png)",
    ]
    context.folder.write_report("\n\n".join(sections) + "\n")
    print_table(zero_rows, "Nothing has finished yet")
    print_table(few_rows, f"{finished} runs have finished")
    print_table(weakest_rows, "Error by the weakest finished run")


def _zero_rows(zero: pd.DataFrame) -> pd.DataFrame:
    labels = {"spearman": 3, "over_best": 3, "over_train": 3, "mae": 2}
    rows = []
    for record in zero.to_dict("records"):
        row = {"epochs": record["epochs"], "method": record["method"]}
        for name, digits in labels.items():
            if name in record:
                ends = (float(record[f"{name}_lower"]), float(record[f"{name}_upper"]))
                row[name.replace("_", " ")] = with_interval(float(record[name]), *ends, digits)
        rows.append(row)
    return pd.DataFrame(rows)


def _few_rows(few: pd.DataFrame) -> pd.DataFrame:
    labels = {"mae": 2, "spearman": 3, "coverage": 3}
    rows = []
    for record in few.to_dict("records"):
        row = {"epochs": record["epochs"], "method": record["method"]}
        for name, digits in labels.items():
            ends = (float(record[f"{name}_lower"]), float(record[f"{name}_upper"]))
            row[name] = with_interval(float(record[name]), *ends, digits)
        spread = "-" if pd.isna(record["mae_median"]) else f"{record['mae_median']:.2f} ({record['mae_std']:.2f})"
        rows.append(row | {"median mae (sd)": spread, "width": float(record["width"])})
    return pd.DataFrame(rows)


def _weakest_rows(by_split: pd.DataFrame) -> pd.DataFrame:
    """Mean error of the few-shot forecasts in four groups of splits, by the lowest final value of a finished run."""
    rows = []
    for (epochs, method), table in by_split.groupby(["epochs", "method"], sort=False):
        if method not in (FEW_SHOT, FEW_SHOT_VALID):
            continue
        ordered = table.sort_values("weakest", kind="stable")
        for part in np.array_split(np.arange(len(ordered)), min(4, len(ordered))):
            group = ordered.iloc[part]
            weakest = f"{group['weakest'].min():.1f} to {group['weakest'].max():.1f}"
            row = {"epochs": epochs, "method": method, "weakest finished": weakest, "splits": len(group)}
            rows.append(row | {"mae": float(group["mae"].mean()), "spearman": float(group["spearman"].mean())})
    return pd.DataFrame(rows)


def write_grid_report(context: RunContext, title: str, about: str, table: pd.DataFrame, figures: list[str]) -> None:
    """Writes ``report.md`` of a study whose result is one table, and prints the table.

    Args:
        context: The run.
        title: Heading.
        about: What was done.
        table: The result.
        figures: Names of the figures.
    """
    pictures = [f"![{name}](figures/{name}.png)" for name in figures]
    context.folder.write_report("\n\n".join([f"# {title}", about, markdown_table(table), *pictures]) + "\n")
    print_table(table, title)
