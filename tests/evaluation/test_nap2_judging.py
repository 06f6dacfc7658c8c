"""Folds, metrics and verdicts of the NAP2 study, on evidence with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from foretrain.evaluation.nap2.folds import split_folds
from foretrain.evaluation.nap2.judging import (
    Evidence,
    advantage_over_snapshots,
    forecast_metrics,
    grid_table,
    over_snapshots,
    selection_metrics,
    selection_table,
)
from foretrain.evaluation.nap2.report import verdict
from foretrain.metrics.rank import spearman
from foretrain.search.agent import SelectionRule
from foretrain.search.replay import rules_grid

RULE = SelectionRule(first_units=1, interval_units=1, cut=0.5, cut_decay=1.0, final_size=2)


@pytest.fixture
def evidence():
    """32 networks: the forecast is perfect from the start, the validation accuracy only at the end."""
    draw = np.random.default_rng(0)
    truth = draw.uniform(20, 95, 32)
    noise = np.linspace(60, 0, 4)[None, :] * draw.normal(size=(32, 4))
    last = np.clip(truth[:, None] + noise, 0, 100)
    return Evidence(
        truth=truth,
        forecast=np.repeat(truth[:, None], 4, axis=1) + 1.0,
        last_value=last,
        loss=np.where(last < 10, np.nan, 100 - last),
        fixed={"parameters": draw.normal(size=32)},
        folds=[np.arange(0, 16), np.arange(16, 32)],
    )


@pytest.mark.parametrize(("n", "folds"), [(48, 4), (50, 4), (9, 2)])
def test_no_network_is_on_two_sides(n, folds):
    split = split_folds(n, folds, 0.2, seed=1)
    assert [fold.name for fold in split] == [*(f"fold{k}" for k in range(folds)), "final"]
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in split])), np.arange(n))
    for fold in split:
        everyone = np.concatenate([fold.train, fold.validation, fold.test])
        assert np.array_equal(np.sort(everyone), np.arange(n))
        assert len(fold.validation) >= 1


def test_folds_depend_on_the_seed_only():
    first, same, other = (split_folds(20, 4, 0.2, seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))
    with pytest.raises(ValueError, match="too few for 4 folds"):
        split_folds(6, 4, 0.2, seed=0)


def test_metrics_have_stable_keys_and_agree_with_scipy(evidence):
    metrics = forecast_metrics(evidence)
    expected = {
        f"{p}/{m}{k}" for p in ("test", "baseline/last_val") for m in ("mae", "spearman") for k in ("@1", "@3", "")
    }
    assert expected <= metrics.keys()
    assert "test/spearman@5" not in metrics
    assert metrics["test/mae@1"] == pytest.approx(1.0)
    assert metrics["test/spearman"] == pytest.approx(1.0)
    by_scipy = spearmanr(evidence.truth, evidence.last_value[:, 2]).statistic
    assert metrics["baseline/last_val/spearman@3"] == pytest.approx(by_scipy)
    assert metrics["baseline/best_val/spearman"] == pytest.approx(
        spearmanr(evidence.truth, evidence.last_value.max(axis=1)).statistic
    )
    assert metrics["test/networks"] == 32


def test_intervals_contain_their_value(evidence):
    table = over_snapshots(evidence, spearman, seed=0)
    assert len(table) == 3 * 4
    noisy = table[table["method"] == "last validation accuracy"]
    assert (noisy["lower"] <= noisy["value"]).all()
    assert (noisy["value"] <= noisy["upper"]).all()


def test_verdict_says_who_ranks_better_and_when_nobody_does(evidence):
    advantage = advantage_over_snapshots(evidence, seed=0)
    assert advantage["value"].iloc[0] > 0
    assert "NAP2 ranks better after 1, 2" in verdict(advantage)
    swapped = advantage.assign(value=-advantage["value"], lower=-advantage["upper"], upper=-advantage["lower"])
    assert "The last validation accuracy ranks better after 1, 2" in verdict(swapped)
    nobody = pd.DataFrame({"snapshots": [1], "value": [0.1], "lower": [-0.2], "upper": [0.3]})
    assert "neither ranks better" in verdict(nobody)


def test_agent_and_halving_pay_the_same_and_a_perfect_forecast_finds_the_best(evidence):
    table = selection_table(evidence, RULE)
    metrics = selection_metrics(table)
    assert metrics["agent/accuracy_difference"] == 0
    assert metrics["agent/top3_precision"] == pytest.approx(2 / 3)
    assert metrics["agent/resources"] == metrics["halving/resources"] == 16 + 8 + 4
    assert metrics["halving/accuracy_difference"] >= 0


def test_grid_has_the_means_over_folds(evidence):
    rules = rules_grid([1, 2], [1], [0.25, 0.5], [1.0], [2])
    table = grid_table(evidence, rules)
    assert len(table) == 2 * len(rules)
    single = grid_table(evidence, [RULE])
    row = single[single["method"] == "halving"].iloc[0]
    assert row["accuracy_difference"] == pytest.approx(
        selection_metrics(selection_table(evidence, RULE))["halving/accuracy_difference"]
    )
