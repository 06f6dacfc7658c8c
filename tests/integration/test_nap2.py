"""`python train.py experiment=nap2` and `python predict.py ...` as a user runs them, at a tiny budget."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scripts import Ended, command, run_apart, run_here

TINY = [
    "data.population=8",
    "data.space.stem_channels=8",
    "data.train_images=100",
    "data.plan.epochs=4",
    "data.every_n_steps=2",
    "data.max_snapshots=3",
    "autoencoder.widths=[8,8,4]",
    "autoencoder.max_epochs=2",
    "predictor.max_epochs=2",
    "folds=2",
    "rule.final_size=2",
    "grid.first_units=[1]",
    "grid.cut=[0.25,0.5]",
    "grid.final_size=[2]",
]
FILES = {"config.yaml", "metrics.json", "timings.json", "predictions.parquet", "provenance.json", "report.md"}


def options(folder: Path, cache: Path, *overrides: str) -> list[str]:
    return ["experiment=nap2", *TINY, f"run_dir={folder}", f"data.cache={cache}", *overrides]


def train(folder: Path, cache: Path, *overrides: str) -> Ended:
    return run_here("train.py", *options(folder, cache, "parallel.workers=1", *overrides), folder=cache.parent)


def finish(ended: Ended) -> str:
    assert ended.code == 0, ended.printed + ended.errors
    return ended.printed


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path, str]:
    """A run folder, its cache, and what was printed."""
    folder, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cache")
    overrides = options(folder, cache, "parallel.workers=2", "logger=wandb")
    return folder, cache, finish(run_apart("train.py", *overrides, folder=cache.parent, WANDB_MODE="offline"))


@pytest.fixture(scope="module")
def recording(finished) -> Path:
    (folder,) = finished[1].iterdir()
    return folder


def test_the_run_folder_is_complete(finished):
    folder, _, printed = finished
    assert {path.name for path in folder.iterdir()} >= FILES
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {"spearman", "error", "forecasts", "selection"}
    assert {path.stem for path in (folder / "checkpoints").iterdir()} == {"fold0", "fold1", "final"}
    assert str(folder / "report.md") in printed.replace("\n", "")
    assert not list(folder.glob("*.log"))
    assert not (finished[1].parent / "runs").exists(), "another folder than the one asked for was made"
    report = (folder / "report.md").read_text()
    assert "8 networks were trained and recorded with 3 snapshots each" in report
    assert "Each of the 8 networks was foreseen out of fold" in report
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["versions"]["torch"] == torch.__version__
    assert len(provenance["data_sha256"]["snapshots/index.parquet"]) == 64


def test_metrics_have_the_promised_keys(finished):
    metrics = json.loads((finished[0] / "metrics.json").read_text())
    promised = {"test/mae", "test/spearman", "baseline/last_val/mae", "baseline/last_val/spearman"}
    promised |= {f"{prefix}/spearman@{k}" for prefix in ("test", "baseline/last_val") for k in (1, 3)}
    judged = ("accuracy_difference", "top3_precision", "resources")
    promised |= {f"{method}/{name}" for method in ("agent", "halving") for name in judged}
    assert promised <= metrics.keys()
    assert metrics["agent/resources"] == metrics["halving/resources"]


def test_predictions_are_one_row_a_network_and_snapshot(finished, recording):
    table = pd.read_parquet(finished[0] / "predictions.parquet")
    assert len(table) == 8 * 3
    assert table.groupby("fold")["arch_id"].nunique().tolist() == [4, 4]
    index = pd.read_parquet(recording / "index.parquet").set_index("key")
    assert np.allclose(table["truth"], index["test_accuracy"].loc[table["arch_id"]])


def test_the_same_seed_gives_the_same_metrics_whatever_the_workers(finished, tmp_path):
    finish(train(tmp_path / "again", tmp_path / "cache"))
    for name in ("metrics.json", "predictions.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (finished[0] / name).read_bytes(), name


def test_a_second_run_reuses_the_recording_and_a_larger_population_extends_it(finished, recording, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in (recording / "networks").iterdir()}
    cache = tmp_path / "cache"
    shutil.copytree(finished[1], cache)
    finish(train(tmp_path / "larger", cache, "data.population=9"))
    (copied,) = cache.iterdir()
    after = {path.name: path.stat().st_mtime_ns for path in (copied / "networks").iterdir()}
    assert len(after) == 9
    assert all(after[name] == moment for name, moment in before.items())


def test_a_recording_that_was_killed_goes_on(finished, recording, tmp_path):
    cache = tmp_path / "cache"
    killed_run = command("train.py", *options(tmp_path / "run", cache, "parallel.workers=1"))
    with subprocess.Popen(killed_run, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while len(list(cache.glob("*/records/net-*.json"))) < 3:
            assert job.poll() is None
            time.sleep(0.05)
        os.kill(job.pid, signal.SIGKILL)
    killed = {path.stem for path in cache.glob("*/records/net-*.json")}
    assert 3 <= len(killed) < 8
    finish(train(tmp_path / "run", cache))
    assert (tmp_path / "run" / "metrics.json").read_bytes() == (finished[0] / "metrics.json").read_bytes()
    (again,) = cache.iterdir()
    for path in (recording / "networks").iterdir():
        assert (again / "networks" / path.name).read_bytes() == path.read_bytes()


def predict(checkpoint: Path, source: Path, output: Path, *overrides: str) -> None:
    given = (f"checkpoint={checkpoint}", f"input={source}", f"output={output}")
    finish(run_here("predict.py", *given, *overrides, folder=output.parent))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_says_how_to_go_on(tmp_path, workers):
    cache, folder = tmp_path / "cache", tmp_path / "run"
    call = command("train.py", *options(folder, cache, f"parallel.workers={workers}", "data.population=500"))
    # Where the tests run in the background of a shell this signal is ignored, and children inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    job = subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    try:
        while len(list(cache.glob("*/records/net-*.json"))) < 3:
            assert job.poll() is None
            time.sleep(0.05)
        os.killpg(job.pid, signal.SIGINT)
        _, errors = job.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 130
    assert f"the same command with run_dir={folder} goes on" in errors
    assert "Traceback" not in errors
    assert "executing job" not in errors


@pytest.mark.parametrize("fold", [0, 1, None])
def test_predict_gives_the_numbers_of_the_run(finished, recording, tmp_path, fold):
    folder, output = finished[0], tmp_path / "forecast.csv"
    chosen = [] if fold is None else [f"fold={fold}"]
    predict(folder, recording, output, *chosen)
    table = pd.read_csv(output)
    assert list(table.columns) == ["arch_id", "snapshots", "mean"]
    assert len(table) == 8 * 3
    if fold is None:
        by_file = tmp_path / "by_file.parquet"
        predict(folder / "checkpoints" / "final.ckpt", recording, by_file)
        assert np.allclose(pd.read_parquet(by_file)["mean"], table["mean"], atol=1e-6)
        return
    of_run = pd.read_parquet(folder / "predictions.parquet").query("fold == @fold")
    both = of_run.merge(table, on=["arch_id", "snapshots"], suffixes=("_run", ""))
    assert len(both) == 4 * 3
    assert np.allclose(both["mean"], both["mean_run"], atol=1e-6)


def test_predict_reads_one_network(finished, recording, tmp_path):
    path = recording / "networks" / "net-0003.npy"
    overrides = [f"checkpoint={finished[0]}", f"input={path}", f"output={tmp_path / 'one.csv'}"]
    finish(run_apart("predict.py", *overrides, folder=tmp_path))
    predict(finished[0], recording, tmp_path / "all.csv")
    one, everything = pd.read_csv(tmp_path / "one.csv"), pd.read_csv(tmp_path / "all.csv")
    same = everything.query("arch_id == 'net-0003'")["mean"]
    assert np.allclose(one["mean"], same, atol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (
            ["data.popluation=3"],
            2,
            "config key 'data.popluation': unknown key, did you mean 'population'? Allowed",
        ),
        (["sead=3"], 2, "config key 'sead': unknown key, did you mean 'seed'?"),
        (["trainer.gradient_clip_val=1"], 2, "Allowed: +trainer.gradient_clip_val=VALUE"),
        (["benchmark=digits201"], 2, "This experiment has no such part"),
        (["population"], 2, "write KEY=VALUE"),
        (["+data.colour=red"], 2, "config key 'data.colour': unknown key"),
        (["data.population=many"], 2, "config key 'data.population'"),
        (["data.population=-1"], 2, "greater than or equal to 1"),
        (["autoencoder.learning_rate=0"], 2, "config key 'autoencoder.learning_rate'"),
        (["rule.final_size=4"], 2, "leaves nothing to select"),
        (["data.max_snapshots=100"], 2, "the training is too short"),
        (["data.image=cifar10", "data.root=/nowhere"], 2, r"data_batch_1.bin"),
        (["trainer.acelerator=cpu"], 2, "acelerator"),
        (["experiment=nap3"], 2, "nap3"),
    ],
)
def test_a_wrong_config_ends_with_2_and_writes_nothing(tmp_path, overrides, code, message):
    ended = train(tmp_path / "run", tmp_path / "cache", *overrides)
    assert ended.code == code, ended.errors
    assert message in ended.errors
    assert "executing job" not in ended.errors
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


def test_every_job_of_a_sweep_is_tried(tmp_path):
    ended = run_here("train.py", "-m", "experiment=nap2", "seed=-1,-2", folder=tmp_path)
    assert ended.code == 2, ended.errors
    assert "value: -1" in ended.errors
    assert "value: -2" in ended.errors
    (sweep,) = (tmp_path / "runs" / "nap2").iterdir()
    assert [item.name for item in sweep.iterdir()] == ["multirun.yaml"], "no job has left a folder"


@pytest.mark.parametrize("overrides", [["trainer.strategy=ddp"], ["trainer.devices=2"], ["trainer.num_nodes=2"]])
def test_a_sweep_whose_runs_start_processes_is_refused(tmp_path, overrides):
    fixed = ["-m", "experiment=nap2", "seed=0,1", f"hydra.sweep.dir={tmp_path / 'swept'}"]
    ended = run_here("train.py", *fixed, *overrides, folder=tmp_path)
    assert ended.code == 2, ended.errors
    assert "subprocesses and -m do not go together" in ended.errors
    assert "ddp_spawn" in ended.errors


def damage_snapshot(folder: Path, recording: Path) -> list[str]:
    copy = folder / "recording"
    shutil.copytree(recording, copy)
    path = copy / "networks" / "net-0002.npy"
    path.write_bytes(path.read_bytes()[:1000])
    return [f"input={copy}"]


def other_version(folder: Path, run_folder: Path) -> list[str]:
    content = torch.load(run_folder / "checkpoints" / "final.ckpt", weights_only=True)
    torch.save(content | {"schema_version": 99}, folder / "new.ckpt")
    return [f"checkpoint={folder / 'new.ckpt'}"]


def wrong_shape(folder: Path) -> list[str]:
    np.save(folder / "wrong.npy", np.zeros((3, 2, 5, 99, 12), dtype=np.float16))
    return [f"input={folder / 'wrong.npy'}"]


@pytest.mark.parametrize(
    ("case", "code", "message"),
    [
        ("snapshot", 1, "net-0002.npy"),
        ("version", 1, "schema version 99"),
        ("shape", 1, "has shape [3, 2, 5, 99, 12]"),
        ("missing", 1, "no such file"),
        ("ending", 2, "config key 'output': unknown file ending"),
        ("fold", 1, "fold7.ckpt: no such checkpoint"),
    ],
)
def test_bad_data_ends_with_1_and_writes_nothing(finished, recording, tmp_path, case, code, message):
    changes = {
        "snapshot": lambda: damage_snapshot(tmp_path, recording),
        "version": lambda: other_version(tmp_path, finished[0]),
        "shape": lambda: wrong_shape(tmp_path),
        "missing": lambda: [f"input={tmp_path / 'nothing.npy'}"],
        "ending": lambda: [f"output={tmp_path / 'out.xlsx'}"],
        "fold": lambda: ["fold=7"],
    }[case]()
    given = {"checkpoint": finished[0], "input": recording, "output": tmp_path / "out.csv"}
    overrides = [f"{k}={v}" for k, v in given.items()] + changes
    ended = run_here("predict.py", *overrides, folder=tmp_path)
    assert ended.code == code, ended.errors
    assert message in ended.errors
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "out.xlsx").exists()


def test_a_damaged_recording_stops_the_run_with_1(finished, tmp_path):
    shutil.copytree(finished[1], tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / "networks" / "net-0005.npy").write_bytes(b"nothing")
    ended = train(tmp_path / "run", tmp_path / "cache")
    assert ended.code == 1
    assert "net-0005.npy" in ended.errors
    assert "Traceback" not in ended.errors
    assert not (tmp_path / "run" / "metrics.json").exists()
