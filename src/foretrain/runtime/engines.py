"""Where independent jobs run: processes of this machine, Ray, Dask, or a cluster's own scheduler through submitit.

An engine hands out a pool of workers for one set of jobs. All pools speak in futures; a worker that dies takes the one
job that it had with it, which its future tells by :class:`WorkerLostError`. Who does that job again is decided in
:mod:`foretrain.runtime.parallel`, the same way for all engines.
"""

from __future__ import annotations

import math
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.runtime.extras import import_extra

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_DEVICES = "CUDA_VISIBLE_DEVICES"
_IDLE_SECONDS = 60
_CLUSTER = "cluster"


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
    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Starts a job; at most :attr:`slots` are ever given at a time."""

    @abstractmethod
    def stop(self, future: Future[Any]) -> None:
        """Gives a running job up; where the engine can, its process is ended."""


class Engine(ABC):
    """A place where jobs run."""

    @abstractmethod
    def open(self, resources: Resources) -> Any:  # noqa: ANN401 - a context manager of a Pool
        """Returns a context manager that gives a :class:`Pool` and ends all that still runs in it at its end."""


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
        count = _local_workers(resources)
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
            self._slots[key] = _Slot(_environment(number, resources))
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
            _settle(outer, error, done)


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
        ray = import_extra("ray", _CLUSTER)
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
        self._remote = ray.remote(**options)(_call)
        lost = ray.exceptions
        self._lost = (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.LocalRayletDiedError)

    @property
    def slots(self) -> int:
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self._resources.threads)
        if self._resources.gpus:
            room = min(room, _shares(there.get("GPU", 0), self._resources.gpus))
        return max(1, room if self._resources.workers is None else min(room, self._resources.workers))

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        reference = self._remote.remote(function, *arguments)
        outer: Future[Any] = Future()
        self._references[outer] = reference
        reference.future().add_done_callback(lambda done: self._pass_on(done, outer))
        return outer

    def stop(self, future: Future[Any]) -> None:
        self._ray.cancel(self._references.pop(future), force=True)

    def close(self) -> None:
        for future in list(self._references):
            self.stop(future)

    def _pass_on(self, done: Future[Any], outer: Future[Any]) -> None:
        self._references.pop(outer, None)
        error = done.exception()
        if isinstance(error, self._lost):
            outer.set_exception(WorkerLostError(str(error).splitlines()[0]))
        else:
            _settle(outer, error, done)


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
        distributed = import_extra("distributed", _CLUSTER)
        if self.address is None:
            count = _local_workers(resources)
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
        task = self._client.submit(_call, function, *arguments, **self._options)
        outer: Future[Any] = Future()
        self._tasks[outer] = task
        task.add_done_callback(lambda done: self._pass_on(done, outer))
        return outer

    def stop(self, future: Future[Any]) -> None:
        """Forgets the task; Dask cannot end a running one, whose late result changes nothing."""
        self._tasks.pop(future).cancel(force=True)

    def _pass_on(self, done: Any, outer: Future[Any]) -> None:  # noqa: ANN401 - a future of Dask
        if self._tasks.pop(outer, None) is None:
            return
        error = done.exception() if done.status == "error" else None
        if isinstance(error, self._lost):
            outer.set_exception(WorkerLostError("its workers were killed or ran out of memory"))
        elif error is None and done.status != "finished":
            outer.set_exception(WorkerLostError(f"the task was {done.status}"))
        else:
            _settle(outer, error, done)


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
        submitit = import_extra("submitit", _CLUSTER)
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
        self._jobs[future] = self._executor.submit(_call, function, *arguments)
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


def _settle(outer: Future[Any], error: BaseException | None, done: Any) -> None:  # noqa: ANN401 - an engine's future
    """Tells a pool's future how the engine's own one ended."""
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(done.result())


def _call(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - any result
    """Calls: engines that look into the function they are given find nothing odd in this one."""
    return function(*arguments)


def _local_workers(resources: Resources) -> int:
    """The number of workers on this machine."""
    room = None
    if resources.gpus:
        devices = _visible_devices()
        room = _shares(len(devices), resources.gpus)
        if room < 1:
            problem = f"this machine has {len(devices)} GPUs"
            raise ConfigError("parallel.gpus", problem, resources.gpus, f"at most {len(devices)}")
    if resources.workers is not None:
        return min(resources.workers, room or resources.workers)
    return room or max(1, int(joblib.cpu_count()) // resources.threads)


def _shares(devices: float, share: float) -> int:
    """How many jobs fit: several on one GPU, or several GPUs for one job, never two halves of two GPUs."""
    return int(devices) * math.floor(1 / share + 1e-9) if share < 1 else int(devices // math.ceil(share))


def _environment(number: int, resources: Resources) -> dict[str, str]:
    """The variables of worker ``number``: its threads and its GPUs."""
    variables = dict.fromkeys(_THREAD_VARIABLES, str(resources.threads))
    if resources.gpus:
        devices = _visible_devices()
        each = math.ceil(resources.gpus)
        first = number // _shares(1, resources.gpus) if resources.gpus < 1 else number * each
        variables[_DEVICES] = ",".join(devices[first : first + each])
    return variables


def _visible_devices() -> list[str]:
    """The names of the GPUs that this process may use."""
    if (named := os.environ.get(_DEVICES)) is not None:
        return [name for name in named.split(",") if name]
    import torch  # noqa: PLC0415 - seconds, for those with GPUs only

    return [str(number) for number in range(torch.cuda.device_count())]
