"""Baselines on trajectories whose right answer is known, and that the packages themselves decide."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretrain.errors import ConfigError
from foretrain.search.optuna_pruners import OptunaHalving, OptunaHyperband, optuna_halving_grid, optuna_hyperband_grid
from foretrain.search.replay import RecordedContenders
from foretrain.search.selectors import FullTraining, RandomSearch, Selector, Trials, random_search_grid
from foretrain.search.smac3 import Hyperband, Smac3, hyperband_grid, smac3_grid

UNITS = 9


def constant(truth) -> RecordedContenders:
    """Networks whose score is known from the first unit on."""
    return RecordedContenders(np.tile(np.asarray(truth, dtype=float)[:, None], UNITS))


def features(population: int, columns: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, size=(population, columns)).astype(float)


class Diary(RecordedContenders):
    """Contenders that note who is trained, and up to where."""

    def __init__(self, scores) -> None:
        super().__init__(scores)
        self.calls: list[tuple[int, int]] = []

    def advance(self, alive, units) -> None:
        super().advance(alive, units)
        self.calls += [(int(position), int(self._units[position])) for position in alive]

    @property
    def reached(self) -> list[int]:
        return self._units.tolist()


def test_trials_count_units_once_and_never_go_back() -> None:
    scores = np.arange(12.0).reshape(2, 6)
    trials = Trials(RecordedContenders(scores))
    assert [trials.score(0, 2), trials.score(0, 5), trials.score(0, 3), trials.score(1, 1)] == [1, 4, 4, 6]
    selection = trials.selection()
    assert selection.kept.tolist() == [1, 0]
    assert selection.resources == 5 + 1


def test_full_training_ranks_all_by_the_last_score() -> None:
    scores = np.array([[9.0, 1], [0, 3], [5, 2], [7, np.nan]])
    selection = FullTraining().select(RecordedContenders(scores), features(4), seed=0)
    assert selection.kept.tolist() == [1, 2, 0, 3]
    assert selection.resources == 4 * 2


@given(st.integers(1, 30), st.floats(0.01, 1), st.integers(0, 9))
def test_random_search_trains_its_share_to_the_end(population, share, seed) -> None:
    truth = np.random.default_rng(seed).permutation(population).astype(float)
    contenders = Diary(np.tile(truth[:, None], UNITS))
    selection = RandomSearch(share).select(contenders, features(population), seed)
    count = len(selection.kept)
    assert count - 1 < share * population + 1e-6 <= count + 1e-5
    assert selection.resources == count * UNITS == sum(contenders.reached)
    assert truth[selection.kept].tolist() == sorted(truth[selection.kept], reverse=True)


def test_random_search_is_uniform() -> None:
    counts = np.zeros(5)
    for seed in range(200):
        counts[RandomSearch(0.2).select(constant(range(5)), features(5), seed).kept] += 1
    assert counts.min() > 20


def brackets_by_hand(eta: int, units: int) -> dict[int, int]:
    """How many networks reach each number of units, after Li et al. (2017), algorithm 1; whole budgets only."""
    highest = max(s for s in range(20) if eta**s <= units)
    reached: dict[int, int] = {}
    for s in range(highest, -1, -1):
        started = -(-(highest + 1) * eta**s // (s + 1))
        for stage in range(s + 1):
            budget, left = units // eta ** (s - stage), started // eta**stage
            reached[budget] = reached.get(budget, 0) + left
    return reached


@pytest.mark.parametrize("eta", [3, 9])
def test_hyperband_fills_its_brackets(eta: int) -> None:
    truth = np.random.default_rng(1).permutation(60).astype(float)
    contenders = Diary(np.tile(truth[:, None], UNITS))
    selection = Hyperband(eta).select(contenders, features(60), seed=3)
    budgets = [units for _, units in contenders.calls]
    assert {budget: budgets.count(budget) for budget in sorted(set(budgets))} == brackets_by_hand(eta, UNITS)
    assert selection.resources == sum(contenders.reached)
    assert truth[selection.kept].tolist() == sorted(truth[selection.kept], reverse=True)


def test_hyperband_by_hand() -> None:
    """Brackets 9 @ 1, 3 @ 3, 1 @ 9; 5 @ 3, 1 @ 9; 3 @ 9: 17 different networks."""
    selection = Hyperband(3).select(constant(range(40)), features(40), seed=0)
    assert len(selection.kept) == 9 + 5 + 3
    assert selection.resources == (9 + 3 * 2 + 6) + (5 * 3 + 6) + 3 * 9


def test_hyperband_ends_with_the_population_and_keeps_to_the_lowest_budget() -> None:
    selection = Hyperband(3).select(constant(range(6)), features(6), seed=0)
    assert len(selection.kept) <= 6
    contenders = Diary(np.zeros((40, UNITS)))
    Hyperband(3, min_units=3).select(contenders, features(40), seed=0)
    assert min(units for _, units in contenders.calls) == 3


@pytest.mark.parametrize("selector", [Hyperband(3), Smac3(trials=20, initial=9)])
def test_smac3_itself_promotes(selector: Selector, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SMAC3's own comparison turned upside down, the worst network of its first bracket is trained to the end."""
    from smac.intensifier.hyperband import Hyperband as Intensifier

    truth = np.random.default_rng(0).permutation(40).astype(float)
    points = np.random.default_rng(1).uniform(size=(40, 3))

    def promoted_first() -> tuple[set[int], int]:
        contenders = Diary(np.tile(truth[:, None], UNITS))
        selector.select(contenders, points, seed=0)
        ends = [position for position, units in contenders.calls if units == UNITS]
        bracket = {position for position, units in contenders.calls[: contenders.calls.index((ends[0], UNITS))]}
        return {int(truth[position]) for position in bracket}, int(truth[ends[0]])

    bracket, best = promoted_first()
    assert best == max(bracket)
    monkeypatch.setattr(Intensifier, "_get_best_configs", worst_configs)
    bracket, worst = promoted_first()
    assert worst == min(bracket)


def worst_configs(self, configs, bracket, stage, from_keys):
    try:
        keep = self._n_configs_in_stage[bracket][stage + 1]
    except IndexError:
        return []
    names = {self.runhistory.get_config_id(config): index for index, config in enumerate(configs)}
    cost = np.full(len(configs), np.nan)
    for key, value in self.runhistory.items():
        if key.config_id in names:
            cost[names[key.config_id]] = value.cost
    assert not np.isnan(cost).any()
    return [configs[index] for index in np.argsort(cost)[::-1][:keep]]


def test_smac3_has_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from smac.model.random_forest import RandomForest

    seen = []
    train = RandomForest.train
    monkeypatch.setattr(RandomForest, "train", lambda self, X, Y: seen.append(len(Y)) or train(self, X, Y))
    points = np.random.default_rng(0).uniform(size=(40, 2))
    Smac3(trials=24, initial=3).select(constant(points[:, 0]), points, seed=0)
    assert seen


def test_smac3_asks_for_no_more_than_its_trials_and_repeats_itself() -> None:
    scores = np.random.default_rng(0).normal(size=(30, UNITS))
    scores[::7] = np.nan
    first, again = (Smac3(12, 5).select(RecordedContenders(scores), features(30, 8), seed=5) for _ in range(2))
    assert first.kept.tolist() == again.kept.tolist()
    assert len(first.kept) <= 12
    assert first.resources == again.resources <= 12 * UNITS


def halving_by_hand(scores: np.ndarray, order: list[int], factor: int, first: int) -> list[int]:
    """Asynchronous halving: at each rung a network goes on if it is among the best 1/factor of those seen there."""
    rungs: dict[int, list[float]] = {}
    reached = [0] * len(scores)
    for position in order:
        for units in range(1, scores.shape[1] + 1):
            reached[position] = units
            if units not in [first * factor**k for k in range(10)]:
                continue
            seen = rungs.setdefault(units, [])
            seen.append(scores[position, units - 1])
            if scores[position, units - 1] < sorted(seen)[-max(1, len(seen) // factor)]:
                break
    return reached


@pytest.mark.parametrize(("factor", "first"), [(2, 1), (3, 1), (3, 2)])
def test_optunas_halving_is_asynchronous_halving(factor: int, first: int) -> None:
    scores = np.random.default_rng(0).normal(size=(25, UNITS))
    contenders = Diary(scores)
    selection = OptunaHalving(factor, first).select(contenders, features(25), seed=0)
    order = list(dict.fromkeys(position for position, _ in contenders.calls))
    assert contenders.reached == halving_by_hand(scores, order, factor, first)
    assert selection.resources == sum(contenders.reached)
    assert sorted(selection.kept) == list(range(25))


@pytest.mark.parametrize("selector", [OptunaHalving(3), OptunaHyperband(3)])
def test_optuna_keeps_the_best_to_the_end_and_repeats_itself(selector: Selector) -> None:
    truth = np.random.default_rng(0).permutation(30).astype(float)
    contenders = Diary(np.tile(truth[:, None], UNITS))
    selection = selector.select(contenders, features(30), seed=1)
    assert contenders.reached[int(truth.argmax())] == UNITS
    assert truth[selection.kept].tolist() == list(range(29, -1, -1))
    assert selector.select(constant(truth), features(30), seed=1).resources == selection.resources < 30 * UNITS


def test_optuna_drops_networks_without_a_score() -> None:
    scores = np.ones((10, UNITS))
    scores[4] = np.nan
    contenders = Diary(scores)
    OptunaHalving(2).select(contenders, features(10), seed=0)
    assert contenders.reached[4] == min(contenders.reached)


@pytest.mark.parametrize(
    ("selector", "package"), [(Hyperband(3), "smac"), (Smac3(9, 3), "smac"), (OptunaHalving(3), "optuna")]
)
def test_a_missing_package_is_named_with_its_extra(selector: Selector, package: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package}.*foretrain\[baselines\]"):
        selector.select(constant(range(5)), features(5), seed=0)


def test_grids_have_all_combinations() -> None:
    assert len(hyperband_grid([2, 3, 4], [1, 5])) == len(optuna_halving_grid([2, 3, 4], [1, 5])) == 6
    assert smac3_grid([25, 50], [1, 30], [1]) == [Smac3(25, 1, 1), Smac3(50, 1, 1), Smac3(50, 30, 1)]
    assert optuna_hyperband_grid([3], [1]) == [OptunaHyperband(3, 1)]
    assert random_search_grid([0.5, 1.0]) == [RandomSearch(0.5), RandomSearch(1.0)]
