"""The comparison on trajectories whose outcome is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from foretrain.evaluation.nap2.baselines import recent_loss
from foretrain.evaluation.nap2.comparison_report import goal_sentence, inside_sentence
from foretrain.evaluation.nap2.competition import Race, agents_table, compete, losses_on_halves, paired_difference
from foretrain.evaluation.nap2.cost import UnitCosts, nearest_settings, net_cost
from foretrain.evaluation.nap2.findings import slug
from foretrain.evaluation.nap2.folds import split_folds
from foretrain.evaluation.nap2.forests import ForestSettings, forecast_by_forests
from foretrain.evaluation.nap2.inputs import configuration_space, curve_inputs, depth_table
from foretrain.runtime.parallel import ParallelMap
from foretrain.search.agent import SelectionRule
from foretrain.search.selectors import FullTraining, RandomSearch
from foretrain.search.smac3 import Hyperband

RULES = [SelectionRule(1, 1, 0.5, 1.0, 2), SelectionRule(2, 1, 0.25, 1.0, 3)]


@pytest.fixture
def context(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(seed=0, parallel=ParallelMap(workers=1), folder=SimpleNamespace(path=tmp_path))


@pytest.fixture
def race() -> Race:
    """24 networks in two folds; the scores on the way mislead, the end tells the truth."""
    truth = np.random.default_rng(0).permutation(24).astype(float)
    return Race(
        scores=np.tile(-truth[:, None], 6),
        finished=truth,
        total_units=10,
        features=np.random.default_rng(1).integers(0, 2, size=(24, 5)).astype(float),
        truth=truth,
        folds=[np.arange(12), np.arange(12, 24)],
    )


def test_every_method_is_judged_for_every_size(context, race) -> None:
    table = compete(context, {"full training": [FullTraining()], "hyperband": [Hyperband(2)]}, race, [2, 5], repeats=2)
    assert table[["method", "final_size"]].to_numpy().tolist() == [
        ["full training", 2],
        ["full training", 5],
        ["hyperband", 2],
        ["hyperband", 5],
    ]
    assert table["setting"].tolist()[2] == "eta 2, min units 1"
    full = table.iloc[0]
    assert full["accuracy_difference"] == 0
    assert full["resources"] == 12 * 10, "trained to the end, not to the last snapshot"
    assert table.iloc[3]["accuracy_difference"] <= table.iloc[2]["accuracy_difference"]


def test_methods_that_train_to_the_end_see_the_end_only(context, race) -> None:
    table = compete(context, {"random": [RandomSearch(0.5)]}, race, [1], repeats=8)
    assert table.loc[0, "resources"] == 6 * 10
    assert 0 < table.loc[0, "accuracy_difference"] < 8


def test_a_second_run_takes_what_is_there_and_seeds_differ_by_repeat(context, race) -> None:
    first = compete(context, {"random": [RandomSearch(0.25)]}, race, [2], repeats=3)
    record = pd.read_json(context.folder.path / "fits" / "selections" / "random-000.json")
    kept = [run[0][0] for run in record["runs"]]
    assert len({tuple(item) for item in kept}) > 1
    again = compete(context, {"random": [RandomSearch(0.25)]}, race, [2], repeats=3)
    pd.testing.assert_frame_equal(first, again)


def test_agents_have_one_row_a_rule(race) -> None:
    table = agents_table({"right": -race.scores, "wrong": race.scores}, RULES, race.truth, race.folds)
    assert table.groupby("method")["accuracy_difference"].mean().to_dict()["right"] == 0
    assert table["final_size"].tolist() == [2, 3, 2, 3]
    right, wrong = (table[table["method"] == name]["resources"].tolist() for name in ("right", "wrong"))
    assert right == wrong


def test_differences_on_halves_are_paired(race) -> None:
    draw = np.random.default_rng(0)
    noisy = race.truth[:, None] + 8 * draw.normal(size=(24, 6))
    losses = losses_on_halves({"a": noisy, "b": noisy, "best": -race.scores}, RULES, race.truth, seed=0, draws=20)
    same = paired_difference(losses["a"], losses["b"])
    assert (same.ours, same.interval) == (same.theirs, (0, 0))
    better = paired_difference(losses["best"], losses["a"])
    assert better.ours == 0
    assert better.interval.upper <= 0
    half = paired_difference(losses["a"], losses["b"], share=0.5)
    assert half.interval.lower >= 0


def test_forests_never_learn_from_their_test_networks(context) -> None:
    """Targets are noise: whoever had seen them would rank them."""
    draw = np.random.default_rng(0)
    truth = draw.uniform(0, 100, 60)
    table = draw.normal(size=(60, 2, 5))
    folds = split_folds(60, 3, 0.2, seed=0)
    settings = ForestSettings(trees=30, min_leaf=1)
    found = forecast_by_forests(
        context, {"noise": table, "known": np.tile(truth[:, None, None], (1, 2, 1))}, truth, folds, settings
    )
    assert abs(np.corrcoef(found["noise"][:, 0], truth)[0, 1]) < 0.4
    assert np.corrcoef(found["known"][:, 1], truth)[0, 1] > 0.95
    assert np.array_equal(found["known"][:, 0], found["known"][:, 1])


def test_net_cost_by_hand() -> None:
    table = pd.DataFrame({"method": ["agent", "halving"], "resources": [30.0, 30.0], "seconds": [1.0, 0.0]})
    costs = UnitCosts(
        training=2.0, recording=0.1, foreseeing={"agent": 0.2}, scoring={"agent": 0.3}, fitting={"agent": 50.0}
    )
    found = net_cost(table, costs, networks=10, total_units=20)
    assert found.loc[0, "saved"] == pytest.approx(10 * 20 * 2 - (60 + 3 + 6 + 10 * 0.3 + 1))
    assert found.loc[1, "saved"] == pytest.approx(10 * 20 * 2 - 60)
    assert found.loc[1, "saved_share"] == pytest.approx(0.85)
    assert found["fit_once"].tolist() == [50.0, 0.0]


def test_the_nearest_setting_of_each_method() -> None:
    table = pd.DataFrame(
        {"method": ["a", "a", "b", "b"], "final_size": [5, 5, 5, 9], "resources": [10.0, 21.0, 90.0, 20.0]}
    )
    assert nearest_settings(table, 20.0, 5)["resources"].tolist() == [21.0, 90.0]


def test_recent_loss_is_the_sum_of_the_last_epoch() -> None:
    loss = np.array([[4.0, 3, 2, 1]])
    assert recent_loss(loss, 1).tolist() == loss.tolist()
    assert recent_loss(loss, 2).tolist() == [[4, 7, 5, 3]]
    assert np.isfinite(recent_loss(np.array([[1.0, np.nan, 1]]), 1)).all()


def index() -> pd.DataFrame:
    """Two networks; the loss of the first diverges."""
    loss, accuracy = [[1.0, 0.5, np.inf], [2.0, 1.0, 0.1]], [[10.0, 20, 10], [10, 50, 90]]
    hyper = '{"optimizer": "%s", "learning_rate": 0.1, "weight_decay": 0}'
    return pd.DataFrame(
        {
            **dict.fromkeys(("train_loss", "val_loss"), loss),
            **dict.fromkeys(("train_accuracy", "val_accuracy"), accuracy),
            "hyperparameters": [hyper % "sgd", hyper % "adam"],
            "layers": [["a"] * 12, ["a"] * 35],
        }
    )


def test_curve_inputs_look_back_only() -> None:
    found = curve_inputs(index())
    assert found.shape == (2, 3, 16)
    assert np.isfinite(found).all()
    changed = index()
    changed["val_loss"] = [[1.0, 0.5, 3.0], [2.0, 1.0, 9.0]]
    assert np.array_equal(curve_inputs(changed)[:, :2], found[:, :2])


def test_configurations_lie_in_the_unit_box_and_depths_are_counted() -> None:
    data = SimpleNamespace(space=SimpleNamespace(encoders={}))
    assert configuration_space(data, index()).tolist() == [[0, 0, 0], [1, 0, 0]]
    row = depth_table({"p": index()}).iloc[0]
    assert (row["10 to 19 layers"], row["30 to 39 layers"], row["20 to 29 layers"]) == (1, 1, 0)


def advantage(*rows: tuple[float, float, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["value", "lower", "upper"])
    return table.assign(snapshots=range(1, len(rows) + 1))


def test_the_sentence_says_what_the_intervals_allow() -> None:
    assert "improves the ranking after 2 snapshots" in inside_sentence(advantage((0.0, -0.1, 0.1), (0.2, 0.1, 0.3)))
    assert inside_sentence(advantage((0.01, -0.1, 0.1))).startswith("No difference can be told from zero")
    assert inside_sentence(advantage((-0.2, -0.3, -0.1))).startswith("No, it even ranks worse")
    assert "is reached" in goal_sentence(advantage((0.1, 0.06, 0.2)), "x")
    assert "is not reached" in goal_sentence(advantage((0.0, -0.1, 0.04)), "x")
    assert "is open" in goal_sentence(advantage((0.06, -0.1, 0.2)), "x")


def test_names_in_the_metrics() -> None:
    assert [slug("agent: NAP2 (LSTM)"), slug("successive halving"), slug("full training")] == [
        "agent_nap2",
        "halving",
        "full_training",
    ]
