"""Tasks of Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from foretrain.errors import ConfigError
from foretrain.runtime.engines.base import EXTRA, Engine, Pool, Resources, WorkerLostError, call, settle
from foretrain.runtime.engines.machine import local_workers
from foretrain.runtime.extras import import_extra


class Dask(Engine):
    """Tasks of Dask, on this machine or on a running cluster.

    A share of a GPU is Dask's abstract resource ``GPU``, which the workers of a cluster are started with
    (``dask worker --resources GPU=1``).

    Args:
        address: Of the scheduler, e.g. ``tcp://head:8786``; None starts a cluster on this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    @contextmanager
    def open(self, resources: Resources) -> Iterator[Pool]:
        """Gives the pool; a cluster that was started for it ends with it.

        Raises:
            ConfigError: Dask is not installed, or the scheduler is not reached.
        """
        distributed = import_extra("distributed", EXTRA)
        if self.address is None:
            count = local_workers(resources)
            options = {"resources": {"GPU": resources.gpus}} if resources.gpus else {}
            with (
                distributed.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs="CRITICAL",
                    **options,
                ) as cluster,
                distributed.Client(cluster) as client,
            ):
                yield _DaskPool(distributed, client, resources)
            return
        try:
            client = distributed.Client(self.address)
        except (OSError, ValueError) as error:
            raise ConfigError("parallel.engine.address", f"no Dask scheduler there ({error})", self.address) from error
        with client:
            yield _DaskPool(distributed, client, resources)


class _DaskPool(Pool):
    def __init__(self, distributed: Any, client: Any, resources: Resources) -> None:  # noqa: ANN401 - optional package
        self._client = client
        self._workers = resources.workers
        self._options = {"pure": False, "resources": {"GPU": resources.gpus} if resources.gpus else None}
        self._lost = (distributed.scheduler.KilledWorker,)
        self._tasks: dict[Future[Any], Any] = {}

    @property
    def slots(self) -> int:
        room = int(sum(self._client.nthreads().values()))
        return max(1, room if self._workers is None else min(room, self._workers))

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        task = self._client.submit(call, function, *arguments, **self._options)
        outer: Future[Any] = Future()
        self._tasks[outer] = task
        task.add_done_callback(lambda done: self._pass_on(done, outer))
        return outer

    def stop(self, future: Future[Any]) -> None:
        """Starts the task's worker anew, if it has a nanny to do so; else it is forgotten, and may come to its end."""
        if (task := self._tasks.pop(future, None)) is None:
            return
        busy = [worker for worker, keys in self._client.processing().items() if task.key in keys]
        task.cancel(force=True)
        if busy:
            with suppress(ValueError):
                self._client.restart_workers(busy, raise_for_error=False)

    def _pass_on(self, done: Any, outer: Future[Any]) -> None:  # noqa: ANN401 - a future of Dask
        if self._tasks.pop(outer, None) is None:
            return
        error = done.exception() if done.status == "error" else None
        if isinstance(error, self._lost):
            outer.set_exception(WorkerLostError("its workers were killed or ran out of memory"))
        elif error is None and done.status != "finished":
            outer.set_exception(WorkerLostError(f"the task was {done.status}"))
        else:
            settle(outer, error, done)
