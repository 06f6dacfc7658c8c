"""Draws the picture of the README: trainings foreseen from their first epochs, beside how they really went on.

python docs/picture.py     writes docs/figures/forecasts.png

The embedded benchmark digits201: cells that were really trained. Thirty of them have finished and teach; of six others,
drawn at even steps of their final accuracy, the first epochs are seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import foretrain as ft
from foretrain.runtime.files import atomic_path

SEEN, FINISHED, SHOWN = 6, 30, 6
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B5548F", "#B07D00", "#444444")
TARGET = Path(__file__).parent / "figures" / "forecasts.png"


def main() -> None:
    """Draws."""
    curves = _curves()
    draw = np.random.default_rng(0).permutation(len(curves))
    finished, others = curves[draw[:FINISHED]], curves[draw[FINISHED:]]
    ranked = others[np.argsort(others[:, -1])]
    shown = ranked[np.linspace(0.08 * len(ranked), len(ranked) - 1, SHOWN).astype(int)]
    horizon = curves.shape[1]
    forecast = ft.extrapolate(shown[:, :SEEN], horizon, finished=finished)
    figure = Figure(figsize=(8, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    epochs = np.arange(1, horizon + 1)
    axes.axvspan(1, SEEN, color="0.93", linewidth=0)
    for row, (curve, colour) in enumerate(zip(shown, COLOURS, strict=True)):
        axes.plot(epochs[:SEEN], curve[:SEEN], color=colour, linewidth=2.5)
        axes.plot(epochs[SEEN - 1 :], curve[SEEN - 1 :], color=colour, linewidth=1, alpha=0.55)
        place = horizon + 1 + 0.7 * row
        ends = [[forecast.mean[row] - forecast.lower[row]], [forecast.upper[row] - forecast.mean[row]]]
        axes.errorbar(place, forecast.mean[row], ends, color=colour, fmt="o", markersize=5, capsize=3)
        axes.plot([horizon, place], [curve[-1]] * 2, color=colour, linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"epoch; seen are the first {SEEN} (thick), not seen the rest (thin)")
    axes.set_ylabel("validation accuracy, percent")
    axes.set_title(f"Foreseen after {SEEN} of {horizon} epochs, 90% intervals (right), by {FINISHED} finished runs")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(TARGET) as temporary:
        figure.savefig(temporary)


def _curves() -> np.ndarray:
    """``float[n, epochs]``, of the first seed, percent."""
    benchmark = ft.open_benchmark("digits201")
    return np.asarray(benchmark.curves(np.arange(400), split="valid", seed=0))


if __name__ == "__main__":
    main()
