"""Jobs of a real Slurm; `.ci/slurm start FOLDER` brings one up on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foretrain.errors import ConfigError, ItemsFailedError
from foretrain.runtime.engines.base import Resources
from foretrain.runtime.engines.processes import Processes
from foretrain.runtime.engines.submitit import Submitit
from foretrain.runtime.parallel import ParallelMap

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]


@pytest.fixture(autouse=True)
def workers_find_this_file(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))


def jobs(**options) -> Submitit:
    return Submitit("slurm", poll_seconds=0.2, options=options)


def note_and_do(item):
    """Leaves a line for every run of an item, in which its deed happens the first time."""
    folder, number, deed = item
    log = Path(folder) / f"{number}.log"
    earlier = log.exists()
    with log.open("a") as file:
        file.write(os.environ.get("SLURM_JOB_ID", "none") + "\n")
    if not earlier:
        {"cancel": cancel_this_job, "kill": kill_this_process, "hang": hang, None: nothing}[deed]()
    threads, cores = (os.environ.get(name) for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"))
    return {"square": number**2, "threads": threads, "cores": cores}


def cancel_this_job():
    subprocess.run(["scancel", os.environ["SLURM_JOB_ID"]], check=True)
    hang()


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(1000)


def nothing():
    pass


def run(folder: Path, deeds: list, engine=None, **options):
    log = folder / "log"
    log.mkdir(exist_ok=True)
    items = {str(number): (str(log), number, deed) for number, deed in enumerate(deeds)}
    return ParallelMap(engine=engine or jobs(), **options)(note_and_do, items, folder / "records", "squaring")


def runs_of(folder: Path) -> list[int]:
    return [path.read_text().count("\n") for path in sorted((folder / "log").iterdir())]


def jobs_in_the_queue() -> list[str]:
    asked = ["squeue", "--me", "--noheader", "--states=PENDING,RUNNING"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_cancelled_a_killed_and_a_late_job_cost_one_item_each(tmp_path: Path):
    deeds = [None, "cancel", "kill", "hang", None]
    records = run(tmp_path, deeds, workers=4, threads=2, item_seconds=40, attempts=5)
    expected = [{"square": number**2, "threads": "2", "cores": "2"} for number in range(5)]
    assert list(records.values()) == expected
    assert all(runs >= 2 for runs in runs_of(tmp_path)[1:4])
    left = sorted(path.name for path in (tmp_path / "records" / ".jobs").iterdir())
    lost = {(tmp_path / "log" / f"{number}.log").read_text().split()[0] for number in (1, 2, 3)}
    kept = {name.split("_")[0] for name in left}
    assert lost <= kept, "the logs of lost jobs are kept"
    done = {(tmp_path / "log" / f"{number}.log").read_text().split()[-1] for number in range(5)}
    assert not kept & done, "those of finished ones are not"


def test_a_job_in_the_queue_waits(tmp_path: Path):
    """So that its time there is not its own; the one that has begun is told from it."""
    with jobs(slurm_additional_parameters={"hold": True}).open(Resources(2, 1, 0, tmp_path / "logs")) as pool:
        first, second = (pool.submit(pow, number, 2) for number in (2, 3))
        time.sleep(1)
        assert pool.waits(first)
        assert pool.waits(second)
        subprocess.run(["scontrol", "release", pool._jobs[first].job_id], check=True)
        assert first.result(timeout=300) == 4
        assert not pool.waits(first)
        assert pool.waits(second)
    no_job_is_left()


def test_what_is_lost_each_time_is_given_up_with_the_scheduler_s_reason(tmp_path: Path):
    with pytest.raises(ItemsFailedError, match=r"given up after 1 attempts: job \d+ ended .*CANCELLED.*its log is"):
        run(tmp_path, ["cancel"], attempts=1)


def test_a_job_that_slurm_refuses_is_told_before_anything_runs(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"parallel.engine.*takes no job.*Invalid partition"):
        run(tmp_path, [None, None], jobs(slurm_partition="nowhere"))


def test_a_queue_that_takes_no_more_is_given_no_more(tmp_path: Path, monkeypatch):
    """An sbatch that refuses while two jobs are in the queue, as limits of a user do."""
    sbatch = tmp_path / "sbatch"
    queue = "squeue --me --noheader --states=PENDING,RUNNING"
    sbatch.write_text(f'#!/bin/sh\n[ $({queue} | wc -l) -lt 2 ] || exit 1\nexec {shutil.which("sbatch")} "$@"\n')
    sbatch.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    run(tmp_path, [None] * 4, Submitit("slurm", poll_seconds=1), workers=4, attempts=1)
    assert runs_of(tmp_path) == [1] * 4


def test_ctrl_c_cancels_the_jobs_and_processes_go_on(tmp_path: Path):
    program = f"import test_slurm as t; t.run(t.Path({str(tmp_path)!r}), [None, 'hang', 'hang'], workers=3)"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 300
        while not (tmp_path / "records" / "0.json").exists() or len(list((tmp_path / "log").iterdir())) < 3:
            assert time.monotonic() < end
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)
    assert process.returncode
    no_job_is_left()
    records = run(tmp_path, [None, None, None], Processes(), workers=1)
    assert [record["square"] for record in records.values()] == [0, 1, 4]


def no_job_is_left():
    end = time.monotonic() + 100
    while jobs_in_the_queue():
        assert time.monotonic() < end, "jobs are left in the queue"
        time.sleep(0.2)
