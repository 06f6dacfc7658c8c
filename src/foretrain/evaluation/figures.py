"""The figures of reports, drawn without any global state of matplotlib.

Each takes plain tables or arrays and a path, which is written whole or not at all. Methods keep their colour and
marker by their order in the table; the colours are Okabe and Ito's, which people with colour blindness can tell apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from foretrain.errors import ConfigError
from foretrain.metrics.error import mae
from foretrain.metrics.rank import spearman
from foretrain.runtime.files import atomic_path, require_writable
from foretrain.search.pareto import pareto_front

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B", "#7F7F7F")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "*")
_DASHES = ("-", "--", ":")
_FONT_SIZE = 12
_LETTERS_PER_INCH = 10
_DPI = 150
_ENDINGS = (".png", ".pdf", ".svg")
_BETWEEN_MARKS = 0.1
"""Distance of a line's markers as a share of the diagonal of its axes."""

_POINTS = (0, 0.25, 0.5, 0.75, 1, 2, 5, 10, 20, 50)

_SELECTION_ROWS = (
    ("accuracy_difference", "points below the best network\n(lower is better)", False),
    ("top3_precision", "share of the true top 3 kept\n(higher is better)", True),
    ("top5_precision", "share of the true top 5 kept\n(higher is better)", True),
)


def checked_figure(target: str | Path, key: str = "plot") -> Path:
    """Returns where a figure goes.

    Raises:
        ConfigError: Its ending is that of no image.
        DataError: No file can be made there.
    """
    if Path(target).suffix not in _ENDINGS:
        raise ConfigError(key, "unknown file ending", str(target), _ENDINGS)
    return require_writable(target)


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
    figure = _figure(2.0 + 4.0 * len(sizes), 12)
    axes = figure.subplots(len(_SELECTION_ROWS), len(sizes), sharex="col", sharey="row", squeeze=False)
    for column, size in enumerate(sizes):
        of_size = table[table["final_size"] == size]
        for row, (metric, _, higher_is_better) in enumerate(_SELECTION_ROWS):
            _draw_settings(axes[row, column], of_size, metric, higher_is_better, _styles(table["method"]))
        axes[0, column].set_title(f"{size:g} networks kept", fontsize=_FONT_SIZE)
        axes[-1, column].set_xlabel(f"resources used\n(units of {unit_steps} mini-batch steps)", fontsize=_FONT_SIZE)
    for row, (metric, label, _) in enumerate(_SELECTION_ROWS):
        axes[row, 0].set_ylabel(label, fontsize=_FONT_SIZE)
        if metric == "accuracy_difference":
            axes[row, 0].set_yscale("symlog", linthresh=1)  # a few settings choose very badly
            axes[row, 0].yaxis.set_major_locator(FixedLocator(_POINTS))
            axes[row, 0].set_ylim(bottom=-0.1)
            axes[row, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        else:
            axes[row, 0].yaxis.set_major_formatter(PercentFormatter(1))
    _finish(figure, path, "What is chosen over what it costs; lines: Pareto fronts", about)


def forecast_scatter(truth: ArrayLike, forecasts: Mapping[str, ArrayLike], path: str | Path, about: str = "") -> None:
    """Draws predicted against true final accuracy, a panel for each forecast, with the line of perfect ones.

    Args:
        truth: ``[n]``, final accuracies in percent.
        forecasts: Panel title to ``[n]`` predicted accuracies in percent.
        path: The image file.
        about: What the networks were, in a few words; stands below the title.
    """
    truth = np.asarray(truth, dtype=np.float64)
    means = {name: np.asarray(mean, dtype=np.float64) for name, mean in forecasts.items()}
    everything = np.concatenate([truth, *means.values()])
    margin = 0.04 * np.ptp(everything) + 0.1
    limits = (everything.min() - margin, everything.max() + margin)
    figure = _figure(0.6 + 4.2 * len(means), 5.6)
    panels = figure.subplots(1, len(means), squeeze=False)[0]
    for axes, (name, mean) in zip(panels, means.items(), strict=True):
        axes.plot(limits, limits, color="0.45", linestyle="--", linewidth=1.2, label="perfect prediction")
        axes.scatter(truth, mean, s=30, color=_COLOURS[0], alpha=0.6, linewidths=0)
        axes.set(xlim=limits, ylim=limits)
        quality = f"MAE {mae(truth, mean):.2f} points, Spearman {spearman(truth, mean):.2f}"
        axes.set_title(f"{name}\n{quality}", fontsize=_FONT_SIZE)
        axes.set_xlabel("true final accuracy (%)", fontsize=_FONT_SIZE)
        _tidy(axes)
    panels[0].set_ylabel("predicted final accuracy (%)", fontsize=_FONT_SIZE)
    _finish(figure, path, "Predicted against true final accuracy", about)


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


def spread_over_trials(table: pd.DataFrame, order: Sequence[str], path: str | Path, about: str = "") -> None:
    """Draws how well each predictor ranks and how far it errs: a point a trial, a line at the mean.

    Args:
        table: One row for each predictor and trial: ``predictor``, ``spearman`` and ``mae`` (points, NaN where a
            predictor only ranks).
        order: The predictors from top to bottom.
        path: The image file.
        about: What was foreseen, in a few words; stands below the title.
    """
    figure = _figure(11, 1.8 + 0.36 * len(order))
    panels = figure.subplots(1, 2, sharey=True)
    labels = ("Spearman's rank correlation\n(higher is better)", "mean absolute error\n(points, lower is better)")
    for axes, metric, label in zip(panels, ("spearman", "mae"), labels, strict=True):
        for place, name in enumerate(order):
            values = table.loc[table["predictor"] == name, metric].dropna()
            heights = place + np.linspace(-0.2, 0.2, max(len(values), 1))[: len(values)]
            axes.scatter(values, heights, s=14, color=_COLOURS[0], alpha=0.5, linewidths=0, label="one trial")
            axes.plot([values.mean()] * 2, [place - 0.32, place + 0.32], color=_COLOURS[1], linewidth=2, label="mean")
        axes.set_xlabel(label, fontsize=_FONT_SIZE)
        _tidy(axes)
    panels[0].set_yticks(range(len(order)), order)
    panels[0].invert_yaxis()
    _finish(figure, path, "Predictors on equal splits", about)


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
    figure = _figure(1.0 + 5.0 * len(populations), 8.0)
    panels = figure.subplots(2, len(populations), squeeze=False, sharey="row")
    deepest = max(int(np.max(layers)) for _, layers in populations.values())
    for (upper, lower), (name, (accuracies, layers)) in zip(panels.T, populations.items(), strict=True):
        upper.hist(np.asarray(accuracies), bins=50, range=(0, 100), color=_COLOURS[0], label="networks")
        upper.set_title(name, fontsize=_FONT_SIZE)
        upper.set_xlabel("final test accuracy (%)", fontsize=_FONT_SIZE)
        lower.hist(np.asarray(layers), bins=np.arange(0.5, deepest + 1), color=_COLOURS[0], label="networks")
        lower.set_xlabel("trainable layers", fontsize=_FONT_SIZE)
        for axes in (upper, lower):
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            _tidy(axes)
    for first in panels[:, 0]:
        first.set_ylabel("networks", fontsize=_FONT_SIZE)
    _finish(figure, path, "Final accuracies and depths", about)


def correlation_over_weights(
    weights: ArrayLike, correlation: ArrayLike, best: tuple[float, float], path: str | Path, about: str = ""
) -> None:
    """Draws how well hybrids rank by their two weights (figure 6.1 of the thesis on hybrid proxies).

    Args:
        weights: ``[w]``, what both weights run over.
        correlation: ``[w, w]``, Spearman's correlation at (alpha, beta).
        best: The best alpha and beta.
        path: The image file.
        about: What the networks were, in a few words; stands below the title.
    """
    weights = np.asarray(weights, dtype=np.float64)
    values = np.asarray(correlation, dtype=np.float64)
    figure = _figure(8, 6.6)
    axes = figure.subplots()
    # the few pairs that rank hardly at all (both weights zero) would take the colours from the others
    lowest = float(np.nanquantile(values, 0.02))
    image = axes.pcolormesh(weights, weights, values.T, vmin=lowest, cmap="viridis", rasterized=True)
    axes.plot(*best, color=_COLOURS[1], marker="X", markersize=11, linestyle="", label="best pair")
    axes.set_xlabel("alpha, weight of the data-independent score", fontsize=_FONT_SIZE)
    axes.set_ylabel("beta, weight of the data-dependent score", fontsize=_FONT_SIZE)
    bar = figure.colorbar(image, ax=axes, extend="min")
    bar.set_label("Spearman's rank correlation with the accuracy\n(higher is better)", fontsize=_FONT_SIZE)
    _tidy(axes)
    axes.grid(visible=False)
    _finish(figure, path, "How well hybrids rank by their weights", about)


class Reference(NamedTuple):
    """A dashed horizontal line.

    Attributes:
        value: Where it lies.
        label: What it is.
    """

    value: float
    label: str


def lines_with_bands(
    table: pd.DataFrame,
    path: str | Path,
    title: str,
    labels: tuple[str, str],
    about: str = "",
    references: Sequence[Reference] = (),
    limits: tuple[float, float] | None = None,
    background: str | None = None,
    log_x: bool = False,
) -> None:
    """Draws a line for each method, with a band where the table has one.

    Args:
        table: One row for each point: ``method``, ``x``, ``value``, and ``lower`` and ``upper`` (NaN: no band). A value
            that is not finite interrupts its line.
        path: The image file.
        title: What is shown.
        labels: Of the two axes.
        about: What the networks were, in a few words; stands below the title.
        references: Lines to compare with.
        limits: Of the vertical axis, where not everything need be seen.
        background: A line of the table that is no method; grey, behind all others.
        log_x: Whether the horizontal axis is logarithmic.
    """
    figure = _figure(8, 5.6)
    axes = figure.subplots()
    for reference, dashes in zip(references, ("--", ":", "-.", (0, (5, 1))), strict=False):
        axes.axhline(reference.value, color="0.45", linestyle=dashes, linewidth=1.4, label=reference.label)
    table = table.replace([np.inf, -np.inf], np.nan).sort_values("x", kind="stable")
    methods = table[table["method"] != background]
    for place, (method, style) in enumerate(_styles(methods["method"]).items()):
        rows = methods[methods["method"] == method]
        axes.fill_between(rows["x"], rows["lower"], rows["upper"], color=style.colour, alpha=0.12, linewidth=0)
        # By distance on the page; each method's begin elsewhere, so that they are seen where lines meet
        marks = (place * _BETWEEN_MARKS / len(_COLOURS), _BETWEEN_MARKS)
        axes.plot(rows["x"], rows["value"], label=method, markevery=marks, **style.line())
    if background is not None:
        rows = table[table["method"] == background]
        axes.plot(rows["x"], rows["value"], label=background, color="0.55", linestyle="--", linewidth=2, zorder=0)
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if limits is not None:
        axes.set_ylim(*limits)
    axes.set_xlabel(labels[0], fontsize=_FONT_SIZE)
    axes.set_ylabel(labels[1], fontsize=_FONT_SIZE)
    _tidy(axes)
    _finish(figure, path, title, about)


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """A partial learning curve and what is foreseen of it.

    Attributes:
        title: Name of the run.
        observed: ``[t]``, NaN for what was not observed.
        families: Family name to ``[horizon]``, its fit.
        forecast: Forecast of the final value.
        lower: Lower end of its interval.
        upper: Upper end of its interval.
        truth: ``[horizon]``, the whole curve, or None where it is not known.
    """

    title: str
    observed: ArrayLike
    families: Mapping[str, ArrayLike]
    forecast: float
    lower: float
    upper: float
    truth: ArrayLike | None = None


def curve_forecasts(panels: Sequence[CurvePanel], path: str | Path, value_label: str, about: str = "") -> None:
    """Draws partial curves: fitted families faint, their mean, the forecast with its interval, the truth where known.

    Args:
        panels: The runs, at least one.
        path: The image file.
        value_label: Label of the vertical axes.
        about: What the runs are, in a few words; stands below the title.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(1.0 + 4.4 * columns, 1.6 + 3.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_curve(axes, panel)
        axes.set_xlabel("epoch", fontsize=_FONT_SIZE)
    for axes in grid[:, 0]:
        axes.set_ylabel(value_label, fontsize=_FONT_SIZE)
    _finish(figure, path, "Learning curves and what is foreseen of them", about)


def _draw_curve(axes: Axes, panel: CurvePanel) -> None:
    observed = np.asarray(panel.observed, dtype=np.float64)
    last = int(np.flatnonzero(~np.isnan(observed)).max()) + 1
    fits = [np.asarray(values, dtype=np.float64) for values in panel.families.values()]
    horizon = len(fits[0])
    epochs = np.arange(1, horizon + 1)
    for values in fits:
        axes.plot(epochs, values, color=_COLOURS[5], alpha=0.35, linewidth=1, label="families")
    axes.plot(epochs, np.mean(fits, axis=0), color=_COLOURS[0], linewidth=1.8, label="their mean")
    if panel.truth is not None:
        truth = np.asarray(panel.truth, dtype=np.float64)
        axes.plot(np.arange(1, len(truth) + 1), truth, color="0.55", linewidth=1.2, label="truth")
    axes.plot(np.arange(1, len(observed) + 1), observed, color=_COLOURS[6], linewidth=2, label="observed")
    start = observed[last - 1]
    ends = ([start, panel.lower], [start, panel.upper])
    axes.fill_between([last, horizon], *ends, color=_COLOURS[1], alpha=0.15, linewidth=0, label="interval")
    axes.errorbar(
        horizon,
        panel.forecast,
        [[max(0.0, panel.forecast - panel.lower)], [max(0.0, panel.upper - panel.forecast)]],
        color=_COLOURS[1],
        marker="D",
        capsize=4,
        label="forecast",
    )
    axes.set_title(panel.title, fontsize=_FONT_SIZE)
    _tidy(axes)


def coloured_planes(planes: Mapping[str, ArrayLike], truth: ArrayLike, path: str | Path, about: str = "") -> None:
    """Draws networks as points of a plane in the colour of their accuracy, a panel for each embedding.

    Args:
        planes: Panel title to ``[n, 2]`` places.
        truth: ``[n]``, accuracies in percent. The colours go by rank: few bad networks would leave the others one hue.
        path: The image file.
        about: What the networks were, in a few words; stands below the title.
    """
    accuracy = np.asarray(truth, dtype=np.float64)
    figure = _figure(1.4 + 4.4 * len(planes), 5.4)
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    share_below = accuracy.argsort().argsort() / max(1, len(accuracy) - 1)
    for axes, (name, plane) in zip(panels, planes.items(), strict=True):
        places = np.asarray(plane, dtype=np.float64)
        points = axes.scatter(places[:, 0], places[:, 1], c=share_below, s=16, cmap="viridis", label="one network")
        axes.set_title(name, fontsize=_FONT_SIZE)
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(points, ax=panels, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels([f"{value:.1f}%" for value in np.quantile(accuracy, [0, 0.5, 1])])
    bar.set_label("accuracy, coloured by rank", fontsize=_FONT_SIZE)
    _finish(figure, path, "Embeddings in the plane (t-SNE)", about)


def _figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches."""
    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _draw_settings(
    axes: Axes, table: pd.DataFrame, metric: str, higher_is_better: bool, styles: Mapping[str, _Style]
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
    _tidy(axes)


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
    figure = _figure(8, 5.6)
    axes = figure.subplots()
    if zero:
        axes.axhline(0, color="0.45", linestyle="--", linewidth=1.2)
    for method, style in _styles(table["method"]).items():
        rows = table[table["method"] == method].sort_values("snapshots")
        axes.fill_between(rows["snapshots"], rows["lower"], rows["upper"], color=style.colour, alpha=0.12, linewidth=0)
        axes.plot(rows["snapshots"], rows["value"], label=method, **style.line())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"snapshots seen (one every {every_n_steps} mini-batch steps)", fontsize=_FONT_SIZE)
    axes.set_ylabel(label, fontsize=_FONT_SIZE)
    axes.set_yscale(scale)
    _tidy(axes)
    _finish(figure, path, title, about)


class _Style(NamedTuple):
    """How a method looks in every panel of a figure; the first method lies on top."""

    colour: str
    marker: str
    dashes: str
    zorder: int

    def line(self) -> dict[str, Any]:
        """Options of a line with markers."""
        look = {"color": self.colour, "marker": self.marker, "linestyle": self.dashes}
        return {**look, "zorder": self.zorder, "linewidth": 2, "markersize": 6}


def _styles(methods: pd.Series) -> dict[str, _Style]:
    """The style of each method, in the order of its first row; where the colours begin anew, lines are dashed."""
    return {
        method: _Style(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            _DASHES[index // len(_COLOURS) % len(_DASHES)],
            zorder=100 - index,
        )
        for index, method in enumerate(methods.unique())
    }


def _tidy(axes: Axes) -> None:
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=_FONT_SIZE - 1)
    axes.spines[["top", "right"]].set_visible(False)


def _finish(figure: Figure, path: str | Path, title: str, about: str) -> None:
    """Adds the title and, below the panels, the legend; then writes the file."""
    width = figure.get_figwidth()
    lines = [title, *textwrap.wrap(about, int(width * _LETTERS_PER_INCH))]
    figure.suptitle("\n".join(lines), fontsize=_FONT_SIZE + 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    handles, labels = list(named.values()), list(named)
    columns = int(width / (0.8 + max(map(len, labels)) / _LETTERS_PER_INCH))
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, columns), fontsize=_FONT_SIZE)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
