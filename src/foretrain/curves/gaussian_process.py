"""Regression on a few dozen examples: Gaussian processes, averaged over their hyperparameters.

With few examples the best hyperparameters are not known; a single choice of them is what makes the rare split go wrong.
All combinations on a fixed grid are fitted in closed form and averaged, each weighted by how probable it makes every
example given the others (leave-one-out, Rasmussen and Williams 2006, equations 5.10 to 5.12), by a Student-t
likelihood so that an outlier rules nothing out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_LENGTH_SCALES = (2.0, 4.0, 8.0)
_LINEAR_SHARES = (0.0, 1.0, 10.0)
_KERNELS = tuple(product(_LENGTH_SCALES, _LINEAR_SHARES))
_NOISES = np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
_FREEDOM = 4.0
_TINY = 1e-9


@dataclass(frozen=True)
class AveragedGaussianProcess:
    """A weighted mean of Gaussian processes fitted to m examples, one for each of k kernels and q noises.

    Attributes:
        held_out: ``[m]``, what each example would have been taken for without it.
        held_out_deviation: ``[m]``, the standard deviation of that.
    """

    held_out: FloatArray
    held_out_deviation: FloatArray
    _scaling: _Scaling
    _examples: FloatArray
    _members: _Members

    @classmethod
    def fit(cls, features: FloatArray, targets: FloatArray) -> AveragedGaussianProcess:
        """Fits to examples.

        Args:
            features: ``[m, d]``, without NaN; their unit does not matter.
            targets: ``[m]``.
        """
        scaling = _Scaling.of(features, targets)
        examples, values = scaling.features(features), (targets - scaling.centre) / scaling.spread
        members = _Members.fit(examples, values)
        held_out, deviation = members.held_out
        return cls(held_out * scaling.spread + scaling.centre, deviation * scaling.spread, scaling, examples, members)

    def predict(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns means and standard deviations ``[n]`` for the features ``[n, d]`` of others."""
        mean, deviation = self._members.predict(self._scaling.features(features), self._examples)
        return mean * self._scaling.spread + self._scaling.centre, deviation * self._scaling.spread


@dataclass(frozen=True)
class _Scaling:
    """Centre and spread of features and targets."""

    mean: FloatArray
    deviation: FloatArray
    centre: float
    spread: float

    @classmethod
    def of(cls, features: FloatArray, targets: FloatArray) -> _Scaling:
        deviation = features.std(axis=0)
        return cls(
            features.mean(axis=0),
            np.where(deviation > _TINY, deviation, 1),
            float(np.median(targets)),
            float(targets.std()) + _TINY,
        )

    def features(self, features: FloatArray) -> FloatArray:
        scaled: FloatArray = (features - self.mean) / self.deviation
        return scaled


@dataclass(frozen=True)
class _Members:
    """All processes, in scaled units; those of one kernel share its eigenvectors.

    Attributes:
        vectors: ``[k, m, m]``, eigenvectors of the kernels.
        inverse: ``[k, m, q]``, inverse eigenvalues of kernel and noise.
        coefficients: ``[k, m, q]``.
        scale: ``[k, q]``, factor of the variances.
        weights: ``[k, q]``, with sum one.
        held_out: Mean and deviation ``[2, m]`` of every example without it.
    """

    vectors: FloatArray
    inverse: FloatArray
    coefficients: FloatArray
    scale: FloatArray
    weights: FloatArray
    held_out: FloatArray

    @classmethod
    def fit(cls, examples: FloatArray, values: FloatArray) -> _Members:
        distance, product_ = _distances(examples, examples), _products(examples, examples)
        eigenvalues, vectors = np.linalg.eigh(np.stack([_kernel(distance, product_, *kind) for kind in _KERNELS]))
        inverse = 1 / (np.maximum(eigenvalues, 0)[..., None] + _NOISES)
        coefficients = vectors @ ((vectors.mT @ values)[..., None] * inverse)
        variance = 1 / (vectors**2 @ inverse)
        residual = coefficients * variance
        scale = (residual**2 / variance).mean(axis=1) + _TINY
        variance = scale[:, None] * variance
        weights = _normalised(_student_log_likelihood(residual, variance))
        held_out = _mixed(weights, values[:, None] - residual, variance)
        return cls(vectors, inverse, coefficients, scale, weights, held_out)

    def predict(self, features: FloatArray, examples: FloatArray) -> FloatArray:
        """Returns means and deviations ``[2, n]``."""
        distance, product_ = _distances(features, examples), _products(features, examples)
        own = 1 + (features**2).mean(axis=1)
        mean, square = np.zeros((2, len(features)))
        for place, (length, linear) in enumerate(_KERNELS):  # one by one: n x m numbers are many already
            kernel = _kernel(distance, product_, length, linear)
            prior = (length**2 + linear * own)[:, None] + _NOISES
            explained = (kernel @ self.vectors[place]) ** 2 @ self.inverse[place]
            variance = np.maximum(self.scale[place] * (prior - explained), _TINY)
            one_mean = kernel @ self.coefficients[place]
            mean += one_mean @ self.weights[place]
            square += (variance + one_mean**2) @ self.weights[place]
        return np.stack([mean, np.sqrt(np.maximum(square - mean**2, _TINY))])


def _normalised(log_weights: FloatArray) -> FloatArray:
    weights = np.exp(log_weights - log_weights.max())
    normalised: FloatArray = weights / weights.sum()
    return normalised


def _mixed(weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Mean and deviation ``[2, m]`` of a mixture of means and variances ``[k, m, q]``."""
    mean = np.einsum("kq,kmq->m", weights, means)
    variance = np.einsum("kq,kmq->m", weights, variances + (means - mean[:, None]) ** 2)
    return np.stack([mean, np.sqrt(variance)])


def _student_log_likelihood(residual: FloatArray, variance: FloatArray) -> FloatArray:
    """Sum ``[k, q]`` over the examples of residuals ``[k, m, q]``."""
    scale = variance * (_FREEDOM - 2) / _FREEDOM
    logs = -0.5 * (_FREEDOM + 1) * np.log1p(residual**2 / (_FREEDOM * scale)) - 0.5 * np.log(scale)
    total: FloatArray = logs.sum(axis=1)
    return total


def _kernel(distance: FloatArray, product_: FloatArray, length: float, linear: float) -> FloatArray:
    """A smooth part whose slope does not depend on its length scale, and a linear part."""
    kernel: FloatArray = length**2 * np.exp(-distance / (2 * length**2)) + linear * product_
    return kernel


def _distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Mean squared difference over the features."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    distance: FloatArray = np.maximum(squares, 0) / first.shape[1]
    return distance


def _products(first: FloatArray, second: FloatArray) -> FloatArray:
    product_: FloatArray = 1 + first @ second.T / first.shape[1]
    return product_
