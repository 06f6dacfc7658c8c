"""The agent: Algorithm 1 on contenders whose scores are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_rules import RULES

from foretrain.search.agent import SelectionRule, plan, select
from foretrain.search.replay import RecordedContenders


def rule(first_units=1, interval_units=1, cut=0.5, cut_decay=1.0, final_size=1) -> SelectionRule:
    return SelectionRule(first_units, interval_units, cut, cut_decay, final_size)


def sizes(*args, **kwargs) -> list[int]:
    return [iteration.keep for iteration in plan(*args, **kwargs)]


class Diary:
    """Contenders that note what is asked of them; the score is the position."""

    max_units = 30

    def __init__(self, size: int) -> None:
        self.size = size
        self.calls: list[tuple] = []

    def __len__(self) -> int:
        return self.size

    def advance(self, alive, units) -> None:
        self.calls.append(("advance", alive.tolist(), units))

    def scores(self, alive):
        self.calls.append(("scores", alive.tolist()))
        return alive.astype(float)


def test_a_halving_by_hand() -> None:
    contenders = Diary(5)
    selection = select(contenders, rule(first_units=3, interval_units=2, cut=0.4, final_size=2))
    assert contenders.calls == [
        ("advance", [0, 1, 2, 3, 4], 3),
        ("scores", [0, 1, 2, 3, 4]),
        ("advance", [2, 3, 4], 2),
        ("scores", [2, 3, 4]),
    ]
    assert selection.kept.tolist() == [4, 3]
    assert selection.resources == 5 * 3 + 3 * 2
    assert [iteration.alive.tolist() for iteration in selection.history] == [[0, 1, 2, 3, 4], [2, 3, 4]]
    assert [iteration.dropped.tolist() for iteration in selection.history] == [[1, 0], [2]]
    assert [iteration.units for iteration in selection.history] == [3, 2]


def test_the_cut_decays_and_grows() -> None:
    assert sizes(rule(cut=0.5), 100, 30) == [50, 25, 13, 7, 4, 2, 1]
    assert sizes(rule(cut=0.4, cut_decay=0.5, final_size=30), 100, 30)[:4] == [60, 48, 44, 42]
    assert sizes(rule(cut=0.1, cut_decay=2), 100, 30) == [90, 72, 44, 9, 1]


def test_shares_that_binary_cannot_hold_are_cut_as_written() -> None:
    assert 0.29 * 100 < 29
    assert sizes(rule(cut=0.29), 100, 30)[0] == 71


def test_a_tiny_cut_still_drops_one() -> None:
    assert sizes(rule(cut=0.001, final_size=7), 10, 30) == [9, 8, 7]


def test_the_last_cut_goes_down_to_the_final_size_when_the_training_ends() -> None:
    planned = plan(rule(first_units=4, interval_units=3, cut=0.1, final_size=5), 40, 9)
    assert [(iteration.units, iteration.keep) for iteration in planned] == [(4, 36), (3, 33), (2, 5)]


def test_the_dynamic_cut_reaches_the_final_size_just_at_the_end() -> None:
    planned = plan(rule(cut="dynamic", final_size=10), 160, 4)
    assert [(iteration.units, iteration.keep) for iteration in planned] == [(1, 80), (1, 40), (1, 20), (1, 10)]
    later = plan(rule(first_units=3, interval_units=2, cut="dynamic", final_size=5), 40, 8)
    assert [iteration.units for iteration in later] == [3, 2, 2, 1]
    assert [iteration.keep for iteration in later] == [24, 15, 9, 5]


def test_first_units_beyond_the_end_train_to_the_end() -> None:
    planned = plan(rule(first_units=50, final_size=5), 40, 9)
    assert [(iteration.units, iteration.keep) for iteration in planned] == [(9, 5)]


@pytest.mark.parametrize("population", [2, 3])
def test_a_population_that_is_small_enough_is_returned_untrained(population: int) -> None:
    contenders = Diary(population)
    selection = select(contenders, rule(final_size=3))
    assert selection.kept.tolist() == list(range(population))
    assert (selection.resources, selection.history, contenders.calls) == (0, (), [])


def test_ties_go_to_the_smaller_position_and_nan_is_worst() -> None:
    scores = np.array([[1.0], [np.nan], [2.0], [-np.inf], [2.0], [1.0]])
    selection = select(RecordedContenders(scores), rule(cut=0.1, final_size=3))
    assert selection.kept.tolist() == [2, 4, 0]
    assert selection.history[0].dropped.tolist() == [5, 3, 1]


@given(RULES, st.integers(1, 60), st.integers(1, 12))
def test_every_plan_ends_at_the_final_size_within_the_training(rule, population, max_units) -> None:
    planned = plan(rule, population, max_units)
    left = [population, *(iteration.keep for iteration in planned)]
    assert left[-1] == min(population, rule.final_size)
    assert all(after < before for before, after in pairwise(left))
    assert sum(iteration.units for iteration in planned) <= max_units
    assert all(iteration.units >= 1 for iteration in planned)


@given(RULES, st.integers(1, 40), st.integers(1, 10), st.integers(0, 99))
def test_what_is_kept_and_dropped_is_the_population(rule, population, max_units, seed) -> None:
    scores = np.random.default_rng(seed).integers(0, 9, size=(population, max_units)).astype(float)
    selection = select(RecordedContenders(scores), rule)
    parts = [selection.kept, *(iteration.dropped for iteration in selection.history)]
    assert sorted(np.concatenate(parts)) == list(range(population))
    assert selection.resources == sum(len(iteration.alive) * iteration.units for iteration in selection.history)


@given(RULES, st.integers(0, 99))
def test_a_perfect_score_keeps_the_best(rule, seed) -> None:
    truth = np.random.default_rng(seed).permutation(30).astype(float)
    selection = select(RecordedContenders(np.tile(truth[:, None], 8)), rule)
    assert truth[selection.kept].tolist() == sorted(truth, reverse=True)[: rule.final_size]
