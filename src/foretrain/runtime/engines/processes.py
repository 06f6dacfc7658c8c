"""Processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor

from foretrain.runtime.engines.base import Engine, Pool, Resources, WorkerLostError, settle
from foretrain.runtime.engines.machine import environment, local_workers

_IDLE_SECONDS = 60


class Processes(Engine):
    """Processes of this machine, each with a pool of its own, so that the death of one does not touch the others.

    With GPUs, worker k sees only its own (``CUDA_VISIBLE_DEVICES``); with a share of 0.25 the first four workers see
    the first GPU. Workers stay for a minute, for the next set of jobs.
    """

    def __init__(self) -> None:
        self._slots: dict[tuple[int, int, float], _Slot] = {}

    @contextmanager
    def open(self, resources: Resources) -> Iterator[Pool]:
        """Gives the pool; an interruption ends its processes.

        Raises:
            ConfigError: There are not so many GPUs.
        """
        count = local_workers(resources)
        slots = [self._slot(number, resources) for number in range(count)]
        pool = _ProcessPool(slots)
        try:
            yield pool
        finally:
            for slot in slots:
                if slot.busy:
                    slot.kill()

    def _slot(self, number: int, resources: Resources) -> _Slot:
        key = (number, resources.threads, resources.gpus)
        if key not in self._slots:
            self._slots[key] = _Slot(environment(number, resources))
        return self._slots[key]


class _Slot:
    """One worker process, started anew where it is gone."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._executor: ProcessPoolExecutor | None = None
        self.future: Future[Any] | None = None

    @property
    def busy(self) -> bool:
        return self.future is not None and not self.future.done()

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        try:
            inner = self._started().submit(function, *arguments)
        except BrokenProcessPool:  # it died after its last job
            self._executor = None
            inner = self._started().submit(function, *arguments)
        self.future = Future()
        inner.add_done_callback(lambda done, outer=self.future: self._pass_on(done, outer))
        return self.future

    def kill(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, kill_workers=True)
            self._executor = None

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(max_workers=1, timeout=_IDLE_SECONDS, env=self._environment)
        return self._executor

    def _pass_on(self, done: Future[Any], outer: Future[Any]) -> None:
        error = done.exception() if not done.cancelled() else BrokenProcessPool("stopped")
        if isinstance(error, BrokenProcessPool):
            self._executor = None
            outer.set_exception(WorkerLostError("its process was killed or ran out of memory"))
        else:
            settle(outer, error, done)


class _ProcessPool(Pool):
    def __init__(self, slots: list[_Slot]) -> None:
        self._slots = slots

    @property
    def slots(self) -> int:
        return len(self._slots)

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        return next(slot for slot in self._slots if not slot.busy).submit(function, *arguments)

    def stop(self, future: Future[Any]) -> None:
        for slot in self._slots:
            if slot.future is future:
                slot.kill()
                slot.future = None
