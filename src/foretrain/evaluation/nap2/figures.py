"""The figures of NAP2's report: quality over the snapshots that were seen, choices over what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from foretrain.evaluation.figures import COLOURS, FONT_SIZE, Style, finish, new_figure, styles, tidy
from foretrain.search.pareto import pareto_front

_POINTS = (0, 0.25, 0.5, 0.75, 1, 2, 5, 10, 20, 50)

_SELECTION_ROWS = (
    ("accuracy_difference", "points below the best network\n(lower is better)", False),
    ("top3_precision", "share of the true top 3 kept\n(higher is better)", True),
    ("top5_precision", "share of the true top 5 kept\n(higher is better)", True),
)


def selection_over_resources(table: pd.DataFrame, path: str | Path, unit_steps: int, about: str = "") -> None:
    """Draws what each setting of each method chose over what it cost, with each method's Pareto front.

    The figures 2, 3, 8 and 9 of the NAP2 paper in one: a column for each final size, a row for each metric.

    Args:
        table: One row for each setting: ``method``, ``final_size``, ``resources``, ``accuracy_difference`` (points),
            ``top3_precision`` and ``top5_precision`` (0 to 1), as of :func:`foretrain.search.replay.judge_grid`.
        path: The image file.
        unit_steps: Mini-batch steps in one unit of resources.
        about: What the networks were, in a few words; stands below the title.
    """
    sizes = sorted(table["final_size"].unique())
    figure = new_figure(2.0 + 4.0 * len(sizes), 12)
    axes = figure.subplots(len(_SELECTION_ROWS), len(sizes), sharex="col", sharey="row", squeeze=False)
    for column, size in enumerate(sizes):
        of_size = table[table["final_size"] == size]
        for row, (metric, _, higher_is_better) in enumerate(_SELECTION_ROWS):
            _draw_settings(axes[row, column], of_size, metric, higher_is_better, styles(table["method"]))
        axes[0, column].set_title(f"{size:g} networks kept", fontsize=FONT_SIZE)
        axes[-1, column].set_xlabel(f"resources used\n(units of {unit_steps} mini-batch steps)", fontsize=FONT_SIZE)
    for row, (metric, label, _) in enumerate(_SELECTION_ROWS):
        axes[row, 0].set_ylabel(label, fontsize=FONT_SIZE)
        if metric == "accuracy_difference":
            axes[row, 0].set_yscale("symlog", linthresh=1)  # a few settings choose very badly
            axes[row, 0].yaxis.set_major_locator(FixedLocator(_POINTS))
            axes[row, 0].set_ylim(bottom=-0.1)
            axes[row, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        else:
            axes[row, 0].yaxis.set_major_formatter(PercentFormatter(1))
    finish(figure, path, "What is chosen over what it costs; lines: Pareto fronts", about)


def spearman_over_snapshots(table: pd.DataFrame, path: str | Path, every_n_steps: int, about: str = "") -> None:
    """Draws how well each method ranks the networks by the snapshots it has seen.

    Args:
        table: One row for each point: ``method``, ``snapshots``, ``value`` (Spearman's correlation), ``lower`` and
            ``upper`` (interval, NaN where there is none).
        path: The image file.
        every_n_steps: Mini-batch steps from one snapshot to the next.
        about: What the networks were, in a few words; stands below the title.
    """
    label = "Spearman's rank correlation\nwith the final accuracy (higher is better)"
    _draw_lines(table, path, every_n_steps, label, "How well the final ranking is foreseen", about)


def error_over_snapshots(table: pd.DataFrame, path: str | Path, every_n_steps: int, about: str = "") -> None:
    """Draws how far each method's predictions are from the final accuracy by the snapshots it has seen (figure 6).

    Args:
        table: As for :func:`spearman_over_snapshots`; ``value`` is the mean absolute error in points.
        path: The image file.
        every_n_steps: Mini-batch steps from one snapshot to the next.
        about: What the networks were, in a few words; stands below the title.
    """
    label = "mean absolute error\nof the final accuracy (points, lower is better)"
    _draw_lines(table, path, every_n_steps, label, "How well the final accuracy is foreseen", about)


def squared_error_over_snapshots(table: pd.DataFrame, path: str | Path, every_n_steps: int, about: str = "") -> None:
    """Draws the mean squared error of each method's predictions, accuracies counted from 0 to 1 (NAP2, figure 6).

    Args:
        table: As for :func:`spearman_over_snapshots`; ``value`` is the mean squared error.
        path: The image file.
        every_n_steps: Mini-batch steps from one snapshot to the next.
        about: What the networks were, in a few words; stands below the title.
    """
    label = "mean squared error\n(accuracy from 0 to 1, lower is better)"
    _draw_lines(table, path, every_n_steps, label, "Prediction error over the training", about, scale="log")


def advantage_over_snapshots(table: pd.DataFrame, path: str | Path, every_n_steps: int, about: str = "") -> None:
    """Draws by how much one way to foresee ranks better than another, with the line of no difference.

    Args:
        table: As for :func:`spearman_over_snapshots`; ``value`` is a difference of Spearman's correlations.
        path: The image file.
        every_n_steps: Mini-batch steps from one snapshot to the next.
        about: What the networks were, in a few words; stands below the title.
    """
    label = "difference of Spearman's correlations\n(above 0: the first ranks better)"
    _draw_lines(table, path, every_n_steps, label, "What looking inside adds", about, zero=True)


def population_histograms(
    populations: Mapping[str, tuple[ArrayLike, ArrayLike]], path: str | Path, about: str = ""
) -> None:
    """Draws how final accuracies and depths of each population spread (NAP2, figure 7).

    Args:
        populations: Name to ``[n]`` final accuracies in percent and ``[n]`` numbers of trainable layers.
        path: The image file.
        about: What the networks were, in a few words; stands below the title.
    """
    figure = new_figure(1.0 + 5.0 * len(populations), 8.0)
    panels = figure.subplots(2, len(populations), squeeze=False, sharey="row")
    deepest = max(int(np.max(layers)) for _, layers in populations.values())
    for (upper, lower), (name, (accuracies, layers)) in zip(panels.T, populations.items(), strict=True):
        upper.hist(np.asarray(accuracies), bins=50, range=(0, 100), color=COLOURS[0], label="networks")
        upper.set_title(name, fontsize=FONT_SIZE)
        upper.set_xlabel("final test accuracy (%)", fontsize=FONT_SIZE)
        lower.hist(np.asarray(layers), bins=np.arange(0.5, deepest + 1), color=COLOURS[0], label="networks")
        lower.set_xlabel("trainable layers", fontsize=FONT_SIZE)
        for axes in (upper, lower):
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            tidy(axes)
    for first in panels[:, 0]:
        first.set_ylabel("networks", fontsize=FONT_SIZE)
    finish(figure, path, "Final accuracies and depths", about)


def _draw_settings(
    axes: Axes, table: pd.DataFrame, metric: str, higher_is_better: bool, styles: Mapping[str, Style]
) -> None:
    """Draws all settings of each method, and as a line the best that it gives for each budget."""
    for method, style in styles.items():
        rows = table[table["method"] == method].sort_values("resources", kind="stable")
        cost, value = rows["resources"].to_numpy(), rows[metric].to_numpy()
        axes.scatter(cost, value, s=26, color=style.colour, marker=style.marker, alpha=0.3, linewidths=0)
        front = np.flatnonzero(pareto_front(cost, value, higher_is_better))
        last = front[-1:]
        axes.step(
            np.append(cost[front], np.full(len(last), table["resources"].max())),
            value[np.append(front, last)],
            where="post",
            label=method,
            markevery=slice(0, -1),
            **style.line(),
        )
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    tidy(axes)


def _draw_lines(
    table: pd.DataFrame,
    path: str | Path,
    every_n_steps: int,
    label: str,
    title: str,
    about: str,
    *,
    zero: bool = False,
    scale: str = "linear",
) -> None:
    figure = new_figure(8, 5.6)
    axes = figure.subplots()
    if zero:
        axes.axhline(0, color="0.45", linestyle="--", linewidth=1.2)
    for method, style in styles(table["method"]).items():
        rows = table[table["method"] == method].sort_values("snapshots")
        axes.fill_between(rows["snapshots"], rows["lower"], rows["upper"], color=style.colour, alpha=0.12, linewidth=0)
        axes.plot(rows["snapshots"], rows["value"], label=method, **style.line())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"snapshots seen (one every {every_n_steps} mini-batch steps)", fontsize=FONT_SIZE)
    axes.set_ylabel(label, fontsize=FONT_SIZE)
    axes.set_yscale(scale)
    tidy(axes)
    finish(figure, path, title, about)
