"""The parallel map: finished items are kept, results do not depend on the number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from foretrain.errors import DataError, ItemsFailedError
from foretrain.runtime.files import write_json
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.seeding import make_generator


def draw(item):
    seed, threads_log = item
    with Path(threads_log).open("a") as log:
        log.write(f"{torch.get_num_threads()}\n")
    return {"value": torch.randn(3, generator=make_generator(seed, "draw")).tolist()}


def fail_on_two(item):
    if item == 2:
        raise ValueError("two is bad")
    return {"value": item}


def find_no_file(item):
    raise DataError("table.csv", "no such file", "Check the path")


def test_results_do_not_depend_on_the_number_of_workers(tmp_path):
    log = tmp_path / "threads"
    items = {f"item-{seed}": (seed, str(log)) for seed in range(6)}
    one = ParallelMap(workers=1)(draw, items, tmp_path / "one", "drawing")
    two = ParallelMap(workers=2)(draw, items, tmp_path / "two", "drawing")
    assert one == two
    assert list(one) == list(items)
    assert len({tuple(record["value"]) for record in one.values()}) == 6
    assert set(log.read_text().split()) == {"1"}


def test_only_missing_items_are_run(tmp_path):
    items = {"a": 0, "b": 1}
    ParallelMap(workers=1)(fail_on_two, items, tmp_path, "first")
    before = (tmp_path / "a.json").stat().st_mtime_ns
    records = ParallelMap(workers=1)(fail_on_two, items | {"c": 3}, tmp_path, "again")
    assert (tmp_path / "a.json").stat().st_mtime_ns == before
    assert records["c"] == {"value": 3}


def test_a_failed_item_is_reported_and_the_others_are_kept(tmp_path):
    with pytest.raises(ItemsFailedError, match="1 items failed") as caught:
        ParallelMap(workers=2)(fail_on_two, {"b": 1, "c": 2, "d": 3}, tmp_path, "working")
    assert "two is bad" in str(caught.value)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["b.json", "d.json"]


def test_an_error_for_the_user_is_told_without_its_traceback(tmp_path):
    with pytest.raises(ItemsFailedError, match=r"a: table.csv: no such file. Check the path$") as caught:
        ParallelMap(workers=1)(find_no_file, {"a": 0}, tmp_path, "working")
    assert "Traceback" not in str(caught.value)


def test_a_killed_map_goes_on_with_what_is_missing(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from foretrain.runtime.parallel import ParallelMap

        def slow(item):
            time.sleep(0.2)
            return {"value": item}

        ParallelMap(workers=1)(slow, {f"i{k}": k for k in range(100)}, Path(sys.argv[1]), "slow")
        """)
    )
    job = subprocess.Popen([sys.executable, str(script), str(tmp_path / "out")])
    while len(list((tmp_path / "out").glob("i*.json"))) < 3:
        assert job.poll() is None
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    finished = {path.stem for path in (tmp_path / "out").glob("i*.json")}
    assert 3 <= len(finished) < 100
    calls: list[int] = []

    def record(item):
        calls.append(item)
        return {"value": item}

    records = ParallelMap(workers=1)(record, {f"i{k}": k for k in range(100)}, tmp_path / "out", "rest")
    assert len(calls) == 100 - len(finished)
    assert [entry["value"] for entry in records.values()] == list(range(100))


def test_the_other_processes_of_a_run_wait_for_the_records_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(ParallelMap(workers=1), fail_on_two, {"b": 1, "c": 3}, tmp_path, "waiting")
        write_json(tmp_path / "b.json", {"value": 10})
        assert not waiting.done()
        write_json(tmp_path / "c.json", {"value": 30})
        assert waiting.result(timeout=60) == {"b": {"value": 10}, "c": {"value": 30}}
