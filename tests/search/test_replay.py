"""Replays: the grid equals the single run, and judging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from selection_rules import RULES

from foretrain.search.agent import Selection, SelectionRule, select
from foretrain.search.replay import RecordedContenders, judge, judge_grid, replay, rules_grid

# few distinct values, so that ties and NaN happen all the time
SCORES = arrays(
    np.float64,
    st.tuples(st.integers(0, 25), st.integers(1, 8)),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, -0.0, 1.0, 2.0, np.nan]),
)


@given(SCORES, st.lists(RULES, max_size=6))
def test_the_grid_equals_one_run_at_a_time(scores, rules) -> None:
    for found, rule in zip(replay(scores, rules), rules, strict=True):
        expected = select(RecordedContenders(scores), rule)
        assert found.kept.tolist() == expected.kept.tolist()
        assert found.resources == expected.resources


def test_halving_is_the_agent_on_minus_the_validation_loss() -> None:
    loss = np.array([[0.9, 0.2], [0.5, 0.4], [0.7, 0.6], [0.6, 0.1]])
    rule = SelectionRule(first_units=1, interval_units=1, cut=0.5, cut_decay=1.0, final_size=1)
    selection = select(RecordedContenders(-loss), rule)
    assert [iteration.dropped.tolist() for iteration in selection.history] == [[2, 0], [1]]
    assert selection.kept.tolist() == [3]


def test_a_score_is_not_seen_before_its_time() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 6))
    rule = SelectionRule(first_units=2, interval_units=1, cut=0.6, cut_decay=1.0, final_size=3)
    changed = scores.copy()
    changed[:, 4:] = 0
    assert sum(iteration.units for iteration in select(RecordedContenders(scores), rule).history) == 4
    assert replay(changed, [rule])[0].kept.tolist() == replay(scores, [rule])[0].kept.tolist()


def test_records_end() -> None:
    contenders = RecordedContenders(np.zeros((2, 3)))
    contenders.advance(np.array([0]), 3)
    with pytest.raises(ValueError, match="past the 3 units on record"):
        contenders.advance(np.array([0, 1]), 1)
    with pytest.raises(ValueError, match="call advance first"):
        contenders.scores(np.array([1]))


@pytest.mark.parametrize("shape", [(3,), (3, 0)])
def test_trajectories_have_two_axes(shape) -> None:
    with pytest.raises(ValueError, match=r"\[networks, units\]"):
        RecordedContenders(np.zeros(shape))
    with pytest.raises(ValueError, match=r"\[networks, units\]"):
        replay(np.zeros(shape), [])


def test_rules_grid_has_all_combinations() -> None:
    rules = rules_grid(
        first_units=[1, 5], interval_units=[1], cut=[0.1, 0.25, 0.5], cut_decay=[1.0], final_size=[10, 25]
    )
    assert len(set(rules)) == len(rules) == 12
    assert rules[1] == SelectionRule(1, 1, 0.1, 1.0, 25)


def test_judge_says_what_the_selection_is_worth() -> None:
    truth = np.array([50.0, 94, 93, 92, 91, 90, 60])
    assert judge(Selection(np.array([2, 3, 0]), resources=17.0), truth) == {
        "accuracy_difference": 1.0,
        "top3_precision": pytest.approx(2 / 3),
        "top5_precision": pytest.approx(2 / 5),
        "resources": 17.0,
    }


def test_judge_grid_has_a_row_for_each_rule() -> None:
    truth = np.random.default_rng(0).uniform(80, 95, size=30)
    scores = truth[:, None] + np.random.default_rng(1).normal(size=(30, 5))
    rules = rules_grid([1, 2], [1], [0.3], [1.0], [3, 30])
    table = judge_grid(scores, rules, truth)
    assert table["final_size"].tolist() == [3, 30, 3, 30]
    assert table.loc[0, "resources"] < table.loc[2, "resources"]
    assert table.loc[1, ["accuracy_difference", "resources"]].tolist() == [0, 0]
