"""The figure of learning curves and what is foreseen of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from foretrain.evaluation.figures import COLOURS, FONT_SIZE, finish, new_figure, tidy


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
    figure = new_figure(1.0 + 4.4 * columns, 1.6 + 3.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_curve(axes, panel)
        axes.set_xlabel("epoch", fontsize=FONT_SIZE)
    for axes in grid[:, 0]:
        axes.set_ylabel(value_label, fontsize=FONT_SIZE)
    finish(figure, path, "Learning curves and what is foreseen of them", about)


def _draw_curve(axes: Axes, panel: CurvePanel) -> None:
    observed = np.asarray(panel.observed, dtype=np.float64)
    last = int(np.flatnonzero(~np.isnan(observed)).max()) + 1
    fits = [np.asarray(values, dtype=np.float64) for values in panel.families.values()]
    horizon = len(fits[0])
    epochs = np.arange(1, horizon + 1)
    for values in fits:
        axes.plot(epochs, values, color=COLOURS[5], alpha=0.35, linewidth=1, label="families")
    axes.plot(epochs, np.mean(fits, axis=0), color=COLOURS[0], linewidth=1.8, label="their mean")
    if panel.truth is not None:
        truth = np.asarray(panel.truth, dtype=np.float64)
        axes.plot(np.arange(1, len(truth) + 1), truth, color="0.55", linewidth=1.2, label="truth")
    axes.plot(np.arange(1, len(observed) + 1), observed, color=COLOURS[6], linewidth=2, label="observed")
    start = observed[last - 1]
    ends = ([start, panel.lower], [start, panel.upper])
    axes.fill_between([last, horizon], *ends, color=COLOURS[1], alpha=0.15, linewidth=0, label="interval")
    axes.errorbar(
        horizon,
        panel.forecast,
        [[max(0.0, panel.forecast - panel.lower)], [max(0.0, panel.upper - panel.forecast)]],
        color=COLOURS[1],
        marker="D",
        capsize=4,
        label="forecast",
    )
    axes.set_title(panel.title, fontsize=FONT_SIZE)
    tidy(axes)
