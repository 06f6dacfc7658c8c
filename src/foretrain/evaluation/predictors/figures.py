"""The figures of predictors: how they fare over trials, and what an embedding looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from foretrain.evaluation.figures import COLOURS, FONT_SIZE, finish, new_figure, tidy


def spread_over_trials(table: pd.DataFrame, order: Sequence[str], path: str | Path, about: str = "") -> None:
    """Draws how well each predictor ranks and how far it errs: a point a trial, a line at the mean.

    Args:
        table: One row for each predictor and trial: ``predictor``, ``spearman`` and ``mae`` (points, NaN where a
            predictor only ranks).
        order: The predictors from top to bottom.
        path: The image file.
        about: What was foreseen, in a few words; stands below the title.
    """
    figure = new_figure(11, 1.8 + 0.36 * len(order))
    panels = figure.subplots(1, 2, sharey=True)
    labels = ("Spearman's rank correlation\n(higher is better)", "mean absolute error\n(points, lower is better)")
    for axes, metric, label in zip(panels, ("spearman", "mae"), labels, strict=True):
        for place, name in enumerate(order):
            values = table.loc[table["predictor"] == name, metric].dropna()
            heights = place + np.linspace(-0.2, 0.2, max(len(values), 1))[: len(values)]
            axes.scatter(values, heights, s=14, color=COLOURS[0], alpha=0.5, linewidths=0, label="one trial")
            axes.plot([values.mean()] * 2, [place - 0.32, place + 0.32], color=COLOURS[1], linewidth=2, label="mean")
        axes.set_xlabel(label, fontsize=FONT_SIZE)
        tidy(axes)
    panels[0].set_yticks(range(len(order)), order)
    panels[0].invert_yaxis()
    finish(figure, path, "Predictors on equal splits", about)


def coloured_planes(planes: Mapping[str, ArrayLike], truth: ArrayLike, path: str | Path, about: str = "") -> None:
    """Draws networks as points of a plane in the colour of their accuracy, a panel for each embedding.

    Args:
        planes: Panel title to ``[n, 2]`` places.
        truth: ``[n]``, accuracies in percent. The colours go by rank: few bad networks would leave the others one hue.
        path: The image file.
        about: What the networks were, in a few words; stands below the title.
    """
    accuracy = np.asarray(truth, dtype=np.float64)
    figure = new_figure(1.4 + 4.4 * len(planes), 5.4)
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    share_below = accuracy.argsort().argsort() / max(1, len(accuracy) - 1)
    for axes, (name, plane) in zip(panels, planes.items(), strict=True):
        places = np.asarray(plane, dtype=np.float64)
        points = axes.scatter(places[:, 0], places[:, 1], c=share_below, s=16, cmap="viridis", label="one network")
        axes.set_title(name, fontsize=FONT_SIZE)
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(points, ax=panels, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels([f"{value:.1f}%" for value in np.quantile(accuracy, [0, 0.5, 1])])
    bar.set_label("accuracy, coloured by rank", fontsize=FONT_SIZE)
    finish(figure, path, "Embeddings in the plane (t-SNE)", about)
