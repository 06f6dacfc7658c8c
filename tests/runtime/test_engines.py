"""Engines: the same records from each; a lost worker, or one that takes too long, costs its item and no other."""

from __future__ import annotations

import importlib
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from foretrain.errors import ConfigError, ItemsFailedError
from foretrain.runtime import extras
from foretrain.runtime.engines.base import Engine, Resources, WorkerLostError
from foretrain.runtime.engines.dask import Dask
from foretrain.runtime.engines.processes import Processes
from foretrain.runtime.engines.ray import Ray
from foretrain.runtime.engines.submitit import Submitit, _Slurm, _State, _SubmititPool
from foretrain.runtime.files import write_json
from foretrain.runtime.parallel import ParallelMap

ENGINES = {
    "processes": Processes(),
    "ray": Ray(),
    "dask": Dask(),
    "submitit": Submitit(cluster="local", poll_seconds=0.05),
}


@pytest.fixture(autouse=True)
def workers_find_this_file(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # its workers are nice by default: nothing for a busy machine


def note_and_square(item):
    """Leaves a line for every run of an item; what it does besides is decided by its name."""
    folder, number, deeds = item
    log = Path(folder) / f"{number}.log"
    earlier = log.read_text().count("\n") if log.exists() else 0
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if number in deeds.get("always_dies", ()) or (number in deeds.get("dies_once", ()) and not earlier):
        os.kill(os.getpid(), signal.SIGKILL)
    if number in deeds.get("hangs_once", ()) and not earlier:
        time.sleep(1000)
    return {"square": number**2}


def run(engine: Engine, folder: Path, count: int = 6, **options):
    deeds = options.pop("deeds", {})
    log = folder / "log"
    log.mkdir(exist_ok=True)
    items = {f"item-{number}": (str(log), number, deeds) for number in range(count)}
    return ParallelMap(workers=2, engine=engine, **options)(note_and_square, items, folder / "records", "squaring")


def runs_of(folder: Path) -> dict[int, int]:
    return {int(path.stem): path.read_text().count("\n") for path in (folder / "log").iterdir()}


@pytest.mark.parametrize("name", ENGINES)
def test_a_worker_that_is_killed_costs_one_item(name: str, tmp_path: Path):
    records = run(ENGINES[name], tmp_path, deeds={"dies_once": [2]}, attempts=5)
    assert records == {f"item-{number}": {"square": number**2} for number in range(6)}
    runs = runs_of(tmp_path)
    assert runs[2] == 2
    assert {runs[number] for number in range(6) if number != 2} == {1}


def test_what_kills_every_worker_is_given_up_and_the_others_are_kept(tmp_path: Path):
    with pytest.raises(ItemsFailedError, match=r"1 items failed(.|\n)*item-3: given up after 2 attempts: .*killed"):
        run(Processes(), tmp_path, deeds={"always_dies": [3]}, attempts=2)
    assert runs_of(tmp_path) == {number: 2 if number == 3 else 1 for number in range(6)}
    assert len(list((tmp_path / "records").glob("item-*.json"))) == 5


def test_a_straggler_is_stopped_and_its_item_tried_elsewhere(tmp_path: Path):
    engine = Processes()
    ParallelMap(workers=2, engine=engine)(see_devices, {"a": 0, "b": 1}, tmp_path / "warm", "starting the workers")
    records = run(engine, tmp_path, count=3, deeds={"hangs_once": [1]}, item_seconds=15)
    assert [record["square"] for record in records.values()] == [0, 1, 4]
    assert runs_of(tmp_path)[1] >= 2
    hanging, *_ = map(int, (tmp_path / "log" / "1.log").read_text().split())
    end = time.monotonic() + 60
    while Path(f"/proc/{hanging}").exists() and Path(f"/proc/{hanging}/cmdline").read_bytes():
        assert time.monotonic() < end, "its process still runs"
        time.sleep(0.1)


@pytest.mark.parametrize("name", ENGINES)
def test_a_job_that_is_stopped_makes_room(name: str, tmp_path: Path):
    with ENGINES[name].open(Resources(1, 1, 0, tmp_path / "logs")) as pool:
        hanging = pool.submit(note_and_square, (str(tmp_path), 0, {"hangs_once": [0]}))
        eventually(lambda: (tmp_path / "0.log").exists() and (tmp_path / "0.log").read_text().endswith("\n"))
        pool.stop(hanging)
        pool.stop(hanging)  # a job that is none any more
        assert pool.submit(note_and_square, (str(tmp_path), 1, {})).result(timeout=60) == {"square": 1}
        process = Path("/proc") / (tmp_path / "0.log").read_text().strip()
        eventually(lambda: not process.exists() or not (process / "cmdline").read_bytes())
        with pytest.raises(Exception, match="invalid literal"):  # each engine has its own error around it
            pool.submit(int, "no number").result(timeout=60)


def eventually(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_process_that_died_between_two_jobs_is_started_anew(tmp_path: Path):
    with Processes().open(Resources(1, 1, 0, tmp_path)) as pool:
        pool.submit(note_and_square, (str(tmp_path), 0, {})).result(timeout=60)
        os.kill(int((tmp_path / "0.log").read_text()), signal.SIGKILL)
        time.sleep(1)
        assert pool.submit(note_and_square, (str(tmp_path), 1, {})).result(timeout=60) == {"square": 1}


def test_an_interruption_ends_the_processes(tmp_path: Path):
    def interrupted():
        with Processes().open(Resources(1, 1, 0, tmp_path)) as pool:
            pool.submit(note_and_square, (str(tmp_path), 0, {"hangs_once": [0]}))
            eventually(lambda: (tmp_path / "0.log").exists() and (tmp_path / "0.log").read_text().endswith("\n"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    process = Path("/proc") / (tmp_path / "0.log").read_text().strip()
    eventually(lambda: not process.exists() or not (process / "cmdline").read_bytes())


def test_a_running_dask_is_used_and_one_that_is_not_there_told(tmp_path: Path):
    dask, distributed = importlib.import_module("dask"), importlib.import_module("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        with Dask(cluster.scheduler_address).open(Resources(None, 1, 0, tmp_path)) as pool:
            assert pool.slots == 2
            assert pool.submit(pow, 3, 2).result(timeout=60) == 9
            future = pool.submit(time.sleep, 1000)
            next(iter(pool._tasks.values())).cancel(force=True)  # by somebody else
            with pytest.raises(WorkerLostError, match="the task was cancelled"):
                future.result(timeout=60)
        assert cluster.status.name == "running", "a Dask that was there before stays"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ConfigError, match=r"parallel.engine.address.*no Dask scheduler there"),
    ):
        ParallelMap(engine=Dask("tcp://127.0.0.1:9"))(see_devices, {"a": 0}, tmp_path, "looking")


def test_a_ray_that_is_not_there_is_told(tmp_path: Path, monkeypatch):
    def init(**options):  # the real one takes 20 seconds to come to this
        raise ConnectionError(f"Could not find any running Ray instance at {options['address']}")

    monkeypatch.setattr(importlib.import_module("ray"), "init", init)
    with pytest.raises(ConfigError, match=r"parallel.engine.address.*no Ray there"):
        ParallelMap(engine=Ray("auto"))(see_devices, {"a": 0}, tmp_path, "looking")


def test_damaged_records_are_made_again_and_leftovers_removed(tmp_path: Path):
    first = run(Processes(), tmp_path)
    whole = (tmp_path / "records" / "item-4.json").read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 2):
        (tmp_path / "records" / "item-4.json").write_bytes(whole[:size])
        (tmp_path / "records" / ".item-4-abc.tmp.json").write_bytes(whole[:size])
        assert run(Processes(), tmp_path) == first
    assert runs_of(tmp_path)[4] == 5
    assert not list((tmp_path / "records").glob("*.tmp*"))


def see_devices(item):
    time.sleep(0.5)
    return {"devices": os.environ.get("CUDA_VISIBLE_DEVICES"), "threads": os.environ["OMP_NUM_THREADS"]}


def test_workers_share_gpus(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    items = {str(number): number for number in range(4)}
    records = ParallelMap(workers=4, gpus=0.5)(see_devices, items, tmp_path / "halves", "looking")
    assert {record["devices"] for record in records.values()} == {"4", "7"}
    assert {record["threads"] for record in records.values()} == {"1"}
    records = ParallelMap(gpus=2)(see_devices, {"a": 0}, tmp_path / "both", "looking")
    assert records["a"]["devices"] == "4,7"
    with pytest.raises(ConfigError, match=r"parallel.gpus.*has 2 GPUs"):
        ParallelMap(gpus=3)(see_devices, {"a": 0}, tmp_path / "many", "looking")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    records = ParallelMap(workers=1, gpus=3)(see_devices, {"a": 0}, tmp_path / "all", "looking")
    assert records["a"]["devices"] == "0,1,2"


def test_ray_hands_out_shares_of_gpus(tmp_path: Path):
    ray = importlib.import_module("ray")
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        with Ray().open(Resources(None, 1, 0.5, tmp_path)) as pool:
            assert pool.slots == 2
        with Ray().open(Resources(None, 1, 1.0, tmp_path)) as pool:
            assert pool.slots == 1
        records = ParallelMap(gpus=0.5, engine=Ray())(see_devices, {"a": 0, "b": 1}, tmp_path / "halves", "looking")
        assert {record["devices"] for record in records.values()} == {"0"}
        assert ray.is_initialized(), "a Ray that was there before stays"
    finally:
        ray.shutdown()


def test_a_scheduler_gives_whole_gpus_and_known_options(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"parallel.gpus.*whole GPUs"):
        ParallelMap(gpus=0.5, engine=ENGINES["submitit"])(see_devices, {"a": 0}, tmp_path, "looking")
    with pytest.raises(ConfigError, match=r"parallel.engine.*nonsense"):
        ParallelMap(engine=Submitit("local", options={"nonsense": 1}))(see_devices, {"a": 0}, tmp_path, "looking")


def test_what_squeue_says_is_understood(tmp_path: Path, monkeypatch):
    """Also where it says nothing: jobs that Slurm has forgotten are over, jobs of a Slurm that is away go on."""
    said = {"1": "RUNNING", "2": "PENDING", "3": "CANCELLED", "4": "COMPLETING"}
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\ncat << END\n" + "\n".join(map(" ".join, said.items())) + "\n99 FAILED\n\nEND\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    jobs = [SimpleNamespace(job_id=str(number)) for number in range(1, 6)]
    states = _Slurm().states(jobs)
    assert {number: state.word for number, state in states.items()} == said | {"5": "COMPLETED"}
    assert [number for number, state in states.items() if state.waits] == ["2"]
    assert [number for number, state in states.items() if state.ended] == ["3", "5"]
    program.write_text("#!/bin/sh\nexit 1\n")
    assert _Slurm().states(jobs) == {}


class Moody:
    """A scheduler, and an executor that refuses while it has as many jobs as it wants."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most, self.jobs = folder, most, {}

    def submit(self, function, *arguments):
        if sum(not state.ended for state in self.jobs.values()) >= self.most:
            raise RuntimeError("sbatch: error\nsbatch: error: too many jobs")
        number = str(len(self.jobs))
        self.jobs[number] = _State("RUNNING")
        log = self.folder / f"{number}_0_log.err"
        return SimpleNamespace(job_id=number, paths=SimpleNamespace(result_pickle=self.folder / number, stderr=log))

    def states(self, jobs):
        return self.jobs

    def cancel(self, jobs):
        self.cancelled = [job.job_id for job in jobs]


def test_a_scheduler_that_refuses_jobs_gets_them_later_or_is_given_up(tmp_path: Path):
    moody = Moody(tmp_path, most=0)
    resources = Resources(3, 1, 0, tmp_path)
    pool = _SubmititPool(moody, moody, resources, 0.01)
    with pytest.raises(ConfigError, match=r"takes no job \(sbatch: error: too many jobs\)"):
        pool.submit(pow, 2, 2)
    moody.most = 1
    lost = pool.submit(pow, 2, 2)
    assert pool.submit(pow, 3, 2) is None
    assert pool.slots == 1, "until it is over, no other is asked for"
    moody.jobs["0"] = _State("OUT_OF_MEMORY", ended=True)
    with pytest.raises(WorkerLostError, match=r"job 0 ended without a result \(OUT_OF_MEMORY\), its log is .*0_0_log"):
        lost.result(timeout=60)
    assert pool.slots == 3
    moody.most = 0
    with pytest.raises(ConfigError, match="takes no job"):
        [pool.submit(pow, 2, 2) for _ in range(30)]
    moody.most = 1
    pool.submit(pow, 2, 2)
    pool.close()
    assert moody.cancelled == ["1"]


@pytest.mark.parametrize("engine", [Ray(), Dask(), Submitit()], ids=lambda engine: type(engine).__name__)
def test_an_engine_that_is_not_installed_says_how_to_get_it(engine: Engine, tmp_path: Path, monkeypatch):
    def missing(name: str):
        raise ImportError(f"no module {name}")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'foretrain\[cluster\]'"):
        ParallelMap(workers=2, engine=engine)(see_devices, {"a": 0}, tmp_path, "looking")


def test_a_second_run_on_a_shared_folder_waits_for_the_first(tmp_path: Path, capsys):
    from concurrent.futures import ThreadPoolExecutor

    from filelock import FileLock

    lock = FileLock(tmp_path / "records" / ".lock")
    (tmp_path / "records").mkdir()
    lock.acquire()
    with ThreadPoolExecutor() as threads:
        second = threads.submit(run, Processes(), tmp_path)
        for number in range(6):
            write_json(tmp_path / "records" / f"item-{number}.json", {"square": -1})
        lock.release()
        assert {record["square"] for record in second.result(timeout=60).values()} == {-1}
    assert not runs_of(tmp_path), "what the first run finished is not run again"
    assert "waiting" in capsys.readouterr().err
