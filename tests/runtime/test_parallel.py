"""The parallel map: finished items are kept, results do not depend on the number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch

from foretrain.errors import DataError, ItemsFailedError
from foretrain.runtime.engines.base import Engine, Pool, Resources
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


class Scripted(Engine):
    """A place that takes one job at a time and does it at once, after a wait, or never, as its items' names say."""

    def __init__(self, waits: int = 0) -> None:
        self.waits = waits
        self.asked: list[str] = []
        self.stopped: list[str] = []

    @contextmanager
    def open(self, resources: Resources):
        yield ScriptedPool(self)


class ScriptedPool(Pool):
    slots = 2

    def __init__(self, engine: Scripted) -> None:
        self.engine = engine
        self.keys: dict[Future, str] = {}

    def submit(self, function, key, item):
        self.engine.asked.append(key)
        if any(not future.done() for future in self.keys):
            return None
        future: Future = Future()
        self.keys[future] = key
        self.later = partial(function, key, item)
        if key == "unsendable":
            future.set_exception(TypeError("cannot pickle this"))
        elif not key.startswith("never") and self.engine.waits <= 0:
            future.set_result(self.later())
        return future

    def waits(self, future):
        self.engine.waits -= 1
        if self.engine.waits == 0:
            future.set_result(self.later())
        return self.engine.waits > 0

    def stop(self, future):
        self.engine.stopped.append(self.keys.pop(future))


def test_a_place_without_room_is_asked_again_and_what_it_never_does_is_given_up(tmp_path):
    engine = Scripted()
    items = dict.fromkeys(["never", "a", "b", "unsendable"], 1)
    with pytest.raises(ItemsFailedError) as failed:
        ParallelMap(attempts=2, item_seconds=0.1, engine=engine)(fail_on_two, items, tmp_path, "trying")
    assert "2 items failed" in str(failed.value)
    assert "never: given up after 2 attempts: it took longer than 0.1 seconds" in str(failed.value)
    assert "unsendable: Traceback" in str(failed.value)
    assert "cannot pickle this" in str(failed.value)
    assert engine.stopped == ["never", "never"]
    assert engine.asked.count("a") > 1
    assert {path.stem for path in tmp_path.glob("*.json")} == {"a", "b"}


def test_time_in_a_queue_is_not_the_item_s_own(tmp_path):
    engine = Scripted(waits=3)
    ParallelMap(attempts=1, item_seconds=0.01, engine=engine)(fail_on_two, {"a": 1}, tmp_path, "waiting")
    assert engine.waits == 0
    assert not engine.stopped


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        ParallelMap(workers=1)(fail_on_two, {"a": 1}, tmp_path / "file" / "records", "writing")
