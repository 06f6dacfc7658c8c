"""What n networks say of the weights of a linear model with any number of columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.predictors.base import FloatArray

_SIGNALS = 10.0 ** np.arange(-1, 3.01, 0.5)
_NOISES = 10.0 ** np.arange(-2, 0.01, 0.25)
"""Variances of the prior and of the noise, among which the evidence chooses."""


@dataclass(frozen=True, eq=False)
class Posterior:
    r"""What n values say of the weights of d centred, scaled columns, in its dual form (Bishop 2006, section 3.5).

    With the design X, prior variance s and noise variance v the weights' mean is
    :math:`s X^T (s X X^T + v I)^{-1} y`, where :math:`X X^T = B \operatorname{diag}(\lambda) B^T`.

    Attributes:
        design: X, ``float64[n, d]``.
        values: y, ``float64[n]``, centred.
        eigenvalues: :math:`\lambda`, ``float64[n]``.
        basis: B, ``float64[n, n]``.
        signal: s.
        noise: v.
    """

    design: FloatArray
    values: FloatArray
    eigenvalues: FloatArray
    basis: FloatArray
    signal: float
    noise: float

    @classmethod
    def of(cls, design: FloatArray, values: FloatArray) -> Posterior:
        """Takes the pair of variances under which the values are most likely."""
        eigenvalues, basis = np.linalg.eigh(design @ design.T)
        eigenvalues = np.maximum(eigenvalues, 0)
        return cls(design, values, eigenvalues, basis, *_most_evident(eigenvalues, basis.T @ values))

    def mean(self) -> FloatArray:
        """Returns the expected weights ``float64[d]``."""
        return self._explaining(self.values)

    def draw(self, generator: torch.Generator) -> FloatArray:
        """Draws weights ``float64[d]``: a draw from the prior, moved to explain the values up to a draw of the noise.

        Matheron's rule (Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020).
        """
        prior, noise = (
            np.sqrt(variance) * torch.randn(size, generator=generator, dtype=torch.float64).numpy()
            for variance, size in zip((self.signal, self.noise), self.design.shape[::-1], strict=True)
        )
        weights: FloatArray = prior + self._explaining(self.values - self.design @ prior - noise)
        return weights

    def _explaining(self, values: FloatArray) -> FloatArray:
        along = self.basis.T @ values / (self.signal * self.eigenvalues + self.noise)
        weights: FloatArray = self.signal * self.design.T @ (self.basis @ along)
        return weights


@dataclass(frozen=True, eq=False)
class Columns:
    """How columns were centred and scaled: so that weights of the scaled ones become weights of the columns.

    Attributes:
        used: ``bool[d]``, columns that differ over the training set; the others weigh nothing.
        centre: ``float64[d]``, means.
        scale: ``float64[d]``, standard deviations, times the root of the number of used columns.
    """

    used: NDArray[np.bool_]
    centre: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, columns: FloatArray) -> Columns:
        """Measures ``float64[n, d]`` columns."""
        deviation = columns.std(axis=0)
        used = deviation > 1e-6 * np.abs(columns).max(axis=0, initial=1.0)
        return cls(used, columns.mean(axis=0), deviation * np.sqrt(used.sum()))

    def design(self, columns: FloatArray) -> FloatArray:
        """Returns the used columns, centred and scaled."""
        scaled: FloatArray = (columns[:, self.used] - self.centre[self.used]) / self.scale[self.used]
        return scaled

    def weights(self, of_design: FloatArray) -> tuple[FloatArray, float]:
        """Returns weights ``float64[d]`` of all columns, from those of the design's, and what is added."""
        weights = np.zeros(len(self.used))
        weights[self.used] = of_design / self.scale[self.used]
        return weights, -float(weights @ self.centre)


def _most_evident(eigenvalues: NDArray[np.float64], along: FloatArray) -> tuple[float, float]:
    """The variances of prior and noise under which the values are most likely."""
    variances = _SIGNALS[:, None, None] * eigenvalues + _NOISES[None, :, None]
    evidence = -(along**2 / variances + np.log(variances)).sum(axis=-1)
    signal, noise = np.unravel_index(int(evidence.argmax()), evidence.shape)
    return float(_SIGNALS[signal]), float(_NOISES[noise])
