"""Top-k precision, accuracy difference, regret; errors of forecasts."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error

from foretrain.metrics.error import mae, mse
from foretrain.metrics.selection import accuracy_difference, best_first, regret, top_k_precision

TRUTHS_AND_SETS = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n), st.sets(st.integers(0, n - 1), min_size=1).map(sorted)
    )
)


def best_overlap(truth: list[int], selected: list[int], k: int) -> float:
    """The definition by trying: of all sets of k networks that could be called the best, the one most found."""
    k = min(k, len(truth))
    best_sum = sum(sorted(truth)[-k:])
    top_sets = [s for s in combinations(range(len(truth)), k) if sum(truth[i] for i in s) == best_sum]
    return max(len(set(selected) & set(s)) for s in top_sets) / k


@given(TRUTHS_AND_SETS, st.integers(1, 6))
def test_top_k_precision_agrees_with_its_definition_with_ties(case, k: int) -> None:
    truth, selected = case
    assert top_k_precision(truth, selected, k) == pytest.approx(best_overlap(truth, selected, k))


@given(TRUTHS_AND_SETS, st.randoms(use_true_random=False))
def test_order_of_the_networks_does_not_matter(case, random) -> None:
    truth, selected = case
    new_position = list(range(len(truth)))
    random.shuffle(new_position)
    moved = np.empty(len(truth))
    moved[new_position] = truth
    moved_selected = [new_position[index] for index in selected]
    assert top_k_precision(moved, moved_selected, 3) == top_k_precision(truth, selected, 3)
    assert accuracy_difference(moved, moved_selected) == accuracy_difference(truth, selected)


def test_the_papers_example() -> None:
    truth = np.arange(100.0)
    assert top_k_precision(truth, [99, 98, *range(8)], k=3) == pytest.approx(2 / 3)


@given(TRUTHS_AND_SETS)
def test_positions_and_mask_say_the_same(case) -> None:
    truth, selected = case
    mask = np.isin(np.arange(len(truth)), selected)
    assert top_k_precision(truth, mask, 2) == top_k_precision(truth, selected, 2)
    assert accuracy_difference(truth, mask) == accuracy_difference(truth, selected)


def test_a_network_counts_once() -> None:
    assert top_k_precision([1, 2, 3], [2, 2, 2], k=3) == pytest.approx(1 / 3)


@given(TRUTHS_AND_SETS)
def test_accuracy_difference_is_the_gap_of_the_bests(case) -> None:
    truth, selected = case
    assert accuracy_difference(truth, selected) == max(truth) - max(truth[index] for index in selected)


def test_regret_is_the_accuracy_difference_of_the_first_choice() -> None:
    rng = np.random.default_rng(0)
    truth, score = rng.normal(size=(2, 20))
    assert regret(truth, score) == accuracy_difference(truth, best_first(score)[:1])
    assert regret(truth, truth) == 0


def test_regret_of_a_tie_is_its_mean_whatever_the_order() -> None:
    assert regret([90, 80, 60], [1, 1, 0]) == 5
    assert regret([80, 90, 60], [1, 1, 0]) == 5


def test_best_first_puts_ties_in_order_and_nan_last() -> None:
    scores = [1.0, np.nan, 3.0, -np.inf, 3.0]
    assert best_first(scores).tolist() == [2, 4, 0, 3, 1]
    assert best_first([scores, scores[::-1]]).tolist() == [[2, 4, 0, 3, 1], [0, 2, 4, 1, 3]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k_precision([1, 2], [], 1), "selected set is empty"),
        (lambda: top_k_precision([1, 2], [False, False], 1), "selected set is empty"),
        (lambda: top_k_precision([1, 2], [0], 0), "k is 0"),
        (lambda: accuracy_difference([1, np.nan], [0]), "truth: 1 of 2"),
        (lambda: accuracy_difference([], []), "selected set is empty"),
        (lambda: regret([], []), "no best network among none"),
        (lambda: regret([1, 2], [np.nan, np.nan]), "score: 2 of 2"),
    ],
)
def test_impossible_questions_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_errors_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, mean = rng.uniform(0, 100, size=(2, 30))
    assert mae(truth, mean) == pytest.approx(mean_absolute_error(truth, mean))
    assert mse(truth, mean) == pytest.approx(mean_squared_error(truth, mean))


@pytest.mark.parametrize("error", [mae, mse])
def test_error_over_no_networks_is_nan(error) -> None:
    assert math.isnan(error([], []))
