"""Sample-efficiency gain: how many fewer networks must be trained when a search narrows the choice down.

Mauch et al., "Efficient Sampling for Predictor-Based Neural Architecture Search", 2020, section 4. Networks are drawn
from an urn without replacement until one reaches a target error. From an urn of n networks of which M reach it this
takes E[tau] = (n + 1) / (M + 1) draws on average (equation 14). The gain of one urn over another is the ratio of the
two in decibel (equation 15).
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from foretrain.metrics.checks import FloatArray, complete


def reached(errors: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Returns M ``float64[t]``: how many networks have an error of at most each target.

    Args:
        errors: ``[n]``, errors of the networks of the urn.
        targets: ``[t]``, in the same unit.

    Raises:
        ValueError: There are NaN.
    """
    ordered = np.sort(complete("errors", errors).ravel())
    return np.searchsorted(ordered, complete("targets", targets), side="right").astype(np.float64)


@overload
def expected_draws(size: ArrayLike, successes: float) -> float: ...


@overload
def expected_draws(size: ArrayLike, successes: ArrayLike) -> FloatArray: ...


def expected_draws(size: ArrayLike, successes: ArrayLike) -> float | FloatArray:
    """Returns E[tau] = (n + 1) / (M + 1): draws from an urn, without replacement, up to the first success.

    Infinite where nothing in the urn succeeds: the formula's n + 1 would be a number for what never happens.

    Args:
        size: n, networks in the urn.
        successes: M, those that reach the target.

    Raises:
        ValueError: M is negative or larger than n.
    """
    n, m = np.asarray(size, dtype=np.float64), np.asarray(successes, dtype=np.float64)
    if (m < 0).any() or (m > n).any():
        raise ValueError(f"an urn of {size!r} networks cannot hold {successes!r} that reach the target")
    draws = np.where(m > 0, (n + 1) / (m + 1), np.inf)
    return float(draws) if draws.ndim == 0 else draws


def sample_efficiency_gain(space: ArrayLike, candidates: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Returns the gain ``float64[t]`` in decibel, ``10 log10(E_space / E_candidates)``. Higher is better.

    Minus infinity where no candidate reaches the target: no gain can be stated then. NaN where no network of the space
    does. The gain splits: that of a sampled subset over the space (the source's gain_e) plus that of the candidates
    over the subset (gain_p) is that of the candidates over the space.

    Args:
        space: ``[n]``, errors of the networks that one would draw from without the method.
        candidates: ``[k]``, errors of the networks that the method proposed.
        targets: ``[t]``, target errors, all in one unit.

    Raises:
        ValueError: There are NaN.
    """
    before = expected_draws(np.size(space), reached(space, targets))
    after = expected_draws(np.size(candidates), reached(candidates, targets))
    return gain_of_draws(before, after)


def gain_of_draws(before: ArrayLike, after: ArrayLike) -> FloatArray:
    """Returns ``10 log10(before / after)`` in decibel: infinite draws after give minus infinity, before them NaN."""
    e_before, e_after = np.broadcast_arrays(np.asarray(before, np.float64), np.asarray(after, np.float64))
    gain = np.full(e_before.shape, np.nan)
    possible = np.isfinite(e_before)
    with np.errstate(divide="ignore"):
        gain[possible] = 10 * np.log10(e_before[possible] / e_after[possible])
    return gain


def largest_gain(size: int, successes: ArrayLike, candidates: int, runs: int = 1) -> FloatArray:
    """Returns the gain in decibel that no method can exceed: every candidate that can reach the target does.

    Of k candidates of one run at most min(k, M) reach a target that M networks of the space reach; an urn of several
    runs may hold each of those once a run.

    Args:
        size: n, networks in the space.
        successes: M ``[t]``, those that reach each target.
        candidates: Candidates in the urn, of all runs.
        runs: How many runs they come from.
    """
    m = np.asarray(successes, dtype=np.float64)
    return gain_of_draws(expected_draws(size, m), expected_draws(candidates, np.minimum(m * runs, candidates)))
