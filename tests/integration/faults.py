"""Runs of train.py in processes of their own, quickly started, to which something happens on their way."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts import run_here

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["foretrain.evaluation.nap2", "foretrain.evaluation.search", "foretrain.evaluation.proxies", "matplotlib.pyplot"]
)
JOBS = {
    "nap2": [
        *("data.population=6", "data.space.stem_channels=5", "data.space.stacks=1", "data.space.cells_per_stack=1"),
        *("data.train_images=60", "data.plan.batch_size=20", "data.plan.epochs=2", "data.every_n_steps=2"),
        *("data.max_snapshots=2", "autoencoder.widths=[8,8,4]", "autoencoder.max_epochs=2", "predictor.max_epochs=2"),
        *("folds=2", "rule.final_size=1", "grid.final_size=[1]"),
    ],
    "score_space": [
        *("benchmark=digits201", "benchmark.name={benchmark}", "networks=6", "data.batch_size=8", "work.block=1"),
        "proxies=[synflow,nwot,params]",
    ],
    "search": ["benchmark=digits201", "budget=14", "runs=3"],
}
"""Recording and fitting, scoring, searching."""


@dataclass(frozen=True)
class Fault:
    """What happens to a run.

    Attributes:
        kind: ``none``, ``kill_at_file`` (SIGKILL before or after file ``number`` gets its name), ``kill_after``
            (SIGKILL after ``number`` seconds), ``disk_full`` (writing fails from file ``number`` on) or ``clock``
            (which jumps).
        number: See there.
        before: Whether the kill comes before the rename.
        workers: Processes of the run.
    """

    kind: str
    number: float = 0
    before: bool = True
    workers: int = 1


def run_job(name: str, folder: Path, benchmark: Path, fault: Fault | None = None) -> tuple[int, str]:
    """Runs an experiment in ``folder``; returns how the process ended (-9: killed) and its errors."""
    errors = folder / "errors.txt"
    folder.mkdir(exist_ok=True)
    process = _SERVER.Process(target=_child, args=(name, folder, benchmark, fault, errors))
    process.start()
    if fault is not None and fault.kind == "kill_after":
        process.join(fault.number)
        process.kill()
    process.join(300)
    assert process.exitcode is not None, "the run did not end"
    return process.exitcode, errors.read_text() if errors.exists() else ""


def overrides_of(name: str, folder: Path, benchmark: Path, workers: int = 1) -> list[str]:
    options = [item.format(benchmark=benchmark) for item in JOBS[name]]
    cache = [f"data.cache={folder / 'cache'}"] if name == "nap2" else []
    return [f"experiment={name}", f"run_dir={folder / 'run'}", f"parallel.workers={workers}", *options, *cache]


def results_of(folder: Path) -> dict[str, bytes]:
    """The bytes of everything that must not depend on what happened."""
    run = folder / "run"
    return {path.name: path.read_bytes() for path in sorted(run.glob("*")) if path.suffix in (".parquet", ".csv")} | {
        "metrics.json": (run / "metrics.json").read_bytes()
    }


def records_of(folder: Path) -> list[str]:
    """The records of all items, in the recordings and in the run; what a killed process left half done is hidden."""
    found = [path for part in ("cache", "run") for path in (folder / part).rglob("*.json")]
    return sorted(str(path.relative_to(folder)) for path in found if not path.name.startswith("."))


def _child(name: str, folder: Path, benchmark: Path, fault: Fault | None, errors: Path) -> None:
    os.environ["FORETRAIN_CACHE"] = str(folder / "cache")
    if fault is not None:
        {"kill_at_file": _kill_at_file, "disk_full": _fill_disk, "clock": _shake_clock}.get(fault.kind, _nothing)(fault)
    workers = fault.workers if fault is not None else 1
    ended = run_here("train.py", *overrides_of(name, folder, benchmark, workers), folder=folder)
    errors.write_text(ended.printed + ended.errors)
    os._exit(ended.code)


def _kill_at_file(fault: Fault) -> None:
    rename: Callable[..., Path] = Path.replace
    calls = itertools.count(1)

    def replace(self: Path, target: Path) -> Path:
        hit = next(calls) == fault.number
        if hit and fault.before:
            os.kill(os.getpid(), signal.SIGKILL)
        renamed = rename(self, target)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return renamed

    Path.replace = replace  # type: ignore[method-assign]


def _fill_disk(fault: Fault) -> None:
    calls = itertools.count(1)

    def fsync(handle: int) -> None:
        if next(calls) >= fault.number:
            raise OSError(errno.ENOSPC, "No space left on device")

    os.fsync = fsync


def _shake_clock(fault: Fault) -> None:
    now, draw = time.time, random.Random(0)
    time.time = lambda: now() + draw.uniform(-1e6, 1e6)


def _nothing(fault: Fault) -> None:
    """What happens comes from outside."""
