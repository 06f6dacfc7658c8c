"""Whatever happens to a run, the same command goes on, and ends with the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from faults import JOBS, Fault, overrides_of, records_of, results_of, run_job
from scripts import run_here

KILLS = int(os.environ.get("FORETRAIN_STRESS_KILLS", "3"))
"""Kills of each experiment; ``make stress`` sets more."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, request):
    """Runs each experiment once, when it is asked for, and gives its folder and seconds."""
    done = {}

    def get(name: str, benchmark: Path) -> tuple[Path, float]:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            kept = folder / "benchmark"
            shutil.copytree(benchmark, kept)
            start = time.monotonic()
            code, errors = run_job(name, folder, kept)
            assert code == 0, errors
            done[name] = (folder, time.monotonic() - start)
        return done[name]

    return get


def finish(name: str, folder: Path, expected: Path) -> None:
    code, errors = run_job(name, folder, expected / "benchmark")
    assert code == 0, errors
    assert results_of(folder) == results_of(expected)
    assert records_of(folder) == records_of(expected), "records are lost or doubled"


@pytest.mark.parametrize("name", JOBS)
def test_kills_at_random_moments_change_nothing(name: str, tmp_path: Path, undisturbed, scored_benchmark: Path):
    expected, seconds = undisturbed(name, scored_benchmark)
    draw, killed, starts = random.Random(f"{name} {KILLS}"), 0, 0
    while killed < KILLS and starts < 3 * KILLS:
        folder = tmp_path / str(starts)
        for _ in range(draw.choice([1, 1, 2, 3])):  # some are killed again when they go on
            if draw.random() < 0.7:
                fault = Fault("kill_at_file", draw.choice([1, 2, 3, 4, 5, 7, 9, 12, 15]), draw.random() < 0.5)
            else:
                fault = Fault("kill_after", draw.uniform(0, seconds))
            code, errors = run_job(name, folder, expected / "benchmark", fault)
            assert code in (0, -signal.SIGKILL), errors
            killed += code == -signal.SIGKILL
        finish(name, folder, expected)
        shutil.rmtree(folder)
        starts += 1
    assert killed >= KILLS


@pytest.mark.parametrize("name", ["score_space", "search"])
def test_two_workers_give_the_bytes_of_one_and_go_on_from_it(name: str, tmp_path: Path, undisturbed, scored_benchmark):
    expected, _ = undisturbed(name, scored_benchmark)
    code, errors = run_job(name, tmp_path / "one", expected / "benchmark", Fault("kill_at_file", 4))
    assert code == -signal.SIGKILL, errors
    code, errors = run_job(name, tmp_path / "one", expected / "benchmark", Fault("none", workers=2))
    assert code == 0, errors
    assert results_of(tmp_path / "one") == results_of(expected)


@pytest.mark.parametrize("name", JOBS)
def test_a_full_disk_is_told_and_later_the_run_goes_on(name: str, tmp_path: Path, undisturbed, scored_benchmark: Path):
    expected, _ = undisturbed(name, scored_benchmark)
    code, errors = run_job(name, tmp_path / "work", expected / "benchmark", Fault("disk_full", 5))
    assert code == 1
    assert "No space left on device" in errors
    assert "the same command" in errors
    assert "Traceback" not in errors
    finish(name, tmp_path / "work", expected)


def test_damaged_files_are_made_again_or_named(tmp_path: Path, undisturbed, scored_benchmark: Path):
    expected, _ = undisturbed("nap2", scored_benchmark)
    work = tmp_path / "work"
    shutil.copytree(expected / "cache", work / "cache")
    (recording,) = (work / "cache").iterdir()
    for path in (recording / "index.parquet", *list((recording / "records").glob("net-*.json"))[:2]):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    finish("nap2", work, expected)
    network = next((recording / "networks").iterdir())
    network.write_bytes(network.read_bytes()[:500])
    shutil.rmtree(work / "run")
    code, errors = run_job("nap2", work, expected / "benchmark")
    assert code == 1
    assert network.name in errors
    assert "Traceback" not in errors


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, undisturbed, scored_benchmark: Path):
    for name in ("nap2", "search"):
        expected, _ = undisturbed(name, scored_benchmark)
        code, errors = run_job(name, tmp_path / name, expected / "benchmark", Fault("clock"))
        assert code == 0, errors
        assert results_of(tmp_path / name) == results_of(expected)


def test_a_read_only_folder_is_refused(tmp_path: Path, scored_benchmark: Path):
    closed = tmp_path / "closed"
    closed.mkdir()
    is_root = os.geteuid() == 0
    if is_root:
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(closed)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here, and to root no folder is read-only")
    else:
        closed.chmod(0o500)
    try:
        ended = run_here("train.py", *overrides_of("search", closed / "work", scored_benchmark), folder=tmp_path)
    finally:
        if is_root:
            subprocess.run(["umount", str(closed)], check=True)
    assert ended.code == 1
    assert "Choose another run_dir" in ended.errors
