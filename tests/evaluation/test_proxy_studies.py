"""Spaces are scored the same however the work is shared out; the hybrid study reads what scoring wrote."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.extension import read_contents, with_columns
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.table import Benchmark
from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.errors import ConfigError, DataError, ItemsFailedError
from foretrain.evaluation.proxies import (
    Combination,
    HybridProxy,
    Published,
    ScoreColumns,
    ScoreSpace,
    ScoringData,
    Work,
    space_scores,
)
from foretrain.evaluation.proxies.judging import judge_scores, ranked_last, top_accuracy
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.seeding import make_generator
from foretrain.runtime.study import RunContext
from foretrain.spaces.nasbench201 import NASBench201

NETWORKS = 24
PROXIES = ["snip", "nwot", "synflow", "logsynflow", "jacov", "params"]


@pytest.fixture
def task(tmp_path: Path) -> BenchmarkTask:
    """Cells in a tiny skeleton, whose accuracy grows with their 3x3 convolutions."""
    space = NASBench201(4, 1, 1)
    archs = space.sample(60, make_generator(0, "test"))
    names = list(dict.fromkeys(space.format(archs)))[:NETWORKS]
    accuracy = 50 + 5.0 * np.array([[name.count("conv_3x3")] for name in names])
    accuracy += np.random.default_rng(0).normal(size=accuracy.shape)
    description = Description(
        "tiny",
        "Tiny cells",
        "foretrain.spaces.nasbench201.NASBench201",
        "nowhere",
        "CC0-1.0",
        skeleton={"channels": 4, "cells_per_stage": 1, "stages": 1},
    )
    series = {
        Series("final", "accuracy", "digits", "valid", 3): accuracy,
        Series("curve", "accuracy", "digits", "valid", 3): np.tile(accuracy[:, None], (1, 1, 3)).astype(np.float32),
    }
    write_benchmark(Contents(description, names, series), tmp_path / "tiny")
    return BenchmarkTask(str(tmp_path / "tiny"), Target("digits", "valid"))


def study(task: BenchmarkTask, cache: Path, **options: object) -> ScoreSpace:
    data = ScoringData("digits", train_images=60, batch_size=8, cache=str(cache))
    return ScoreSpace(**{"benchmark": task, "data": data, "proxies": PROXIES, **options})


def run(study: ScoreSpace | HybridProxy, folder: Path, workers: int = 1) -> RunFolder:
    made = RunFolder(folder)
    study.run(RunContext(made, 0, ParallelMap(workers), mock.Mock()))
    return made


def rows_of(folder: RunFolder) -> pd.DataFrame:
    return pd.read_parquet(folder.path / "predictions.parquet")


def test_scores_do_not_depend_on_how_the_work_is_shared_out(task, tmp_path):
    first = rows_of(run(study(task, tmp_path / "a"), tmp_path / "1"))
    assert first["arch_id"].tolist() == task.benchmark.names
    assert (first.filter(like="_reason") == "").to_numpy().mean() > 0.8
    other = rows_of(run(study(task, tmp_path / "b", work=Work(block=5)), tmp_path / "2", workers=2))
    pd.testing.assert_frame_equal(first, other)
    some = rows_of(run(study(task, tmp_path / "c", networks=6), tmp_path / "3"))
    expected = first.set_index("arch_id").loc[some["arch_id"]].reset_index()
    pd.testing.assert_frame_equal(expected, some)


def test_machines_share_the_blocks_and_one_collects_them(task, tmp_path):
    for share in range(2):
        work = Work(block=4, share=share, shares=2)
        assert len(rows_of(run(study(task, tmp_path / "a", work=work), tmp_path / f"share{share}"))) == NETWORKS // 2
    with mock.patch.object(space_scores, "score_block", side_effect=AssertionError("all are there")):
        assert len(rows_of(run(study(task, tmp_path / "a", work=Work(block=4)), tmp_path / "all"))) == NETWORKS
    with pytest.raises(ConfigError, match=r"work\.share"):
        Work(share=2, shares=2)


def test_an_interrupted_run_goes_on_with_what_is_missing(task, tmp_path):
    scored: list[str] = []
    plain = space_scores.score_architecture

    def breaks_later(arch, plan, device):
        if len(scored) == 9:
            raise KeyboardInterrupt
        scored.append(arch)
        return plain(arch, plan, device)

    with (
        mock.patch.object(space_scores, "score_architecture", breaks_later),
        pytest.raises((KeyboardInterrupt, ItemsFailedError)),
    ):
        run(study(task, tmp_path / "a", work=Work(block=4)), tmp_path / "1")
    assert len(list((tmp_path / "a").rglob("*.parquet"))) == 2
    again: list[str] = []
    with mock.patch.object(space_scores, "score_architecture", lambda *args: again.append(args[0]) or plain(*args)):
        resumed = rows_of(run(study(task, tmp_path / "a", work=Work(block=4)), tmp_path / "1"))
    assert len(again) == NETWORKS - 8
    pd.testing.assert_frame_equal(resumed, rows_of(run(study(task, tmp_path / "b"), tmp_path / "2")))


def test_a_network_that_cannot_be_built_is_a_row_with_its_reason(task, tmp_path):
    bad = task.benchmark.names[3]
    plain = NASBench201.build

    def build(self, arch, channels, classes):
        if self.format(arch) == [bad]:
            raise RuntimeError("cannot be built")
        return plain(self, arch, channels, classes)

    with mock.patch.object(NASBench201, "build", build):
        rows = rows_of(run(study(task, tmp_path / "a"), tmp_path / "1")).set_index("arch_id")
    assert set(rows.loc[bad].filter(like="_reason")) == {"failed"}
    assert rows.loc[bad, PROXIES].isna().all()


def test_zico_and_repeats(task, tmp_path):
    data = ScoringData("digits", train_images=60, batch_size=8, batches=3, cache=str(tmp_path / "a"))
    rows = rows_of(run(study(task, tmp_path, data=data, proxies=["zico"], repeats=2, networks=4), tmp_path / "1"))
    assert (rows["zico_error"] > 0).any()
    with pytest.raises(ConfigError, match="zico compares several"):
        study(task, tmp_path, proxies=["zico"])
    with pytest.raises(ConfigError, match="no such proxy"):
        study(task, tmp_path, proxies=["nonsense"])


def test_the_benchmark_is_extended_and_the_hybrid_study_reads_it(task, tmp_path):
    folder = run(study(task, tmp_path / "a", extend=True), tmp_path / "1")
    extended = Benchmark(folder.path / "tiny")
    extended.verify()
    np.testing.assert_array_equal(extended.scores("nwot"), rows_of(folder)["nwot"])
    np.testing.assert_array_equal(extended.accuracy(), task.accuracy)
    np.testing.assert_array_equal(extended.curves(), task.benchmark.curves())
    scored = BenchmarkTask(str(extended.folder), Target("digits", "valid"))
    again = study(scored, tmp_path / "a", published=Published({"nwot": "nwot", "params": "params"}))
    assert run(again, tmp_path / "2").read_metrics()["nwot/agreement"] == 1
    columns = ScoreColumns(
        {"synflow": "synflow", "logsynflow": "logsynflow"}, {"nwot": "nwot", "snip": "snip"}, {"params": "params"}
    )
    combination = Combination(["synflow", "nwot", "params"], labels=[0, 5], splits=2)
    made = run(HybridProxy(scored, columns, combination, train=10, splits=2), tmp_path / "3")
    metrics = made.read_metrics()
    assert {"in_sample/alpha", "out_of_sample/hybrid/spearman_mean", "labels@5/difference", "params/top1%"} <= set(
        metrics
    )
    assert (made.figures / "weights.png").stat().st_size > 1000
    repeated = run(HybridProxy(scored, columns, combination, train=10, splits=2), tmp_path / "4")
    assert repeated.read_metrics() == pytest.approx(metrics, nan_ok=True)
    missing = ScoreColumns({"zen": "zen"}, {"nwot": "nwot"}, {"params": "params"})
    with pytest.raises(DataError, match="experiment=score_space"):
        run(HybridProxy(scored, missing, Combination(["nwot"]), train=10, splits=2), tmp_path / "5")


def test_extending_replaces_a_series_of_the_same_path(task, tmp_path):
    series = Series("score", "mine", "digits")
    first = with_columns(task.benchmark, {series: np.arange(NETWORKS)}, tmp_path / "first")
    second = with_columns(first, {series: -np.arange(NETWORKS)}, tmp_path / "second")
    np.testing.assert_array_equal(second.scores("mine"), -np.arange(NETWORKS))
    assert len(read_contents(second).series) == len(read_contents(first).series)


def test_networks_without_a_score_are_ranked_last_and_ties_share_their_place():
    score, truth = np.array([3.0, np.nan, 1.0, -np.inf, 3.0]), np.array([90.0, 99.0, 70.0, 80.0, 94.0])
    last = ranked_last(score)
    assert last[1] == last[3] < last[2]
    assert top_accuracy(last, truth, 1) == 92
    assert top_accuracy(last, truth, 3) == pytest.approx((90 + 94 + 70) / 3)
    assert top_accuracy(last, truth, 4) == pytest.approx((90 + 94 + 70 + 89.5) / 4)
    judged = judge_scores({"score": score}, truth, seed=0)
    assert judged["missing"].tolist() == [2]


def test_half_of_the_networks_is_left_out_where_a_method_was_designed_on_it(task):
    folder = task.benchmark
    everything = ScoreColumns({}, {}, {}).read(task)
    half = ScoreColumns({}, {}, {}, designed_on=0.5).read(task)
    assert len(everything) == len(folder) == 2 * len(half)
    assert set(half.rows) < set(everything.rows)
    with pytest.raises(ConfigError, match="designed_on"):
        ScoreColumns({}, {}, {}, designed_on=1.0)
