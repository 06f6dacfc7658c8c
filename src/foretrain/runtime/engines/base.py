"""What every engine is: it hands out a pool of workers for one set of jobs.

All pools speak in futures; a worker that dies takes the one job that it had with it, which its future tells by
:class:`WorkerLostError`. Who does that job again is decided in :mod:`foretrain.runtime.parallel`, the same way for all
engines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXTRA = "cluster"
"""The extra that installs the engines which are packages of their own."""


class WorkerLostError(Exception):
    """The process that ran a job is gone: killed, out of memory, or its machine is."""


@dataclass(frozen=True)
class Resources:
    """What a set of jobs may use.

    Attributes:
        workers: Jobs at the same time; None: as many as the engine has room for.
        threads: Threads (cores) of each job.
        gpus: GPUs of each job; a fraction lets several jobs share one, 0 leaves the visible GPUs to all.
        logs: Folder for what an engine writes about its jobs.
    """

    workers: int | None
    threads: int
    gpus: float
    logs: Path


class Pool(ABC):
    """Workers of an engine, as long as a set of jobs runs."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Jobs that have room at the same time; it may change while a cluster grows or shrinks."""

    @abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any] | None:
        """Starts a job; at most :attr:`slots` are ever given at a time. None: there is no room now."""

    def waits(self, future: Future[Any]) -> bool:
        """Whether a job is still in a scheduler's queue, which is not its own time."""
        return False

    @abstractmethod
    def stop(self, future: Future[Any]) -> None:
        """Gives a running job up; where the engine can, its process is ended."""


class Engine(ABC):
    """A place where jobs run."""

    @abstractmethod
    def open(self, resources: Resources) -> Any:  # noqa: ANN401 - a context manager of a Pool
        """Returns a context manager that gives a :class:`Pool` and ends all that still runs in it at its end."""


def settle(outer: Future[Any], error: BaseException | None, done: Any) -> None:  # noqa: ANN401 - an engine's future
    """Tells a pool's future how the engine's own one ended."""
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(done.result())


def call(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - any result
    """Calls: engines that look into the function they are given find nothing odd in this one."""
    return function(*arguments)
