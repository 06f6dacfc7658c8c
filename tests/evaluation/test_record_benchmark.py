"""Recording of a benchmark: what is written is what was trained, a kill loses nothing, again is the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import ConfigError
from foretrain.evaluation.benchmark_recording import BenchmarkRecording, SharedTraining
from foretrain.evaluation.record_benchmark import RecordBenchmark, agreement_table, spread_table
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.study import RunContext, TrainerFactory
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.training.cost import count_parameters

TRAINING = SharedTraining(epochs=2, batch_size=20, learning_rate=0.05, shift=1)
SEEDS = (0, 1, 2)


def recording(cache: Path, **changes) -> BenchmarkRecording:
    given = {
        "name": "tiny",
        "title": "A few cells",
        "space": NASBench201(channels=4, cells_per_stage=1, stages=2),
        "training": TRAINING,
        "image": "digits",
        "networks": 5,
        "repeated": 3,
        "train_images": 60,
        "cache": str(cache),
    }
    return BenchmarkRecording(**given | changes)


def context(folder: Path) -> RunContext:
    return RunContext(RunFolder(folder), 0, ParallelMap(workers=1), TrainerFactory(lambda **_: None, {}))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple[BenchmarkRecording, Path]:
    data, folder = recording(tmp_path_factory.mktemp("cache")), tmp_path_factory.mktemp("run")
    RecordBenchmark(data).run(context(folder))
    return data, folder


@pytest.fixture(scope="module")
def benchmark_made(recorded) -> Benchmark:
    return Benchmark(recorded[1] / "tiny")


def test_the_benchmark_holds_distinct_networks_and_opens_like_any_other(benchmark_made: Benchmark):
    benchmark_made.verify()
    assert len(benchmark_made) == 5
    assert len(set(benchmark_made.keys)) == 5
    assert isinstance(benchmark_made.space, NASBench201)
    assert benchmark_made.space.channels == 4, "not the skeleton that was trained"


def test_final_accuracies_are_the_ends_of_the_curves(benchmark_made: Benchmark):
    for seed in SEEDS:
        curve = benchmark_made.curves(split="valid", seed=seed)
        assert curve.shape == (5, 2)
        np.testing.assert_array_equal(curve[:, -1], benchmark_made.accuracy(split="valid", seed=seed).astype("float32"))


def test_only_the_repeated_networks_have_the_further_seeds(benchmark_made: Benchmark):
    known = np.stack([~np.isnan(benchmark_made.accuracy(split="test", seed=seed)) for seed in SEEDS])
    np.testing.assert_array_equal(known.sum(axis=1), [5, 3, 3])
    assert known[:, :3].all()


def test_records_stand_in_the_row_of_their_network(recorded, benchmark_made: Benchmark):
    data, _ = recorded
    for row, name in enumerate(benchmark_made.names):
        record = json.loads((data.folder / f"net-{row:04d}-0.json").read_text())
        assert record["architecture"] == name
        assert record["test_accuracy"] == benchmark_made.accuracy(split="test", seed=0)[row]
        network = data.space.build(data.space.parse([name]), 1, 10)
        assert benchmark_made.cost(name="parameters")[row] == count_parameters(network)


def test_curves_of_training_and_validation_have_losses_and_accuracies(benchmark_made: Benchmark):
    for split in ("train", "valid"):
        for metric in ("loss", "accuracy"):
            assert np.isfinite(benchmark_made.curves(split=split, metric=metric, seed=0)).all()
    assert (benchmark_made.cost(seed=0) > 0).all()


def test_again_gives_the_same_numbers_and_a_kill_loses_nothing(recorded, tmp_path):
    data, _ = recorded
    done = {path.name: path.read_bytes() for path in data.folder.glob("*.json")}
    again = replace(data, cache=str(tmp_path))
    again.folder.mkdir(parents=True)
    kept = sorted(done)[:4]
    for name in kept:
        (again.folder / name).write_bytes(done[name])
    times = {name: (again.folder / name).stat().st_mtime_ns for name in kept}
    again.record(ParallelMap(workers=1))
    assert {name: (again.folder / name).stat().st_mtime_ns for name in kept} == times
    remade = {path.name: json.loads(path.read_text()) | {"seconds": 0} for path in again.folder.glob("*.json")}
    assert remade == {name: json.loads(content) | {"seconds": 0} for name, content in done.items()}


def test_a_larger_recording_goes_on_from_a_smaller_one(recorded):
    data, _ = recorded
    larger = replace(data, networks=8, repeated=4)
    assert larger.folder == data.folder
    assert [candidate.arch for candidate in larger.candidates[:5]] == [candidate.arch for candidate in data.candidates]
    assert replace(data, training=replace(TRAINING, learning_rate=0.1)).folder != data.folder


def test_report_and_metrics_tell_spread_and_agreement(recorded):
    _, folder = recorded
    report = (folder / "report.md").read_text()
    for text in ("5 networks", "3 of them with 3", "without dead", "11 trainings took"):
        assert text in report
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["valid/accuracy@0%"] <= metrics["valid/accuracy@50%"] <= metrics["valid/accuracy@100%"]


def test_agreement_leaves_out_networks_that_guess(tmp_path):
    data = recording(tmp_path, networks=4, repeated=4, seeds=2)
    # Final accuracies [network, seed]: the first two guess; the live ones are ranked the other way round.
    accuracy = {0: (10.0, 11.0), 1: (12.0, 9.0), 2: (80.0, 90.0), 3: (85.0, 70.0)}
    records = [made_up_record(accuracy[row][seed]) for row, seed in data.places]
    write_benchmark(data.contents(records), tmp_path / "made-up")
    table = agreement_table(Benchmark(tmp_path / "made-up"), num_classes=10).set_index(["split", "networks"])
    assert table.loc[("valid", "without dead"), "number"] == 2
    assert table.loc[("valid", "without dead"), "mean"] == pytest.approx(-1)
    assert table.loc[("valid", "all repeated"), "mean"] == pytest.approx(0.6)
    spread = spread_table(Benchmark(tmp_path / "made-up")).set_index("split")
    assert spread.loc["test", "0%"] == 10
    assert spread.loc["test", "100%"] == 85


def made_up_record(accuracy: float) -> dict:
    curve = [accuracy] * TRAINING.epochs
    curves = dict.fromkeys(("train_loss", "train_accuracy", "val_loss", "val_accuracy"), curve)
    costs = {"seconds": 1.0, "parameters": 10, "flops": 20}
    return curves | costs | {"final_val_accuracy": accuracy, "test_accuracy": accuracy}


def test_cells_of_nasbench101_are_recorded_too(tmp_path):
    space = NASBench101(stem_channels=8, stacks=2, cells_per_stack=1, batch_norm_momentum=0.1)
    data = recording(tmp_path, space=space, networks=2, repeated=0)
    write_benchmark(data.contents(data.record(ParallelMap(workers=1))), tmp_path / "made")
    assert isinstance(Benchmark(tmp_path / "made").space, NASBench101)


def test_impossible_numbers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.repeated"):
        recording(tmp_path, repeated=6)
    data = recording(tmp_path, training=replace(TRAINING, batch_size=61))
    with pytest.raises(ConfigError, match=r"data\.training\.batch_size.*1 to 60"):
        data.training.plan(data.images)
