"""Jobs of a cluster's scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Annotated, Any

import joblib
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.runtime.engines.base import EXTRA, Engine, Pool, Resources, WorkerLostError, call
from foretrain.runtime.extras import import_extra


class Submitit(Engine):
    """Jobs of a cluster's scheduler (Slurm), one an item, through submitit.

    Args:
        cluster: ``slurm``, or ``local`` for processes of this machine that behave like its jobs.
        minutes: Time limit of a job.
        poll_seconds: Seconds between looks at the jobs.
        options: Further parameters of ``submitit.AutoExecutor.update_parameters``, such as ``slurm_partition``,
            ``slurm_account`` or ``mem_gb``.
    """

    def __init__(
        self,
        cluster: str = "slurm",
        minutes: Annotated[int, Field(ge=1)] = 1440,
        poll_seconds: Annotated[float, Field(gt=0)] = 5.0,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.cluster = cluster
        self.minutes = minutes
        self.poll_seconds = poll_seconds
        self.options = options or {}

    @contextmanager
    def open(self, resources: Resources) -> Iterator[Pool]:
        """Gives the pool; jobs that still run at its end are cancelled.

        Raises:
            ConfigError: submitit is not installed, the cluster is not known, or a job is to have a part of a GPU.
        """
        submitit = import_extra("submitit", EXTRA)
        if resources.gpus != int(resources.gpus):
            raise ConfigError("parallel.gpus", "a scheduler's job has whole GPUs", resources.gpus, "0, 1, 2, ...")
        pool = _SubmititPool(submitit, self._executor(submitit, resources), resources, self.poll_seconds)
        try:
            yield pool
        finally:
            pool.close()

    def _executor(self, submitit: Any, resources: Resources) -> Any:  # noqa: ANN401 - an optional package
        try:
            executor = submitit.AutoExecutor(resources.logs, cluster=self.cluster)
            executor.update_parameters(
                timeout_min=self.minutes,
                cpus_per_task=resources.threads,
                gpus_per_node=int(resources.gpus),
                **self.options,
            )
        except (ValueError, RuntimeError, NameError, TypeError) as error:
            raise ConfigError("parallel.engine", f"submitit refuses this ({error})", self.cluster) from error
        return executor


class _SubmititPool(Pool):
    """A thread looks at the jobs now and then and tells their futures."""

    def __init__(self, submitit: Any, executor: Any, resources: Resources, poll_seconds: float) -> None:  # noqa: ANN401
        self._errors = submitit.core.utils
        self._executor = executor
        self._count = resources.workers or int(joblib.cpu_count())
        self._jobs: dict[Future[Any], Any] = {}
        self._closed = threading.Event()
        self._poll_seconds = poll_seconds
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._poller.start()

    @property
    def slots(self) -> int:
        return self._count

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs[future] = self._executor.submit(call, function, *arguments)
        return future

    def stop(self, future: Future[Any]) -> None:
        self._jobs.pop(future).cancel()

    def close(self) -> None:
        self._closed.set()
        self._poller.join()
        for future in list(self._jobs):
            self.stop(future)

    def _poll(self) -> None:
        while not self._closed.wait(self._poll_seconds):
            for future, job in list(self._jobs.items()):
                if job.done() and self._jobs.pop(future, None) is not None:
                    self._finish(future, job)

    def _finish(self, future: Future[Any], job: Any) -> None:  # noqa: ANN401 - a job of submitit
        try:
            future.set_result(job.result())
        except self._errors.UncompletedJobError as error:
            future.set_exception(WorkerLostError(str(error).splitlines()[0]))
        except Exception as error:  # noqa: BLE001 - whatever it was, it belongs to this job
            future.set_exception(error)
