"""Gaussian process regression on the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from foretrain.predictors.base import FloatArray
from foretrain.predictors.tabular import Guess, TabularRegressor
from foretrain.predictors.targets import Transform
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.base import SearchSpace

Kernel = Literal["matern12", "matern32", "matern52", "rbf"]
_JITTER = 1e-8
_ENOUGH_TO_TUNE = 500
_START = np.log([1.0, 1.0, 0.05])
_BOUNDS = [(math.log(1e-3), math.log(1e3)), (math.log(1e-2), math.log(1e2)), (math.log(1e-5), 0.0)]


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    r"""A Gaussian process with kernel :math:`\sigma^2 k(\lVert x - x' \rVert / (\ell \sqrt d)) + \nu [x = x']`.

    Attributes:
        kernel: The shape k.
        variance: :math:`\sigma^2`.
        length: :math:`\ell`, in units of the root of the number of columns.
        noise: :math:`\nu`.
        columns: ``float64[n, d]``, the training set.
        factor: ``float64[n, n]``, lower Cholesky factor of its covariance.
        weights: ``float64[n]``, the covariance's inverse times the targets.
    """

    kernel: Kernel
    variance: float
    length: float
    noise: float
    columns: FloatArray
    factor: FloatArray
    weights: FloatArray

    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` columns; the deviation includes the noise."""
        distance = cdist(columns, self.columns) / _unit(self.length, columns)
        covariance = self.variance * KERNELS[self.kernel](distance)[0]
        explained = np.square(solve_triangular(self.factor, covariance.T, lower=True)).sum(axis=0)
        variance = np.maximum(self.variance - explained, 0) + self.noise
        return Guess(covariance @ self.weights, np.sqrt(variance))


class GaussianProcessRegressor(TabularRegressor[GaussianProcess]):
    """Gaussian process whose three parameters maximise the marginal likelihood (Rasmussen and Williams 2006).

    Its cost grows with the cube of the number of networks.

    Args:
        space: The space of all architectures.
        seed: Seed of the draw where there are more networks than ``most``.
        encodings: Encodings whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        kernel: Shape of the kernel.
        most: Of more networks than these, so many are drawn to learn from.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        encodings: tuple[str, ...] | list[str] = ("graph_features",),
        use_scores: bool = True,
        transform: Transform = "log_error",
        kernel: Kernel = "matern32",
        most: Annotated[int, Field(ge=2)] = 2000,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.kernel: Kernel = kernel
        self.most = most

    def _learn_columns(self, columns: FloatArray, values: FloatArray) -> GaussianProcess:
        if len(values) > self.most:
            drawn = np.random.default_rng(derive_seed(self.seed, "process")).permutation(len(values))[: self.most]
            columns, values = columns[drawn], values[drawn]
        return fit_process(columns, values, self.kernel)


def fit_process(columns: FloatArray, values: FloatArray, kernel: Kernel) -> GaussianProcess:
    """Returns the Gaussian process whose parameters maximise the marginal likelihood of targets of mean 0.

    Three parameters need few networks: of more than 500, the first 500 decide them.

    Args:
        columns: ``float64[n, d]``.
        values: ``float64[n]``.
        kernel: Shape of the kernel.
    """
    distance = cdist(columns, columns) / _unit(1.0, columns)
    few = slice(_ENOUGH_TO_TUNE)
    arguments = (distance[few, few], values[few], kernel)
    found = minimize(_loss_and_gradient, _START, arguments, "L-BFGS-B", jac=True, bounds=_BOUNDS)
    variance, length, noise = np.exp(found.x)
    covariance = variance * KERNELS[kernel](distance / length)[0]
    factor = np.linalg.cholesky(covariance + (noise + _JITTER) * np.eye(len(values)))
    weights = cho_solve((factor, True), values)
    return GaussianProcess(kernel, float(variance), float(length), float(noise), columns, factor, weights)


def _loss_and_gradient(
    logarithms: FloatArray, distance: FloatArray, values: FloatArray, kernel: Kernel
) -> tuple[float, FloatArray]:
    """Minus the log marginal likelihood, and its gradient by the logarithms of variance, length and noise."""
    variance, length, noise = np.exp(logarithms)
    shape, slope = KERNELS[kernel](distance / length)
    factor = np.linalg.cholesky(variance * shape + (noise + _JITTER) * np.eye(len(values)))
    weights = cho_solve((factor, True), values)
    loss = 0.5 * values @ weights + np.log(np.diag(factor)).sum()
    inner = cho_solve((factor, True), np.eye(len(values))) - np.outer(weights, weights)
    gradient = [variance * (inner * shape).sum(), variance * (inner * slope).sum(), noise * np.trace(inner)]
    return float(loss), 0.5 * np.array(gradient)


def _unit(length: float, columns: FloatArray) -> float:
    return length * math.sqrt(max(1, columns.shape[1]))


def _matern12(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    k = np.exp(-r)
    return k, r * k


def _matern32(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    s = math.sqrt(3) * r
    decay = np.exp(-s)
    return (1 + s) * decay, s**2 * decay


def _matern52(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    s = math.sqrt(5) * r
    decay = np.exp(-s)
    return (1 + s + s**2 / 3) * decay, s**2 * (1 + s) / 3 * decay


def _rbf(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    k = np.exp(-0.5 * r**2)
    return k, r**2 * k


KERNELS: dict[Kernel, Callable[[FloatArray], tuple[FloatArray, FloatArray]]] = {
    "matern12": _matern12,
    "matern32": _matern32,
    "matern52": _matern52,
    "rbf": _rbf,
}
"""By name: of scaled distances r, the kernel k(r), and its derivative by the logarithm of the length, -r k'(r)."""
