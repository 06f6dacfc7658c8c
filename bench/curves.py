"""Prints how fast curves are fitted: beside SciPy's loop over the same families, and beside the bare matrix product.

python bench/curves.py [--curves 15625] [--epochs 20] [--scipy-curves 4] [--threads 1]
"""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np
import torch
from torch import Tensor

from foretrain.curves import extrapolate
from foretrain.curves.baselines import scipy_fits
from foretrain.curves.families import DISTINCT, FAMILIES
from foretrain.curves.grid import GridFitter
from timing import seconds, seconds_in_turn

HORIZON = 200


def main() -> None:
    """Measures and prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    curves = noisy_curves(options.curves, options.epochs)
    few = curves[: options.scipy_curves].double().numpy()
    ours, loop = seconds_in_turn(lambda: fit(GridFitter(), curves), lambda: scipy_fits(few, HORIZON), runs=3)
    rate, loop_rate = options.curves / median(ours), options.scipy_curves / median(loop)
    _, failed = scipy_fits(few, HORIZON)
    print(
        f"{options.curves} curves of {options.epochs} epochs, nine families, {options.threads} threads, processor time"
    )
    print(f"grid fit                {rate:12,.0f} curves/s ({median(ours):.3f} s in all)")
    print(f"scipy.optimize loop     {loop_rate:12,.1f} curves/s ({failed / few.shape[0] / 9:.0%} of its fits fail)")
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


def bare_products(curves: Tensor) -> None:
    """The matrix products without which no family can be compared on its grid."""
    for name in DISTINCT:
        points = len(FAMILIES[name].shape_grid(curves.shape[1]))
        for block in curves.split(2048):
            block @ torch.ones(curves.shape[1], points)


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
    parser.add_argument("--scipy-curves", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
