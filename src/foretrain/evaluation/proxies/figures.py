"""The figure of hybrid proxies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from foretrain.evaluation.figures import COLOURS, FONT_SIZE, finish, new_figure, tidy


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
    figure = new_figure(8, 6.6)
    axes = figure.subplots()
    # the few pairs that rank hardly at all (both weights zero) would take the colours from the others
    lowest = float(np.nanquantile(values, 0.02))
    image = axes.pcolormesh(weights, weights, values.T, vmin=lowest, cmap="viridis", rasterized=True)
    axes.plot(*best, color=COLOURS[1], marker="X", markersize=11, linestyle="", label="best pair")
    axes.set_xlabel("alpha, weight of the data-independent score", fontsize=FONT_SIZE)
    axes.set_ylabel("beta, weight of the data-dependent score", fontsize=FONT_SIZE)
    bar = figure.colorbar(image, ax=axes, extend="min")
    bar.set_label("Spearman's rank correlation with the accuracy\n(higher is better)", fontsize=FONT_SIZE)
    tidy(axes)
    axes.grid(visible=False)
    finish(figure, path, "How well hybrids rank by their weights", about)
