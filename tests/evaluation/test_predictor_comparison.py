"""All predictors see the same splits, what is finished is not run again, and tables say what the records hold."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.curves.forecasting import extrapolate
from foretrain.errors import ConfigError, DataError, ItemsFailedError
from foretrain.evaluation.predictors.comparison import Draw, cost_forecasts, evaluate
from foretrain.evaluation.predictors.judging import judge_trials, summarise
from foretrain.metrics.rank import spearman
from foretrain.predictors.emprox import EmProx
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.linear import BayesianLinear
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.seeding import make_generator
from foretrain.search.assisted import initialize, query
from foretrain.search.sources import (
    DisturbedLabels,
    ExtrapolatedLabels,
    NoScores,
    PublishedScores,
    SyntheticScores,
    TrueLabels,
)
from foretrain.spaces.nasbench201.space import NASBench201

EPOCHS = 12
PREDICTORS = {
    "process": partial(GaussianProcessRegressor, encodings=["path_features"]),
    "linear": partial(BayesianLinear, encodings=["one_hot"]),
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkTask:
    """Sixty cells whose accuracy grows with their convolutions, with curves, a score, a cost, and one unknown."""
    space = NASBench201()
    names = list(dict.fromkeys(space.format(space.sample(80, make_generator(0, "test")))))[:60]
    cells = space.parse(names)
    final = 30 + 10.0 * ((cells.ops == 3).sum(1) + 0.5 * (cells.ops == 2).sum(1)).numpy().clip(max=5)
    curves = final[:, None] * (1 - 0.8 * np.arange(1, EPOCHS + 1) ** -0.9)
    final = curves[:, -1].copy()
    final[7] = np.nan
    score = final / 10
    score[:20] = np.nan
    series = {
        Series("final", "accuracy", "toy", "valid", EPOCHS): final[:, None],
        Series("curve", "accuracy", "toy", "valid", EPOCHS): curves[:, None].astype(np.float32),
        Series("score", "hint", "toy"): score[:, None],
        Series("cost", "training_seconds", "toy", None, EPOCHS): np.full((60, 1), 24.0),
        Series("cost", "hint_seconds", "toy"): np.full((60, 1), 0.5),
        Series("cost", "parameters", "toy"): np.arange(60.0)[:, None],
    }
    folder = tmp_path_factory.mktemp("benchmark") / "toy"
    description = Description("toy", "Toy", "foretrain.spaces.nasbench201.NASBench201", "here", "CC0-1.0")
    write_benchmark(Contents(description, names, series), folder)
    return BenchmarkTask(str(folder), Target("toy", "valid"))


def test_all_predictors_are_judged_on_the_same_networks(task: BenchmarkTask, tmp_path: Path):
    table = evaluate(PREDICTORS, task, Draw(20, 10, 2), ParallelMap(1), tmp_path)
    for _, part in table.groupby("trial"):
        rows = [set(of["row"]) for _, of in part.groupby("predictor")]
        assert rows[0] == rows[1]
        assert len(rows[0]) == 10
        assert 7 not in rows[0]
    np.testing.assert_array_equal(table["truth"], task.accuracy[table["row"]])


def test_what_is_finished_is_not_run_again(task: BenchmarkTask, tmp_path: Path):
    first = evaluate(PREDICTORS, task, Draw(20, 10, 2), ParallelMap(1), tmp_path)
    (tmp_path / "linear-001.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    second = evaluate(PREDICTORS, task, Draw(20, 10, 2), ParallelMap(1), tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    seconds = ["fit_seconds", "query_seconds"]
    pd.testing.assert_frame_equal(first.drop(columns=seconds), second.drop(columns=seconds))


def test_larger_training_sets_hold_smaller_ones_and_the_test_set_stays(task: BenchmarkTask):
    small, large = (Draw(n, 10, 1).split(task, 0) for n in (10, 30))
    assert set(small.train) < set(large.train)
    np.testing.assert_array_equal(small.test, large.test)


def test_only_networks_with_a_score_are_drawn_where_that_is_asked_for(task: BenchmarkTask):
    assert len(Draw(20, 10, 1, with_score="hint").among(task)) == 40
    with pytest.raises(DataError, match="40 architectures to draw from, 40 \\+ 10"):
        Draw(40, 10, 1, with_score="hint").split(task, 0)


def test_a_failing_predictor_is_named(task: BenchmarkTask, tmp_path: Path):
    makes = {**PREDICTORS, "greedy": partial(EmProx, neighbours=50)}
    with pytest.raises(ItemsFailedError, match="greedy-000: EmProx: 20 networks, and 50 neighbours"):
        evaluate(makes, task, Draw(20, 10, 1), ParallelMap(1), tmp_path)
    assert (tmp_path / "linear-000.json").exists()


def test_summary_is_the_mean_over_trials_and_differences_are_paired(task: BenchmarkTask, tmp_path: Path):
    table = evaluate(PREDICTORS, task, Draw(20, 20, 3), ParallelMap(1), tmp_path)
    summary = summarise(judge_trials(table), seed=0).set_index("predictor")
    by_hand = {
        name: [spearman(part["truth"], part["score"]) for _, part in of.groupby("trial")]
        for name, of in table.groupby("predictor")
    }
    best, worst = summary.index
    assert summary.loc[best, "spearman"] == pytest.approx(np.mean(by_hand[best]))
    assert summary.loc[best, "minus_reference"] == 0
    difference = np.mean(np.subtract(by_hand[worst], by_hand[best]))
    assert summary.loc[worst, "minus_reference"] == pytest.approx(difference)
    assert summary.loc[worst, "lower"] <= difference <= summary.loc[worst, "upper"]


def test_costs_stand_beside_without_an_error_of_their_own(task: BenchmarkTask):
    costs = judge_trials(cost_forecasts(task, Draw(20, 10, 2)))
    assert set(costs["predictor"]) == {"parameters"}
    assert costs["mae"].isna().all()


def test_extrapolated_labels_cost_a_share_and_come_near_the_truth(task: BenchmarkTask):
    rows = task.known[:30]
    true, cheap = TrueLabels()(task, rows), ExtrapolatedLabels(observed=6)(task, rows)
    assert true.seconds == 30 * 24
    assert cheap.seconds == 30 * 12
    assert spearman(true.accuracies, cheap.accuracies) > 0.95
    helped = ExtrapolatedLabels(observed=6, finished=10)(task, rows)
    assert helped.seconds == 10 * 24 + 20 * 12
    np.testing.assert_array_equal(helped.accuracies[:10], true.accuracies[:10])
    assert 7 not in ExtrapolatedLabels().available(task)
    with pytest.raises(ConfigError, match="less than the 12 epochs"):
        ExtrapolatedLabels(observed=12)(task, rows)


def test_extrapolated_labels_stand_in_the_order_of_the_scores(task: BenchmarkTask):
    rows = task.known[:30]
    curves = task.benchmark.curves(rows, "toy", "valid", "mean", EPOCHS).astype(np.float64)
    forecast = extrapolate(curves[:, :6], EPOCHS)
    order = forecast.score.argsort(kind="stable")
    labels = ExtrapolatedLabels(observed=6)(task, rows).accuracies
    np.testing.assert_array_equal(labels[order], np.sort(forecast.mean))
    helped = ExtrapolatedLabels(observed=6, finished=8)(task, rows).accuracies[8:]
    taught = extrapolate(curves[8:, :6], EPOCHS, finished=curves[:8])
    alone = extrapolate(curves[8:, :6], EPOCHS).score
    np.testing.assert_array_equal(np.sort(helped), np.sort(taught.mean))
    for first, second in itertools.combinations(range(len(helped)), 2):
        if (taught.mean[first] < taught.mean[second]) and (alone[first] < alone[second]):
            assert helped[first] < helped[second]


@pytest.mark.parametrize("correlation", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_synthetic_scores_have_the_correlation_that_was_asked_for(task: BenchmarkTask, correlation: float):
    found = np.mean(
        [
            spearman(task.accuracy[task.known], SyntheticScores(correlation)(task, task.known, seed)["synthetic"])
            for seed in range(60)
        ]
    )
    assert found == pytest.approx(correlation, abs=0.07)


def test_disturbed_labels_are_the_same_accuracies_in_another_order(task: BenchmarkTask):
    rows = task.known[:40]
    for correlation in (0.3, 0.8):
        found = [DisturbedLabels(correlation, seed)(task, rows).accuracies for seed in range(60)]
        np.testing.assert_array_equal(np.sort(found[0]), np.sort(task.accuracy[rows]))
        mean = np.mean([spearman(task.accuracy[rows], labels) for labels in found])
        assert mean == pytest.approx(correlation, abs=0.1)
    np.testing.assert_array_equal(DisturbedLabels(1.0)(task, rows).accuracies, task.accuracy[rows])


def test_initialise_and_query(task: BenchmarkTask):
    train, test = task.known[:40], task.known[40:]
    assisted = initialize(PREDICTORS["process"], task, train, TrueLabels(), PublishedScores(["hint"]), seed=0)
    assert assisted.predictor.fill_report == {"hint": 19}
    assert assisted.training_seconds == 40 * 24
    np.testing.assert_array_equal(assisted.labels, task.accuracy[train])
    assert assisted.score_seconds == 40 * 0.5
    forecast, score_seconds, seconds = query(assisted, test)
    assert spearman(task.accuracy[test], forecast.score) > 0.8
    assert score_seconds == len(test) * 0.5
    assert seconds > 0
    plain = initialize(PREDICTORS["process"], task, train, TrueLabels(), NoScores(), seed=0)
    assert plain.predictor.fill_report == {}
    assert plain.score_seconds == 0
