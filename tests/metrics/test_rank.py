"""Rank correlations and bootstrap intervals."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foretrain.metrics.error import mae
from foretrain.metrics.rank import bootstrap_interval, kendall, spearman

RANKED_PAIRS = st.integers(3, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-4, 4), min_size=n, max_size=n).filter(lambda x: len(set(x)) > 1)] * 2)
)


def noisy_pair(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return truth, truth + rng.normal(size=n)


def kendall_by_counting(truth: list[int], score: list[int]) -> float:
    """Tau-b by its definition: pairs in and out of order over the pairs not tied on each side."""
    first = np.sign(np.subtract.outer(truth, truth))
    second = np.sign(np.subtract.outer(score, score))
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


@given(RANKED_PAIRS)
def test_spearman_agrees_with_scipy_with_ties(pair: tuple[list[int], list[int]]) -> None:
    assert spearman(*pair) == pytest.approx(stats.spearmanr(*pair).statistic, abs=1e-12)


@given(RANKED_PAIRS)
def test_kendall_agrees_with_its_definition_with_ties(pair: tuple[list[int], list[int]]) -> None:
    assert kendall(*pair) == pytest.approx(kendall_by_counting(*pair), abs=1e-12)


@pytest.mark.parametrize("correlation", [spearman, kendall])
def test_only_the_order_matters(correlation) -> None:
    truth, score = noisy_pair()
    assert correlation(truth, np.exp(3 * score)) == pytest.approx(correlation(truth, score), abs=1e-12)
    assert correlation(truth, -score) == pytest.approx(-correlation(truth, score), abs=1e-12)
    assert correlation(truth, truth**3) == pytest.approx(1)


@pytest.mark.parametrize("correlation", [spearman, kendall])
@pytest.mark.parametrize("pair", [([], []), ([1.0], [2.0]), ([1, 2, 3], [5, 5, 5]), ([5, 5, 5], [1, 2, 3])])
def test_no_ranking_is_nan(correlation, pair) -> None:
    assert math.isnan(correlation(*pair))


@pytest.mark.parametrize("metric", [spearman, kendall, mae])
def test_nan_input_is_refused_and_counted(metric) -> None:
    with pytest.raises(ValueError, match="score: 2 of 4 values are NaN"):
        metric([1, 2, 3, 4], [1, np.nan, np.nan, 4])
    with pytest.raises(ValueError, match="truth: 1 of 2 values are NaN"):
        metric([np.nan, 2], [1, 2])


@pytest.mark.parametrize("metric", [spearman, kendall, mae])
def test_different_lengths_are_refused(metric) -> None:
    with pytest.raises(ValueError, match=r"truth has shape \(3,\), score \(2,\)"):
        metric([1, 2, 3], [1, 2])


def test_spearman_of_many_samples_at_once_equals_one_by_one() -> None:
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 5, size=(2, 7, 12))
    score[3] = 2
    expected = [spearman(*pair) for pair in zip(truth, score, strict=True)]
    np.testing.assert_allclose(spearman(truth, score, axis=-1), expected, atol=1e-14)
    np.testing.assert_allclose(spearman(truth.T, score.T, axis=0), expected, atol=1e-14)
    assert math.isnan(expected[3])


def test_spearman_asks_for_the_axis() -> None:
    with pytest.raises(ValueError, match="axis"):
        spearman(np.ones((2, 3)), np.ones((2, 3)))


def test_interval_is_the_same_for_the_same_seed_only() -> None:
    truth, score = noisy_pair()
    assert bootstrap_interval(spearman, truth, score, seed=3) == bootstrap_interval(spearman, truth, score, seed=3)
    assert bootstrap_interval(spearman, truth, score, seed=3) != bootstrap_interval(spearman, truth, score, seed=4)


def test_vectorised_and_plain_statistics_see_the_same_draws() -> None:
    truth, score = noisy_pair()
    plain = bootstrap_interval(lambda t, s: spearman(t, s), truth, score, resamples=200)  # noqa: PLW0108 - hides axis
    assert plain == pytest.approx(bootstrap_interval(spearman, truth, score, resamples=200), abs=1e-12)


def test_interval_of_a_mean_agrees_with_theory_and_covers_it() -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=400)
    standard_error = sample.std() / math.sqrt(len(sample))
    lower, upper = bootstrap_interval(np.mean, sample, level=0.9, resamples=4000)
    assert (lower, upper) == pytest.approx(sample.mean() + np.array([-1.645, 1.645]) * standard_error, abs=0.01)


def test_higher_levels_give_wider_intervals() -> None:
    truth, score = noisy_pair()
    intervals = [bootstrap_interval(spearman, truth, score, level=level) for level in (0.5, 0.8, 0.95)]
    assert all(wide.lower < narrow.lower < narrow.upper < wide.upper for narrow, wide in pairwise(intervals))


def test_pairing_is_kept() -> None:
    truth, score = noisy_pair()

    def difference(truth, first, second, axis):
        return spearman(truth, first, axis=axis) - spearman(truth, second, axis=axis)

    assert bootstrap_interval(difference, truth, score, 2 * score) == (0, 0)


def test_resamples_without_a_ranking_are_left_out() -> None:
    assert bootstrap_interval(spearman, [1, 2], [1, 2]) == (1, 1)
    assert np.isnan(bootstrap_interval(spearman, [1, 1, 1], [1, 2, 3])).all()
    assert np.isnan(bootstrap_interval(spearman, [1], [1])).all()


def test_arrays_of_different_length_are_not_paired() -> None:
    with pytest.raises(ValueError, match="one shape"):
        bootstrap_interval(mae, [1, 2, 3], [1, 2])
