"""Gaussian process regression on the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from foretrain.predictors.base import FloatArray
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.tabular import Guess, TabularRegressor
from foretrain.predictors.targets import Transform
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.base import SearchSpace

Kernel = Literal["matern12", "matern32", "matern52", "rbf"]
_JITTER = 1e-8
_ENOUGH_TO_TUNE = 250
_NOISE = 0.05
_BOUNDS = {"noise": (1e-5, 1.0), "variance": (1e-4, 1e3), "length": (1e-2, 1e2), "deviation": (1e-3, 1e3)}


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    r"""A Gaussian process whose kernel is a sum over b groups of columns.

    .. math:: \sum_b \sigma_b^2 \, k\Big(\sqrt{\textstyle\sum_{c \in b} \rho_c (x_c - x'_c)^2}\Big) + \nu [x = x']

    Attributes:
        kernel: The shape k.
        variances: ``float64[b]``, :math:`\sigma_b^2`.
        rates: ``float64[d]``, :math:`\rho_c`: one over the squared length of a column and the columns of its group.
        groups: ``int64[d]``, the group of each column.
        noise: :math:`\nu`.
        columns: ``float64[n, d]``, the training set.
        factor: ``float64[n, n]``, lower Cholesky factor of its covariance.
        weights: ``float64[n]``, the covariance's inverse times the targets.
    """

    kernel: Kernel
    variances: FloatArray
    rates: FloatArray
    groups: NDArray[np.int64]
    noise: float
    columns: FloatArray
    factor: FloatArray
    weights: FloatArray

    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` columns; the deviation includes the noise."""
        covariance = np.zeros((len(columns), len(self.columns)))
        for group, variance in enumerate(self.variances):
            here = self.groups == group
            distance = cdist(*(x[:, here] * np.sqrt(self.rates[here]) for x in (columns, self.columns)))
            covariance += variance * KERNELS[self.kernel](distance)[0]
        explained = np.square(solve_triangular(self.factor, covariance.T, lower=True)).sum(axis=0)
        variance = np.maximum(self.variances.sum() - explained, 0) + self.noise
        return Guess(covariance @ self.weights, np.sqrt(variance))


class GaussianProcessRegressor(TabularRegressor[GaussianProcess]):
    """Gaussian process whose parameters are the most probable ones (Rasmussen and Williams 2006, chapter 5).

    The kernel is a sum of one for each encoding and one for the scores, so that a poor encoding beside a good one does
    no harm. Its cost grows with the cube of the number of networks.

    Args:
        space: The space of all architectures.
        seed: Seed of the draw where there are more networks than ``most``.
        encodings: Encodings, each with a kernel of its own.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        kernel: Shape of the kernels.
        relevance: How much the columns of an encoding may differ: the standard deviation, in a normal prior, of the
            logarithms of their squared lengths about that of the encoding; 0 gives all the same length.
        logarithms: Whether the logarithm of one plus them stands for the columns of the encodings, which are counts.
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
        relevance: Annotated[float, Field(ge=0)] = 1.0,
        logarithms: bool = False,
        most: Annotated[int, Field(ge=2)] = 2000,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.kernel: Kernel = kernel
        self.relevance = relevance
        self.logarithms = logarithms
        self.most = most

    @property
    def interval_from(self) -> int:
        """Its forecasts always have an interval."""
        return self.fewest

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> GaussianProcess:
        if len(values) > self.most:
            drawn = np.random.default_rng(derive_seed(self.seed, "process")).permutation(len(values))[: self.most]
            columns, values = columns[drawn], values[drawn]
        return fit_process(columns, values, self.kernel, table.groups, self.relevance)


def fit_process(
    columns: FloatArray,
    values: FloatArray,
    kernel: Kernel,
    groups: NDArray[np.int64] | None = None,
    relevance: float = 0.0,
) -> GaussianProcess:
    """Returns the Gaussian process whose parameters are most probable, given targets of mean 0.

    They need few networks: of more than 250, the first 250 decide them.

    Args:
        columns: ``float64[n, d]``.
        values: ``float64[n]``.
        kernel: Shape of the kernels.
        groups: ``int64[d]``, the group of each column, from 0 on; None puts all into one.
        relevance: Standard deviation of the prior of the columns' logarithms; 0 gives those of a group one length.
    """
    _, groups = np.unique(np.zeros(columns.shape[1], np.int64) if groups is None else groups, return_inverse=True)
    evidence = Evidence(columns[:_ENOUGH_TO_TUNE], values[:_ENOUGH_TO_TUNE], kernel, groups, relevance)
    found = minimize(evidence, evidence.start, method="L-BFGS-B", jac=True, bounds=evidence.bounds)
    noise, variances, rates = evidence.parameters(found.x)
    covariance = np.eye(len(values)) * (noise + _JITTER)
    for group, variance in enumerate(variances):
        scaled = columns[:, groups == group] * np.sqrt(rates[groups == group])
        covariance += variance * KERNELS[kernel](cdist(scaled, scaled))[0]
    factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    weights = np.asarray(cho_solve((factor, True), values), dtype=np.float64)
    return GaussianProcess(kernel, variances, rates, groups, noise, columns, factor, weights)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Minus the logarithm of the parameters' probability, and its gradient.

    The parameters are logarithms: the noise, the variance of each group, the length of each group, and, where
    ``relevance`` is above 0, what is added to each column's rate.

    Attributes:
        columns: ``float64[n, d]``.
        values: ``float64[n]``.
        kernel: Shape of the kernels.
        groups: ``int64[d]``, the group of each column.
        relevance: Standard deviation of the prior of what is added.
    """

    columns: FloatArray
    values: FloatArray
    kernel: Kernel
    groups: NDArray[np.int64]
    relevance: float

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """``int64[b]``: the columns of each group."""
        return np.bincount(self.groups)

    @property
    def start(self) -> FloatArray:
        """Where to begin: all groups count alike."""
        many = len(self.sizes)
        start = np.zeros(1 + 2 * many + (len(self.groups) if self.relevance else 0))
        start[0], start[1 : 1 + many] = math.log(_NOISE), -math.log(max(many, 1))
        return start

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """The range of each parameter."""
        many = len(self.sizes)
        names = ["noise", *["variance"] * many, *["length"] * many]
        names += ["deviation"] * (len(self.groups) if self.relevance else 0)
        return [(math.log(_BOUNDS[name][0]), math.log(_BOUNDS[name][1])) for name in names]

    def parameters(self, logarithms: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Returns the noise, the variances of the groups, and the rates of the columns."""
        noise, variances, lengths, deviations = np.split(logarithms, np.cumsum([1, *[len(self.sizes)] * 2]))
        rates = np.exp(-2 * lengths[self.groups] + (deviations if self.relevance else 0.0)) / self.sizes[self.groups]
        return float(np.exp(noise[0])), np.exp(variances), rates

    def __call__(self, logarithms: FloatArray) -> tuple[float, FloatArray]:
        """Returns the value and its gradient ``float64[parameters]``."""
        noise, variances, rates = self.parameters(logarithms)
        scaled = [self.columns[:, self.groups == group] * np.sqrt(rates[self.groups == group]) for group in self._all]
        shapes = [KERNELS[self.kernel](cdist(x, x)) for x in scaled]
        covariance = np.eye(len(self.values)) * (noise + _JITTER)
        for variance, (shape, _) in zip(variances, shapes, strict=True):
            covariance += variance * shape
        factor = np.linalg.cholesky(covariance)
        weights = cho_solve((factor, True), self.values)
        inner = cho_solve((factor, True), np.eye(len(weights))) - np.outer(weights, weights)
        by_rate = np.zeros(len(self.groups))
        for group, variance in enumerate(variances):
            by_rate[self.groups == group] = _by_rate(variance * inner * shapes[group][1], scaled[group])
        gradient = [
            noise * np.trace(inner),
            *(v * (inner * s).sum() for v, (s, _) in zip(variances, shapes, strict=True)),
        ]
        gradient += [-2 * by_rate[self.groups == group].sum() for group in self._all]
        loss = 0.5 * self.values @ weights + np.log(np.diag(factor)).sum()
        if not self.relevance:
            return float(loss), 0.5 * np.array(gradient)
        deviations = logarithms[len(gradient) :] / self.relevance
        whole = 0.5 * np.concatenate([gradient, by_rate + 2 * deviations / self.relevance])
        return float(loss + 0.5 * deviations @ deviations), whole

    @property
    def _all(self) -> range:
        return range(len(self.sizes))


def _by_rate(weights: FloatArray, scaled: FloatArray) -> FloatArray:
    """The sum of ``-weights_ij (x_ic - x_jc)^2 / 2`` over i and j for each column c; the weights are symmetric."""
    sums: FloatArray = np.einsum("ic,ic->c", weights @ scaled, scaled) - weights.sum(1) @ scaled**2
    return sums


def _matern12(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    k = np.exp(-r)
    return k, np.divide(k, r, out=np.zeros_like(r), where=r > 0)


def _matern32(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    s = math.sqrt(3) * r
    decay = np.exp(-s)
    return (1 + s) * decay, 3 * decay


def _matern52(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    s = math.sqrt(5) * r
    decay = np.exp(-s)
    return (1 + s + s**2 / 3) * decay, 5 / 3 * (1 + s) * decay


def _rbf(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    k = np.exp(-0.5 * r**2)
    return k, k


KERNELS: dict[Kernel, Callable[[FloatArray], tuple[FloatArray, FloatArray]]] = {
    "matern12": _matern12,
    "matern32": _matern32,
    "matern52": _matern52,
    "rbf": _rbf,
}
"""By name: of scaled distances r, the kernel k(r) and the slope -k'(r) / r; that of ``matern12`` is left out at 0."""
