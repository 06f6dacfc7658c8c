"""What the figures of all reports share, drawn without any global state of matplotlib; rooms add their own.

Each figure takes plain tables or arrays and a path, which is written whole or not at all. Methods keep their colour and
marker by their order in the table; the colours are Okabe and Ito's, which people with colour blindness can tell apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from foretrain.errors import ConfigError
from foretrain.metrics.error import mae
from foretrain.metrics.rank import spearman
from foretrain.runtime.files import atomic_path, require_writable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B", "#7F7F7F")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "*")
_DASHES = ("-", "--", ":")
FONT_SIZE = 12
_LETTERS_PER_INCH = 10
_DPI = 150
_ENDINGS = (".png", ".pdf", ".svg")
_BETWEEN_MARKS = 0.1
"""Distance of a line's markers as a share of the diagonal of its axes."""


def checked_figure(target: str | Path, key: str = "plot") -> Path:
    """Returns where a figure goes.

    Raises:
        ConfigError: Its ending is that of no image.
        DataError: No file can be made there.
    """
    if Path(target).suffix not in _ENDINGS:
        raise ConfigError(key, "unknown file ending", str(target), _ENDINGS)
    return require_writable(target)


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
    figure = new_figure(0.6 + 4.2 * len(means), 5.6)
    panels = figure.subplots(1, len(means), squeeze=False)[0]
    for axes, (name, mean) in zip(panels, means.items(), strict=True):
        axes.plot(limits, limits, color="0.45", linestyle="--", linewidth=1.2, label="perfect prediction")
        axes.scatter(truth, mean, s=30, color=COLOURS[0], alpha=0.6, linewidths=0)
        axes.set(xlim=limits, ylim=limits)
        quality = f"MAE {mae(truth, mean):.2f} points, Spearman {spearman(truth, mean):.2f}"
        axes.set_title(f"{name}\n{quality}", fontsize=FONT_SIZE)
        axes.set_xlabel("true final accuracy (%)", fontsize=FONT_SIZE)
        tidy(axes)
    panels[0].set_ylabel("predicted final accuracy (%)", fontsize=FONT_SIZE)
    finish(figure, path, "Predicted against true final accuracy", about)


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
    figure = new_figure(8, 5.6)
    axes = figure.subplots()
    for reference, dashes in zip(references, ("--", ":", "-.", (0, (5, 1))), strict=False):
        axes.axhline(reference.value, color="0.45", linestyle=dashes, linewidth=1.4, label=reference.label)
    table = table.replace([np.inf, -np.inf], np.nan).sort_values("x", kind="stable")
    methods = table[table["method"] != background]
    for place, (method, style) in enumerate(styles(methods["method"]).items()):
        rows = methods[methods["method"] == method]
        axes.fill_between(rows["x"], rows["lower"], rows["upper"], color=style.colour, alpha=0.12, linewidth=0)
        # By distance on the page; each method's begin elsewhere, so that they are seen where lines meet
        marks = (place * _BETWEEN_MARKS / len(COLOURS), _BETWEEN_MARKS)
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
    axes.set_xlabel(labels[0], fontsize=FONT_SIZE)
    axes.set_ylabel(labels[1], fontsize=FONT_SIZE)
    tidy(axes)
    finish(figure, path, title, about)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches."""
    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


class Style(NamedTuple):
    """How a method looks in every panel of a figure; the first method lies on top."""

    colour: str
    marker: str
    dashes: str
    zorder: int

    def line(self) -> dict[str, Any]:
        """Options of a line with markers."""
        look = {"color": self.colour, "marker": self.marker, "linestyle": self.dashes}
        return {**look, "zorder": self.zorder, "linewidth": 2, "markersize": 6}


def styles(methods: pd.Series) -> dict[str, Style]:
    """The style of each method, in the order of its first row; where the colours begin anew, lines are dashed."""
    return {
        method: Style(
            COLOURS[index % len(COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            _DASHES[index // len(COLOURS) % len(_DASHES)],
            zorder=100 - index,
        )
        for index, method in enumerate(methods.unique())
    }


def tidy(axes: Axes) -> None:
    """Gives axes a light grid, readable ticks, and no frame where nothing is read off."""
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.spines[["top", "right"]].set_visible(False)


def finish(figure: Figure, path: str | Path, title: str, about: str) -> None:
    """Adds the title and, below the panels, the legend; then writes the file."""
    width = figure.get_figwidth()
    lines = [title, *textwrap.wrap(about, int(width * _LETTERS_PER_INCH))]
    figure.suptitle("\n".join(lines), fontsize=FONT_SIZE + 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    handles, labels = list(named.values()), list(named)
    columns = int(width / (0.8 + max(map(len, labels)) / _LETTERS_PER_INCH))
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, columns), fontsize=FONT_SIZE)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
