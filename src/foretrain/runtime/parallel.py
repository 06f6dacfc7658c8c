"""One parallel map for many independent jobs, whose finished items are on disk at once."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from filelock import FileLock, Timeout
from pydantic import Field
from rich.console import Console

from foretrain.errors import DataError, ForetrainError, ItemsFailedError
from foretrain.runtime.engines.base import Engine, Pool, Resources, WorkerLostError
from foretrain.runtime.engines.processes import Processes
from foretrain.runtime.files import read_json, remove_leftovers, write_json
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.ranks import rank

Item = TypeVar("Item")
Record = dict[str, Any]
_Job = Callable[[str, Any], str | None]
_SHOWN_FAILURES = 3
_SECONDS_BETWEEN_LOOKS = 0.5


class ParallelMap:
    """Applies a function to every item, somewhere, and keeps each result on disk.

    An item's result is a flat record of primitives, written as ``<folder>/<key>.json`` the moment it is finished. A
    call with the same folder runs only the items that have no such file, or a damaged one: that is how an interrupted
    job goes on. An item may thus run twice; its record, written whole, is the same then. Every worker computes with
    ``threads`` threads, also when there is one worker only, so the results do not depend on the number of workers or
    on where they are.

    A worker that dies costs the item that it had: this one is tried again in another worker.

    Args:
        workers: Jobs at the same time; None takes one per available core (or as many as the cluster has room for).
        threads: Threads of each job.
        gpus: GPUs of each job; with 0.25, four jobs share one. With 0 each job sees all there are.
        attempts: An item that lost its worker, or took longer than ``item_seconds``, is tried so many times in all.
        item_seconds: An item that takes longer, not counting its time in a scheduler's queue, is stopped; None: no
            limit.
        engine: Where the jobs run; None: processes of this machine. Workers on other machines need the folder, and
            what the function reads, under the same path.
    """

    def __init__(
        self,
        workers: Annotated[int, Field(ge=1)] | None = None,
        threads: Annotated[int, Field(ge=1)] = 1,
        gpus: Annotated[float, Field(ge=0)] = 0.0,
        attempts: Annotated[int, Field(ge=1)] = 3,
        item_seconds: Annotated[float, Field(gt=0)] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.workers = workers
        self.threads = threads
        self.gpus = gpus
        self.attempts = attempts
        self.item_seconds = item_seconds
        self.engine = engine or Processes()

    def __call__(
        self,
        function: Callable[[Item], Record],
        items: Mapping[str, Item],
        folder: str | Path,
        description: str,
    ) -> dict[str, Record]:
        """Runs what is missing and returns the records of all items, in the order of ``items``.

        Of several processes that work on one run, the first one does this and the others wait for its records; of
        several runs that share the folder (of a recording), the second waits for the first.

        Args:
            function: Importable (picklable) function of one item; larger results it writes itself, atomically,
                before it returns.
            items: The items by key; keys are file names.
            folder: Where the records are kept.
            description: Text beside the progress bar.

        Raises:
            ItemsFailedError: Some items failed; the others are finished and kept, calling again tries only the rest.
        """
        folder = Path(folder).resolve()
        if rank() > 0:
            return _wait_for(items, folder)
        with _alone_in(folder, description):
            records = _finished(items, folder)
            missing = {key: item for key, item in items.items() if key not in records}
            failures = self._run_all(function, missing, folder, description, done=len(records))
            if failures:
                raise ItemsFailedError(_describe(failures, description, folder))
            remove_leftovers(folder)
        return {key: records[key] if key in records else read_json(_path(folder, key)) for key in items}

    def _run_all(
        self, function: Callable[[Item], Record], items: Mapping[str, Item], folder: Path, description: str, done: int
    ) -> dict[str, str]:
        """Runs the items; returns what is to be said about those that failed."""
        failures: dict[str, str] = {}
        job = partial(_run_item, function, folder, self.threads, Path.cwd())
        with progress_bar(description, total=done + len(items), done=done) as advance:
            for key, failure in self._outcomes(job, items, folder):
                if failure is not None:
                    failures[key] = failure
                advance()
        return failures

    def _outcomes(self, job: _Job, items: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str | None]]:
        """Yields (key, failure or None) as the items finish."""
        if not items:
            return
        if self._in_this_process():
            yield from ((key, job(key, item)) for key, item in items.items())
            return
        workers = self.workers if self.workers is None else min(self.workers, len(items))
        resources = Resources(workers, self.threads, self.gpus, folder / ".jobs")
        with self.engine.open(resources) as pool:
            yield from _Dispatch(pool, job, items, self.attempts, self.item_seconds).outcomes()

    def _in_this_process(self) -> bool:
        """One worker on this machine is this process, unless its items must be stopped or bound to a GPU."""
        local = isinstance(self.engine, Processes) and self.workers == 1
        return local and self.item_seconds is None and not self.gpus


class _Dispatch:
    """Hands items to the workers of a pool, one each, and those of lost workers to others."""

    def __init__(
        self, pool: Pool, job: _Job, items: Mapping[str, Any], attempts: int, item_seconds: float | None
    ) -> None:
        self._pool = pool
        self._job = job
        self._items = items
        self._attempts = attempts
        self._item_seconds = item_seconds
        self._waiting = deque(items)
        self._running: dict[Future[str | None], tuple[str, float]] = {}
        self._losses: dict[str, int] = {}

    def outcomes(self) -> Iterator[tuple[str, str | None]]:
        """Yields (key, failure or None) as the items finish."""
        while self._waiting or self._running:
            self._fill()
            done, _ = wait(self._running, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
            ended = [(self._running.pop(future)[0], future) for future in done]
            for key, future in ended:
                try:
                    yield key, future.result()
                except WorkerLostError as loss:
                    yield from self._again(key, str(loss))
                except Exception:  # noqa: BLE001 - an item that cannot be sent to a worker must not end the others
                    yield key, traceback.format_exc()
            yield from self._stop_stragglers()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._pool.slots:
            key = self._waiting[0]
            future = self._pool.submit(self._job, key, self._items[key])
            if future is None:
                return
            self._running[future] = (self._waiting.popleft(), time.monotonic())

    def _stop_stragglers(self) -> Iterator[tuple[str, str | None]]:
        if self._item_seconds is None:
            return
        now = time.monotonic()
        self._running |= {future: (key, now) for future, (key, _) in self._running.items() if self._pool.waits(future)}
        late = [future for future, (_, start) in self._running.items() if now - start > self._item_seconds]
        for future in late:
            if not future.done():
                key, _ = self._running.pop(future)
                self._pool.stop(future)
                yield from self._again(key, f"it took longer than {self._item_seconds:g} seconds")

    def _again(self, key: str, why: str) -> Iterator[tuple[str, str | None]]:
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] < self._attempts:
            self._waiting.append(key)
        else:
            yield key, f"given up after {self._attempts} attempts: {why}"


def _run_item(
    function: Callable[[Any], Record],
    folder: Path,
    threads: int,
    home: Path,
    key: str,
    item: Any,  # noqa: ANN401 - anything picklable
) -> str | None:
    """Runs one item with its number of threads and writes its record; an error comes back as text.

    What is raised on purpose says all in its message, everything else comes with its traceback. Workers of a cluster
    start somewhere else: relative paths are those of the working folder at ``home``.
    """
    if Path.cwd() != home:
        os.chdir(home)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        write_json(_path(folder, key), function(item))
    except ForetrainError as error:
        return str(error)
    except Exception:  # noqa: BLE001 - one bad item must not end the others
        return traceback.format_exc()
    finally:
        torch.set_num_threads(threads_before)
    return None


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"


def _finished(keys: Iterable[str], folder: Path) -> dict[str, Record]:
    """The records that are there and whole."""
    records = {}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for key in keys:
        if f"{key}.json" in there:
            with contextlib.suppress(DataError):
                records[key] = read_json(_path(folder, key))
    return records


@contextlib.contextmanager
def _alone_in(folder: Path, description: str) -> Iterator[None]:
    """Waits until no other process works on the folder; its end, however it comes, lets go of it."""
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except OSError as error:
        if not isinstance(error, Timeout):
            raise DataError(folder, f"cannot be written ({error})", "Choose another folder") from error
        Console(file=sys.stderr).print(f"{description}: another run works in {folder}, waiting for it", soft_wrap=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _wait_for(keys: Iterable[str], folder: Path) -> dict[str, Record]:
    """The records that another process writes; it takes this one along when it fails."""
    keys = list(keys)
    while len(records := _finished(keys, folder)) < len(keys):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return records


def _describe(failures: Mapping[str, str], description: str, folder: Path) -> str:
    shown = "\n\n".join(f"{key}: {text}" for key, text in list(failures.items())[:_SHOWN_FAILURES])
    return (
        f"{description}: {len(failures)} items failed, the others are kept in {folder}; run the same command again to "
        f"retry the failed ones. The first of them:\n\n{shown}"
    )
