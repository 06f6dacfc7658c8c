"""What a person reads of the studies of curves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretrain.evaluation.curves.population import CurvePopulation
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.runtime.study import RunContext


def write_ensembles_report(
    context: RunContext,
    title: str,
    population: CurvePopulation,
    zero: pd.DataFrame,
    few: pd.DataFrame,
    setting: tuple[int, float],
) -> None:
    """Writes ``report.md`` of the comparison and prints its tables.

    Args:
        context: The run.
        title: What the benchmark is.
        population: The curves.
        zero: Tables of :func:`~foretrain.evaluation.curves.judging.zero_shot_table`, one after the other.
        few: Tables of :func:`~foretrain.evaluation.curves.judging.few_shot_table`, one after the other.
        setting: Number of finished runs, and the level of the intervals.
    """
    finished, level = setting
    zero_rows, few_rows = _zero_rows(zero), _few_rows(few)
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
            f"Means over {few['split'].nunique()} random splits, standard deviations over splits in brackets. Coverage "
            f"is the share of final values inside the {level:.0%} interval, width its median length in points."
        ),
        "![Curves](figures/curves.png)",
        "![Convergence of the published models](figures/convergence.png)",
    ]
    context.folder.write_report("\n\n".join(sections) + "\n")
    print_table(zero_rows, "Nothing has finished yet")
    print_table(few_rows, f"{finished} runs have finished")


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
    rows = []
    for (epochs, method), table in few.groupby(["epochs", "method"], sort=False):
        row = {"epochs": epochs, "method": method}
        row |= {f"{n}": f"{table[n].mean():.3f} ({table[n].std():.3f})" for n in ("mae", "spearman")}
        row["median mae"] = f"{table['mae'].median():.3f}"
        row |= {n: float(table[n].mean()) for n in ("coverage", "width")}
        rows.append(row)
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
