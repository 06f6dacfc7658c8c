"""The check for foreign snapshots: calibrated on its own population, awake to another."""

from __future__ import annotations

import numpy as np
import pytest

from foretrain.snapshots.novelty import NoveltyCheck

MIXING = np.random.default_rng(0).normal(size=(6, 40))


def population(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(n, 6)) + shift) @ MIXING + 0.01 * draw.normal(size=(n, 40))


def test_p_values_of_known_networks_are_about_uniform() -> None:
    p = np.concatenate(
        [NoveltyCheck(seed=s).fit(population(200, s)).p_values(population(100, 99 + s)) for s in range(9)]
    )
    for level in (0.1, 0.3, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.06)


def test_p_values_by_hand() -> None:
    check = NoveltyCheck().fit(population(40, 0))
    assert check.p_values(population(1, 1, shift=100.0)).tolist() == [1 / 21]
    assert check.p_values(np.zeros((1, 40))).max() <= 1


def test_another_population_is_foreign_and_the_same_seldom() -> None:
    check = NoveltyCheck().fit(population(150, 0))
    assert check.is_foreign(population(16, 1, shift=3.0))
    assert np.mean([check.is_foreign(population(16, seed)) for seed in range(2, 60)]) < 0.15


def test_a_column_that_never_varied_is_seen_when_it_does() -> None:
    known = np.concatenate([population(60, 0), np.zeros((60, 1))], axis=1)
    other = np.concatenate([population(10, 1), np.full((10, 1), 50.0)], axis=1)
    assert NoveltyCheck(components=40).fit(known).p_values(other).shape == (10,)


def test_too_few_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        NoveltyCheck().fit(population(3, 0))
