"""Thousands of jobs with real storage: memory, efficiency of the workers, opening of large results, a plan for more.

    python bench/scale.py                       # all of it
    python bench/scale.py score record          # parts of it: score, record, efficiency, open, interrupt, plan

The jobs are simulated, their storage is real: a job multiplies matrices for as long as asked and writes what a job of
that kind writes. A worker's efficiency is what the map reaches of the work that as many processes do that do nothing
but multiply. The two take turns in the same run, since the machine may be shared.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise, product
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from foretrain.runtime.files import atomic_path
from foretrain.runtime.parallel import ParallelMap, Record
from foretrain.runtime.reading import load_table

SIZE = 128
"""Side of the matrices."""
TURNS = 10
SECONDS = 2.0
"""Of bare multiplications in each turn."""


def multiply(times: int) -> None:
    """Multiplies matrices."""
    matrix = torch.full((SIZE, SIZE), 0.5)
    for _ in range(times):
        matrix = (matrix @ matrix).clamp_(0, 1)


def matmul_rate(pool: Pool, seconds: float, workers: int) -> float:
    """Multiplications a second of so many independent processes together."""
    return sum(pool.map(_multiply_for, [seconds] * workers, chunksize=1))


def _multiply_for(seconds: float) -> float:
    torch.set_num_threads(1)
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter() - start) < seconds:
        multiply(20)
        count += 20
    return count / now


def score(item: int, times: int) -> Record:
    """Stands for the scoring of a network: what it writes is its record."""
    multiply(times)
    return {f"proxy{number}": float(item * number) for number in range(14)}


def record(item: int, times: int, folder: Path) -> Record:
    """Stands for the recording of a network: it writes feature maps too."""
    multiply(times)
    with atomic_path(folder / f"{item}.npy") as temporary:
        np.save(temporary, np.full((2, 2, 8, 100, 12), item % 100, np.float16), allow_pickle=False)
    return {"final_val_accuracy": 50.0, "test_accuracy": 50.0, "step": list(range(30)), "val_loss": [1.0] * 30}


def load(kind: str, count: int, workers: int, parent: Path | None) -> None:
    """Runs very many jobs of hardly any work: what the map itself costs, and that its memory does not grow."""
    folder = Path(tempfile.mkdtemp(prefix="foretrain-scale-", dir=parent))
    parallel = ParallelMap(workers=workers)
    function = _job(kind, 1, folder)
    items = {f"net-{number:05d}": number for number in range(count)}
    keys = list(items)
    parallel(function, {key: items[key] for key in keys[: 2 * workers]}, folder / "records", "starting")
    start, used, memory = time.perf_counter(), time.process_time(), []
    for first, last in pairwise(np.linspace(2 * workers, count, 5).astype(int)):
        parallel(function, {key: items[key] for key in keys[first:last]}, folder / "records", kind)
        memory.append(round(_peak()))
    done = count - 2 * workers
    own = 1000 * (time.process_time() - used) / done
    print(f"\n{kind}: {count} jobs, {workers} workers: {done / (time.perf_counter() - start):.0f} jobs/s")
    print(f"  the dispatching process: {own:.2f} ms of processor time a job; peak memory by quarters: {memory} MB")
    start, used = time.perf_counter(), time.process_time()
    parallel(function, items, folder / "records", kind)
    took = f"{time.perf_counter() - start:.2f} s ({time.process_time() - used:.2f} s of processor time)"
    print(f"  opening the {count} finished records: {took}", flush=True)
    shutil.rmtree(folder)


def efficiency(kind: str, milliseconds: float, workers: int, parent: Path | None) -> None:
    """Compares the work that jobs get done with that of bare multiplications, in turns."""
    folder = Path(tempfile.mkdtemp(prefix="foretrain-scale-", dir=parent))
    parallel = ParallelMap(workers=workers)
    each = max(workers, round(1000 * SECONDS / milliseconds)) * workers
    items = {f"net-{number:05d}": number for number in range(each * (TURNS + 1))}
    keys = list(items)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        matmul_rate(pool, 1, workers)
        times = max(1, round(milliseconds / 1000 * matmul_rate(pool, SECONDS, workers) / workers))
        function = _job(kind, times, folder)
        rates, seconds = [], []
        for turn in range(TURNS + 1):
            start = time.perf_counter()
            part = {key: items[key] for key in keys[each * turn : each * (turn + 1)]}
            parallel(function, part, folder / "records", kind)
            seconds.append(time.perf_counter() - start)
            rates.append(matmul_rate(pool, SECONDS, workers))
    # The first turn started the workers
    shares = each * times / np.array(seconds[1:]) / ((np.array(rates[1:]) + np.array(rates[:-1])) / 2)
    low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75])
    spread = f"median of {TURNS} turns of {each} jobs, quartiles {low:.0%} to {high:.0%}"
    print(f"\n{kind}, jobs of {milliseconds:g} ms: {middle:.0%} of {workers} matmul processes ({spread})", flush=True)
    shutil.rmtree(folder)


def _job(kind: str, times: int, folder: Path) -> partial[Record]:
    return partial(score, times=times) if kind == "score" else partial(record, times=times, folder=folder / "maps")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def open_results(rows: int) -> None:
    """Writes a table of results, and opens it as the page of runs does."""
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        table = pd.DataFrame({
            "arch_id": np.arange(rows) % 423_624,
            "trial": np.arange(rows) // 423_624,
            "method": np.array(["auto", "random"])[np.arange(rows) % 2],
            "mean": draw.normal(90, 3, rows).astype(np.float32),
            "truth": draw.normal(90, 3, rows).astype(np.float32),
        })  # fmt: skip
        table.to_parquet(path, index=False)
        seconds = []
        for _ in range(3):
            start, cpu = time.perf_counter(), time.process_time()
            found = load_table(path)
            seconds.append(f"{time.perf_counter() - start:.2f} s ({time.process_time() - cpu:.2f} s of processor time)")
        size = path.stat().st_size / 1e6
        print(f"\nopen: {len(found)} rows of {found.shape[1]} columns, {size:.0f} MB: " + ", ".join(seconds))


def interrupt(workers: int, parent: Path | None) -> None:
    """Stops a run of train.py by Ctrl-C, as a terminal does it, and measures until its process has ended."""
    folder = Path(tempfile.mkdtemp(prefix="foretrain-scale-", dir=parent))
    root = Path(__file__).parent.parent
    options = ["experiment=search", "benchmark=digits201", "runs=5000", f"parallel.workers={workers}"]
    command = [sys.executable, "-W", "ignore", str(root / "train.py"), *options, f"run_dir={folder / 'run'}"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a background job ignore it else
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, cwd=folder, text=True)
    signal.signal(signal.SIGINT, before)
    while len(list(folder.rglob("*.json"))) < 3 * workers and process.poll() is None:
        time.sleep(0.1)
    start = time.perf_counter()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    seconds = time.perf_counter() - start
    hint = "goes on" in errors
    print(
        f"\ninterrupted with {workers} workers: {seconds:.2f} s, exit code {process.returncode}, hint: {hint}",
        flush=True,
    )
    shutil.rmtree(folder)


JOBS = {
    "scoring with 15 proxies, 8 networks a job": (3.0, 0.4, 8),
    "recording for 12 epochs": (1925 / 9, 0.45, 1),
    "recording for 108 epochs": (1925, 0.45, 1),
}
"""Mean seconds of a network, standard deviation of their logarithm, networks in a job.

The first is what bench/proxies.py measures on one core, the others are the training times that NAS-Bench-101 publishes
for 108 epochs (30,001 of its networks; mean 1925 s, standard deviation of the logarithm .45).
"""


def plan(dispatch: float, write: float) -> None:
    """Prints how long 15,625 and 423,624 networks take on 8 and 64 GPUs: a simulation of the map's queue.

    Args:
        dispatch: Seconds that the one dispatching process needs for a job.
        write: Seconds that the writing of a job's results takes.
    """
    draw = np.random.default_rng(0)
    print("\n| networks | what | jobs | GPUs | workers | hours | workers busy | records a second |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for networks, (name, (mean, spread, block)), gpus in product((15_625, 423_624), JOBS.items(), (8, 64)):
        logarithms = draw.normal(np.log(mean) - spread**2 / 2, spread, networks)
        padded = np.append(np.exp(logarithms), np.zeros(-networks % block))
        jobs = padded.reshape(-1, block).sum(axis=1) + write
        hours, busy = simulate(jobs, gpus, dispatch)
        rate = len(jobs) / hours / 3600
        print(f"| {networks} | {name} | {len(jobs)} | {gpus} | {gpus} | {hours:.1f} | {busy:.1%} | {rate:.2g} |")


def simulate(jobs: np.ndarray, workers: int, dispatch: float) -> tuple[float, float]:
    """Hours until the last job ends, and the share of their time that workers work.

    One process hands a job to each worker that is free and takes ``dispatch`` seconds for each.
    """
    free = [0.0] * workers
    now = 0.0
    for seconds in jobs:
        now = max(now, heapq.heappop(free)) + dispatch
        heapq.heappush(free, now + seconds)
    end = max(free)
    return end / 3600, float(jobs.sum() / (workers * end))


def main() -> None:
    """Runs the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["score", "record", "efficiency", "open", "interrupt", "plan"])
    parser.add_argument("--share", type=float, default=1.0, help="share of the 15,625 and 10,000 jobs")
    parser.add_argument("--milliseconds", type=float, default=100.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dispatch", type=float, default=0.002, help="seconds of the dispatching process for a job")
    parser.add_argument("--write", type=float, default=0.01, help="seconds that the results of a job take to write")
    options = parser.parse_args()
    for kind, count in (("score", 15_625), ("record", 10_000)):
        if kind in options.parts:
            load(kind, round(count * options.share), options.workers, options.folder)
        if "efficiency" in options.parts:
            efficiency(kind, options.milliseconds, options.workers, options.folder)
    if "open" in options.parts:
        open_results(10_000_000)
    if "interrupt" in options.parts:
        for workers in (1, options.workers, 1, options.workers):
            interrupt(workers, options.folder)
    if "plan" in options.parts:
        plan(options.dispatch, options.write)


if __name__ == "__main__":
    main()
