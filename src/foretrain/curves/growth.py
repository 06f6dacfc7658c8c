"""How much further curves will rise: by how much the logarithm of the error falls until the horizon.

A curve alone is guessed to go on as a power law of the error, beta log(h / T), and as the envelopes of the source's
families say, in the mean of both. In a batch the first halves of all curves show how far such a guess went wrong by
their ends: whether errors fall faster or slower than a power of the epochs is a matter of the task and its schedule,
which like curves share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from foretrain.curves.distribution import HIGHEST, FloatArray
from foretrain.curves.envelope import Envelopes
from foretrain.curves.summaries import CurveSummary

_SEEN_SHARE = 0.5
_LEAST_SEEN = 2
_LEAST_TESTED = 5  # runs; with fewer the test cannot reject at its level
_SIGNIFICANT = 0.05
_RELEVANT = 0.9
_FACTORS = (0.25, 3.0)
_TRUST = 0.75  # a factor of the past need not hold for the rest
_TINY = 1e-9


def log_error(value: FloatArray) -> FloatArray:
    """Returns ``log(101 - y)`` of values in percent: a perfect one stays finite."""
    logs: FloatArray = np.log(HIGHEST + 1 - value)
    return logs


def growth_alone(envelopes: Envelopes, horizon: int | NDArray[np.int64]) -> FloatArray:
    """Returns the growth ``[n]``, at least 0, of each curve by itself.

    Args:
        envelopes: The upper envelopes of the curves.
        horizon: The final epoch, one for all or ``[n]``.
    """
    summary = CurveSummary.of(envelopes.curves)
    power_law = _power_law(summary.exponent, summary, horizon)
    families = log_error(envelopes.reached) - log_error(envelopes.ahead(horizon))
    growth: FloatArray = (power_law + np.maximum(families, 0)) / 2
    return growth


def growth_in_batch(envelopes: Envelopes, horizon: int) -> FloatArray:
    """Returns the growth ``[n]``, at least 0, of curves that inform each other; of each by itself where that is better.

    The growth is that of a power law times f^(3/4), with f the growth of the second halves of what was observed over
    what such power laws foresaw of them after the first halves (ratio of medians, within 1/4 to 3). The exponents lie
    half way from the curves' own to the median of the batch, but where the batch is heterogeneous they are the own.

    The test: the batch is heterogeneous if power laws with own exponents, and the factor that suits those, foresee the
    second halves better: by a tenth in the mean of the absolute errors of the growth, and by a one-sided Wilcoxon
    signed-rank test of them at the level of 5%. By the same test all pooling is off where :func:`growth_alone` foresees
    better still. Fewer than five curves with a half of two epochs cannot be tested, and stand alone.

    Args:
        envelopes: The upper envelopes of the curves.
        horizon: The final epoch.
    """
    summary = CurveSummary.of(envelopes.curves)
    halves = _Halves.of(envelopes, summary.length)
    rule = None if halves is None else halves.rule()
    if rule is None:
        return growth_alone(envelopes, horizon)
    heterogeneous, factor = rule
    exponents = summary.exponent if heterogeneous else _shared(summary)
    growth: FloatArray = factor**_TRUST * _power_law(exponents, summary, horizon)
    return growth


@dataclass(frozen=True)
class _Halves:
    """The first halves of m curves and how they went on.

    Attributes:
        begun: The upper envelopes of the first halves.
        end: ``[m]``, the last epochs of the second halves.
        grown: ``[m]``, the growth in the second halves.
    """

    begun: Envelopes
    end: NDArray[np.int64]
    grown: FloatArray

    @classmethod
    def of(cls, envelopes: Envelopes, length: FloatArray) -> _Halves | None:
        curves, half = envelopes.curves, np.ceil(_SEEN_SHARE * length)
        begun = np.where(np.arange(1, curves.shape[1] + 1) <= half[:, None], curves, np.nan)
        rows = np.flatnonzero(((~np.isnan(begun)).sum(axis=1) >= _LEAST_SEEN) & (half < length))
        if len(rows) < _LEAST_TESTED:
            return None
        first = Envelopes(begun[rows])
        grown = log_error(first.reached) - log_error(envelopes.reached[rows])
        return cls(first, length[rows].astype(np.int64), grown)

    def rule(self) -> tuple[bool, float] | None:
        """Whether the batch is heterogeneous, and the factor of its power laws; None where curves do better alone."""
        earlier = CurveSummary.of(self.begun.curves)
        shared, own = (self._fitted(_power_law(e, earlier, self.end)) for e in (_shared(earlier), earlier.exponent))
        heterogeneous = _is_less(own[1], shared[1])
        factor, errors = own if heterogeneous else shared
        alone = np.abs(growth_alone(self.begun, self.end) - self.grown)
        return None if _is_less(alone, errors) else (heterogeneous, factor)

    def _fitted(self, foreseen: FloatArray) -> tuple[float, FloatArray]:
        """The factor that suits what was foreseen, and the errors ``[m]`` that it leaves."""
        factor = float(np.clip(np.median(self.grown) / max(float(np.median(foreseen)), _TINY), *_FACTORS))
        return factor, np.abs(factor * foreseen - self.grown)


def _shared(summary: CurveSummary) -> FloatArray:
    exponents: FloatArray = (summary.exponent + np.median(summary.exponent)) / 2
    return exponents


def _power_law(exponent: FloatArray, summary: CurveSummary, horizon: int | NDArray[np.int64]) -> FloatArray:
    growth: FloatArray = np.maximum(exponent, 0) * np.log(horizon / summary.length)
    return growth


def _is_less(first: FloatArray, second: FloatArray) -> bool:
    if first.mean() >= _RELEVANT * second.mean():
        return False
    return bool(stats.wilcoxon(first, second, alternative="less").pvalue < _SIGNIFICANT)
