"""Tasks of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from foretrain.errors import ConfigError
from foretrain.runtime.engines.base import EXTRA, Engine, Pool, Resources, WorkerLostError, call, settle
from foretrain.runtime.engines.machine import shares
from foretrain.runtime.extras import import_extra


class Ray(Engine):
    """Tasks of Ray, on this machine or on a running cluster.

    Args:
        address: Of the cluster, e.g. ``auto`` on one of its machines; None starts Ray on this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    @contextmanager
    def open(self, resources: Resources) -> Iterator[Pool]:
        """Gives the pool; Ray ends with it where it was started for it.

        Raises:
            ConfigError: Ray is not installed, or the cluster is not reached.
        """
        ray = import_extra("ray", EXTRA)
        started = not ray.is_initialized()
        if started:
            self._start(ray, resources)
        pool = _RayPool(ray, resources)
        try:
            yield pool
        finally:
            pool.close()
            if started:
                ray.shutdown()

    def _start(self, ray: Any, resources: Resources) -> None:  # noqa: ANN401 - an optional package
        cores = None
        if self.address is None and resources.workers is not None:
            cores = resources.workers * resources.threads
        try:
            ray.init(
                address=self.address or "local",
                num_cpus=cores,
                include_dashboard=False if self.address is None else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError("parallel.engine.address", f"no Ray there ({error})", self.address) from error


class _RayPool(Pool):
    def __init__(self, ray: Any, resources: Resources) -> None:  # noqa: ANN401 - an optional package
        self._ray = ray
        self._resources = resources
        self._references: dict[Future[Any], Any] = {}
        options = {"num_cpus": resources.threads, "num_gpus": resources.gpus, "max_retries": 0}
        self._remote = ray.remote(**options)(call)
        lost = ray.exceptions
        self._lost = (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.LocalRayletDiedError)

    @property
    def slots(self) -> int:
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self._resources.threads)
        if self._resources.gpus:
            room = min(room, shares(there.get("GPU", 0), self._resources.gpus))
        return max(1, room if self._resources.workers is None else min(room, self._resources.workers))

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        reference = self._remote.remote(function, *arguments)
        outer: Future[Any] = Future()
        self._references[outer] = reference
        reference.future().add_done_callback(lambda done: self._pass_on(done, outer))
        return outer

    def stop(self, future: Future[Any]) -> None:
        if (reference := self._references.pop(future, None)) is not None:
            self._ray.cancel(reference, force=True)

    def close(self) -> None:
        for future in list(self._references):
            self.stop(future)

    def _pass_on(self, done: Future[Any], outer: Future[Any]) -> None:
        self._references.pop(outer, None)
        error = done.exception()
        if isinstance(error, self._lost):
            outer.set_exception(WorkerLostError(str(error).splitlines()[0]))
        else:
            settle(outer, error, done)
