"""Few-shot forecasts over splits: what is measured, and on which runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foretrain.evaluation.curves.judging import Answer
from foretrain.evaluation.curves.population import CurvePopulation
from foretrain.evaluation.curves.splits import (
    FEW_SHOT,
    FEW_SHOT_VALID,
    SVR,
    few_shot_table,
    forecasts_by_split,
    split_table,
    weighted_spearman,
)


def population(n: int = 24, horizon: int = 20) -> CurvePopulation:
    rng = np.random.default_rng(0)
    rise = rng.uniform(40, 80, (n, 1)) * (1 - np.arange(2, horizon + 2) ** -0.8)
    valid = np.clip(rise + rng.normal(0, 1, (n, horizon)), 0, 100)
    return CurvePopulation(valid, rise, "accuracy", np.arange(n))


def test_weights_count_like_repeated_items() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 12).astype(float), rng.normal(size=12)
    weights = rng.multinomial(12, np.full(12, 1 / 12), 6)
    found = weighted_spearman(first, second, weights.astype(float))
    for row, counts in enumerate(weights):
        repeated = np.repeat(np.arange(12), counts)
        assert found[row] == pytest.approx(stats.spearmanr(first[repeated], second[repeated]).statistic)


def test_only_unfinished_runs_are_judged_and_all_methods_on_the_same() -> None:
    curves = population()
    scores = np.arange(24.0)
    untaught = {"level": Answer(scores, scores), "ranking": Answer(scores, None)}
    found = forecasts_by_split(curves, 6, 10, 3, 0.9, 0, untaught)
    assert set(found) == {FEW_SHOT, FEW_SHOT_VALID, SVR, "level", "ranking"}
    for said in found.values():
        np.testing.assert_array_equal(np.isnan(said.score), np.isnan(found[FEW_SHOT].score))
    assert (np.isnan(found[FEW_SHOT].score).sum(axis=1) == 10).all()
    table = split_table(curves.final, found).set_index(["method", "split"])
    rest = ~np.isnan(found["level"].score[1])
    row = table.loc[("level", 1)]
    assert row["mae"] == pytest.approx(np.abs(scores - curves.final)[rest].mean())
    assert row["spearman"] == pytest.approx(stats.spearmanr(scores[rest], curves.final[rest]).statistic)
    assert row["weakest"] == curves.final[~rest].min()
    assert np.isnan(table.loc[("ranking", 0), "mae"])


def test_means_lie_in_their_intervals() -> None:
    curves = population()
    found = forecasts_by_split(curves, 6, 10, 4, 0.9, 0, {"ranking": Answer(curves.final, None)})
    table = few_shot_table(curves.final, found, 0).set_index("method")
    for measure in ("mae", "spearman", "coverage"):
        row = table.loc[FEW_SHOT]
        assert row[f"{measure}_lower"] <= row[measure] <= row[f"{measure}_upper"]
    assert table.loc["ranking", "spearman"] == pytest.approx(1)
    assert np.isnan(table.loc["ranking", ["mae", "mae_lower", "width"]].astype(float)).all()
