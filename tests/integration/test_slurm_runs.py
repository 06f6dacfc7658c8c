"""Runs on a real Slurm; `.ci/slurm start FOLDER` brings one up on this machine."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from faults import overrides_of, results_of
from scripts import command, run_here

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.usefixtures("slurm")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, request) -> dict[str, Path]:
    """What one process of this machine makes of the same."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("search", "nap2")}
    for name, folder in folders.items():
        ended = run_here("train.py", *overrides_of(name, folder, folder), folder=folder)
        assert ended.code == 0, ended.errors
    return folders


def test_an_interrupted_search_cancels_its_jobs_and_goes_on_in_processes(tmp_path: Path, alone):
    overrides = overrides_of("search", tmp_path, tmp_path, workers=2)
    engine = ["parallel=submitit", "parallel.engine.poll_seconds=0.5"]
    with subprocess.Popen(
        command("train.py", *overrides, *engine), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as head:
        end = time.monotonic() + 300
        while not list((tmp_path / "run" / "searches").glob("*.json")):
            assert time.monotonic() < end
            assert head.poll() is None, head.stderr.read()
            time.sleep(0.1)
        head.send_signal(signal.SIGINT)
        _, errors = head.communicate(timeout=100)
    assert head.returncode == 130
    assert f"the same command with run_dir={tmp_path / 'run'} goes on" in errors
    end = time.monotonic() + 100
    while subprocess.run(["squeue", "--me", "--noheader"], check=True, capture_output=True).stdout:
        assert time.monotonic() < end, "jobs are left in the queue"
        time.sleep(0.2)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "searches").glob("*.json")}
    assert len(finished) < 12
    ended = run_here("train.py", *overrides_of("search", tmp_path, tmp_path), folder=tmp_path)
    assert ended.code == 0, ended.errors
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "what was finished is not run again"
    assert results_of(tmp_path) == results_of(alone["search"])


def test_two_tasks_of_srun_give_the_bytes_of_one_process(tmp_path: Path, alone):
    tasks = ["srun", "--nodes=1", "--ntasks-per-node=2"]
    options = ["trainer.devices=2", "trainer.num_nodes=1", "trainer.strategy=ddp"]
    together = [*tasks, *command("train.py", *overrides_of("nap2", tmp_path, tmp_path), *options)]
    ended = subprocess.run(together, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    assert "MEMBER: 2/2" in ended.stderr
    assert results_of(tmp_path) == results_of(alone["nap2"])
