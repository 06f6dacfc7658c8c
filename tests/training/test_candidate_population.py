"""Populations: distinct networks, trained in the ways the recipe allows, the same ones whatever the size."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from foretrain.errors import ConfigError
from foretrain.training.population import Recipe, sample_population


def test_a_bigger_population_keeps_the_smaller_one(space: Any) -> None:
    small, big = (sample_population(type(space)(100, 9), n, Recipe(), seed=1) for n in (50, 400))
    assert len(small) == 50
    assert len(big) == 400, "more than one block of samples"
    assert big[:50] == small


def test_networks_are_distinct_also_where_samples_repeat(space: Any) -> None:
    population = sample_population(type(space)(20, 3), 60, Recipe(), seed=0)
    assert len({candidate.arch for candidate in population}) == 60, "all of the space"


def test_keys_and_seeds_are_unique(space: Any) -> None:
    population = sample_population(type(space)(100, 9), 300, Recipe(), seed=0)
    assert [population[index].key for index in (0, 7, 299)] == ["net-0000", "net-0007", "net-0299"]
    assert len({candidate.seed for candidate in population}) == 300


def test_another_seed_gives_another_population(space: Any) -> None:
    first, second = (sample_population(type(space)(100, 9), 20, Recipe(), seed=seed) for seed in (0, 1))
    assert {candidate.arch for candidate in first} != {candidate.arch for candidate in second}
    assert {candidate.seed for candidate in first}.isdisjoint(candidate.seed for candidate in second)


def test_all_choices_of_the_recipe_are_drawn_and_no_others(space: Any) -> None:
    recipe = Recipe(sgd_learning_rates=[0.5, 0.05], adam_learning_rates=[0.002], weight_decays=[0.0, 0.1], momentum=0.7)
    population = sample_population(type(space)(100, 9), 300, recipe, seed=0)
    drawn = Counter((c.optimizer, c.learning_rate, c.momentum, c.weight_decay, c.cosine) for c in population)
    sgd = {("sgd", rate, 0.7, decay, True) for rate in (0.5, 0.05) for decay in (0.0, 0.1)}
    adam = {("adam", 0.002, 0.0, decay, False) for decay in (0.0, 0.1)}
    assert set(drawn) == sgd | adam
    assert min(drawn[choice] for choice in sgd) > 20, "37 are expected of each"
    assert min(drawn[choice] for choice in adam) > 45, "75 are expected of each"


def test_a_recipe_may_leave_choices_out(space: Any) -> None:
    recipe = Recipe(optimizers=["sgd"], weight_decays=[0.0], cosine=False)
    for candidate in sample_population(space, 10, recipe, seed=0):
        assert (candidate.optimizer, candidate.weight_decay, candidate.cosine) == ("sgd", 0.0, False)


def test_more_networks_than_the_space_has_are_refused(space: Any) -> None:
    with pytest.raises(ConfigError, match=r"data.population.*\(value: 17\).*at most 16"):
        sample_population(space, 17, Recipe(), seed=0)
