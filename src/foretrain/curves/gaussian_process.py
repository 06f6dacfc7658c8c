"""Regression on a few dozen examples: Gaussian processes, averaged over their hyperparameters.

With few examples the best hyperparameters are not known; a single choice of them is what makes the rare split go wrong.
All combinations on a fixed grid are fitted in closed form and averaged, each weighted by how probable it makes every
example given the others (leave-one-out, Rasmussen and Williams 2006, equations 5.10 to 5.12), by a Student-t
likelihood so that an outlier rules nothing out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_LENGTH_SCALES = (2.0, 4.0, 8.0)
_LINEAR_SHARES = (0.0, 1.0, 10.0)
_NOISES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_FREEDOM = 4.0
_TINY = 1e-9


@dataclass(frozen=True)
class AveragedGaussianProcess:
    """A weighted mean of Gaussian processes fitted to m examples.

    Attributes:
        held_out: ``[m]``, what each example would have been taken for without it.
        held_out_deviation: ``[m]``, the standard deviation of that.
    """

    held_out: FloatArray
    held_out_deviation: FloatArray
    _scaling: _Scaling
    _examples: FloatArray
    _members: list[_Member]

    @classmethod
    def fit(cls, features: FloatArray, targets: FloatArray) -> AveragedGaussianProcess:
        """Fits to examples.

        Args:
            features: ``[m, d]``, without NaN; their unit does not matter.
            targets: ``[m]``.
        """
        scaling = _Scaling.of(features, targets)
        examples, values = scaling.features(features), (targets - scaling.centre) / scaling.spread
        members = [
            member
            for length, linear in product(_LENGTH_SCALES, _LINEAR_SHARES)
            for member in _fit_kernel(examples, values, length, linear)
        ]
        log_weights = np.array([member.log_likelihood for member in members])
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        kept = [member.weighted(w) for member, w in zip(members, weights, strict=True) if w > _TINY]
        held_out = sum((m.weight * m.held_out for m in kept), np.zeros(len(values)))
        variance = sum(
            (m.weight * (m.held_out_variance + (m.held_out - held_out) ** 2) for m in kept), np.zeros(len(values))
        )
        return cls(
            held_out * scaling.spread + scaling.centre, np.sqrt(variance) * scaling.spread, scaling, examples, kept
        )

    def predict(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns means and standard deviations ``[n]`` for the features ``[n, d]`` of others."""
        scaled = self._scaling.features(features)
        distance, product_ = _distances(scaled, self._examples), _products(scaled, self._examples)
        own = 1 + (scaled**2).mean(axis=1)
        mean, square = np.zeros(len(scaled)), np.zeros(len(scaled))
        for member in self._members:
            kernel = _kernel(distance, product_, member.length, member.linear)
            prior = member.length**2 + member.linear * own
            one_mean = kernel @ member.coefficients
            variance = member.scale * (prior + member.noise - ((kernel @ member.inverse) * kernel).sum(axis=1))
            mean += member.weight * one_mean
            square += member.weight * (np.maximum(variance, _TINY) + one_mean**2)
        deviation = np.sqrt(np.maximum(square - mean**2, _TINY))
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
class _Member:
    """One Gaussian process, in scaled units."""

    length: float
    linear: float
    noise: float
    scale: float
    coefficients: FloatArray
    inverse: FloatArray
    held_out: FloatArray
    held_out_variance: FloatArray
    log_likelihood: float
    weight: float = 0.0

    def weighted(self, weight: float) -> _Member:
        return replace(self, weight=float(weight))


def _fit_kernel(examples: FloatArray, values: FloatArray, length: float, linear: float) -> list[_Member]:
    """One member for every noise: they share the eigenvectors of the kernel."""
    kernel = _kernel(_distances(examples, examples), _products(examples, examples), length, linear)
    eigenvalues, vectors = np.linalg.eigh(kernel)
    members = []
    for noise in _NOISES:
        inverse = (vectors / (np.maximum(eigenvalues, 0) + noise)) @ vectors.T
        coefficients = inverse @ values
        variance = 1 / np.diag(inverse)
        residual = coefficients * variance
        scale = float(np.mean(residual**2 / variance)) + _TINY
        members.append(
            _Member(
                length,
                linear,
                noise,
                scale,
                coefficients,
                inverse,
                values - residual,
                scale * variance,
                _student_log_likelihood(residual, scale * variance),
            )
        )
    return members


def _student_log_likelihood(residual: FloatArray, variance: FloatArray) -> float:
    scale = variance * (_FREEDOM - 2) / _FREEDOM
    logs = -0.5 * (_FREEDOM + 1) * np.log1p(residual**2 / (_FREEDOM * scale)) - 0.5 * np.log(scale)
    return float(logs.sum())


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
