"""Prints how fast curves are fitted: beside SciPy's loop over the same families, and beside the bare matrix product.

The loop is the plain one that people write: ``scipy.optimize.curve_fit`` on NumPy functions, without bounds, from ones,
for one curve and one family after the other, in fractions, where every family can be fitted.

python bench/curves.py [--curves 15625] [--epochs 20] [--scipy-curves 4] [--threads 1]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from scipy.optimize import curve_fit
from torch import Tensor

from foretrain.curves import extrapolate
from foretrain.curves.families import DISTINCT, FAMILIES
from foretrain.curves.grid import GridFitter
from timing import seconds, seconds_in_turn

HORIZON = 200
FORMULAS: dict[str, tuple[int, Callable[..., np.ndarray]]] = {
    "pow3": (3, lambda x, c, a, alpha: c - a * x**-alpha),
    "pow4": (4, lambda x, c, a, b, alpha: c - (a * x + b) ** -alpha),
    "exp4": (4, lambda x, c, a, b, alpha: c - np.exp(-a * x**alpha + b)),
    "mmf": (4, lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) / (1 + (kappa * x) ** delta)),
    "log_power": (3, lambda x, a, b, c: a / (1 + (x / np.exp(b)) ** c)),
    "vapor_pressure": (3, lambda x, a, b, c: np.exp(a + b / x + c * np.log(x))),
    "log_log_linear": (2, lambda x, a, b: np.log(a * np.log(x) + b)),
    "ilog2": (2, lambda x, c, a: c - a / np.log(x + 1)),
    "log_shift_scale": (4, lambda x, alpha, beta, i, j: alpha * np.log(beta * x + i) + j),
}
"""The published formulas with the numbers of their parameters."""


def main() -> None:
    """Measures and prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    curves = noisy_curves(options.curves, options.epochs)
    few = curves[: options.scipy_curves].double().numpy() / 100
    ours, loop = seconds_in_turn(lambda: fit(GridFitter(), curves), lambda: scipy_loop(few), runs=3)
    rate, loop_rate = options.curves / median(ours), options.scipy_curves / median(loop)
    failed = scipy_loop(few) / len(few) / len(FORMULAS)
    print(
        f"{options.curves} curves of {options.epochs} epochs, nine families, {options.threads} threads, processor time"
    )
    print(f"grid fit                {rate:12,.0f} curves/s ({median(ours):.3f} s in all)")
    print(f"scipy.optimize loop     {loop_rate:12,.1f} curves/s ({failed:.0%} of its fits fail)")
    print(f"times faster than SciPy {rate / loop_rate:12,.0f}")
    print(f"share of the bare products {seconds(lambda: bare_products(curves)) / median(ours):9.2f}")
    half = seconds(lambda: fit(GridFitter(), curves[: options.curves // 2]))
    print(f"time for all over time for half of them {median(ours) / half:9.2f}")
    missing = curves.clone()
    missing[::3, 4] = torch.nan
    variants = {
        "with missing values": (GridFitter(), missing),
        "two reweightings": (GridFitter(reweightings=2), curves),
        "ten polishing steps": (GridFitter(polish_steps=10), curves[: options.curves // 8]),
    }
    for name, (fitter, values) in variants.items():
        taken = seconds(lambda fitter=fitter, values=values: fit(fitter, values), runs=1)  # type: ignore[misc]
        print(f"{name:23} {len(values) / taken:12,.0f} curves/s")
    array = curves.numpy()
    print(
        f"zero-shot forecast      {len(array) / seconds(lambda: extrapolate(array, HORIZON), runs=1):12,.0f} curves/s"
    )


def fit(fitter: GridFitter, curves: Tensor) -> dict[str, Tensor]:
    """Fits and gives the values at the horizon."""
    return fitter.fit(curves).at([HORIZON])


def scipy_loop(curves: np.ndarray) -> int:
    """Fits curves as fractions, one after the other, and gives the number of fits that failed."""
    failed = 0
    x = np.arange(1.0, curves.shape[1] + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for count, function in FORMULAS.values():
            for curve in curves:
                try:
                    found, _ = curve_fit(function, x, curve, p0=np.ones(count))
                    failed += not np.isfinite(function(np.array([float(HORIZON)]), *found)).all()
                except (RuntimeError, ValueError):
                    failed += 1
    return failed


def bare_products(curves: Tensor) -> None:
    """The matrix products without which no family can be compared on its grid."""
    for name in DISTINCT:
        points = len(FAMILIES[name].shape_grid(curves.shape[1]))
        for start in range(0, len(curves), 2048):
            curves[start : start + 2048] @ torch.ones(curves.shape[1], points)


def noisy_curves(n: int, t: int) -> Tensor:
    """Returns curves ``float32[n, t]`` that rise like powers, with noise of two points."""
    rng = np.random.default_rng(0)
    x = np.arange(1, t + 1)
    curves = rng.uniform(60, 92, (n, 1)) - rng.uniform(20, 60, (n, 1)) * x ** -rng.uniform(0.3, 1.2, (n, 1))
    return torch.from_numpy(np.clip(curves + rng.normal(0, 2, (n, t)), 0, 100)).float()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=15_625)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--scipy-curves", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
