"""The Pareto front."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretrain.search.pareto import pareto_front

POINTS = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 3.0, -np.inf, np.nan])] * 2), max_size=25)


def by_definition(points: list[tuple[float, float]]) -> list[bool]:
    def beats(a, b) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    known = [point for point in points if not np.isnan(point).any()]
    return [not np.isnan(point).any() and not any(beats(other, point) for other in known) for point in points]


@given(POINTS)
def test_agrees_with_its_definition(points) -> None:
    cost, value = [point[0] for point in points], [point[1] for point in points]
    assert pareto_front(cost, value).tolist() == by_definition(points)


@given(POINTS)
def test_direction(points) -> None:
    cost, value = np.array([point[0] for point in points]), np.array([point[1] for point in points])
    assert pareto_front(cost, -value, higher_is_better=False).tolist() == pareto_front(cost, value).tolist()


def test_by_hand() -> None:
    cost, value = [1, 2, 2, 3, 3, 4], [5, 4, 6, 6, 7, 7]
    assert pareto_front(cost, value).tolist() == [True, False, True, False, True, False]
