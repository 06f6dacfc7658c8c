"""Jobs of a cluster's scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import joblib
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.runtime.engines.base import EXTRA, Engine, Pool, Resources, WorkerLostError
from foretrain.runtime.engines.machine import THREAD_VARIABLES
from foretrain.runtime.extras import import_extra

_LOOKS_UNTIL_LOST = 3
"""A shared file system may show the result of a job some seconds after its end."""

_REFUSALS = 20
"""A scheduler that refuses a job so many times in a row will take no more."""


class Submitit(Engine):
    """Jobs of a cluster's scheduler (Slurm), one an item, through submitit.

    Args:
        cluster: ``slurm``, or ``local`` for processes of this machine that behave like its jobs.
        minutes: Time limit of a job; one that reaches it counts as a lost worker.
        poll_seconds: Seconds between looks at the jobs.
        options: Further parameters of ``submitit.AutoExecutor.update_parameters``, such as ``slurm_partition``,
            ``slurm_account`` or ``mem_gb``.
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"] = "slurm",
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
            ConfigError: submitit is not installed, there is no Slurm, it refuses the jobs, or a job is to have a part
                of a GPU.
        """
        submitit = import_extra("submitit", EXTRA)
        if resources.gpus != int(resources.gpus):
            raise ConfigError("parallel.gpus", "a scheduler's job has whole GPUs", resources.gpus, "0, 1, 2, ...")
        scheduler = _Slurm() if self.cluster == "slurm" else _Local()
        pool = _SubmititPool(self._executor(submitit, resources), scheduler, resources, self.poll_seconds)
        try:
            yield pool
        finally:
            pool.close()

    def _executor(self, submitit: Any, resources: Resources) -> Any:  # noqa: ANN401 - an optional package
        cores = resources.threads
        parameters = {
            "name": "foretrain",
            "timeout_min": self.minutes,
            "cpus_per_task": cores,
            "gpus_per_node": int(resources.gpus),
            "slurm_setup": [f"export {name}={cores}" for name in THREAD_VARIABLES],
            "slurm_srun_args": [f"--cpus-per-task={cores}"],  # since Slurm 22.05 srun does not ask sbatch for it
            "slurm_signal_delay_s": 1,  # nothing is to be saved before the end
        }
        try:
            executor = submitit.AutoExecutor(resources.logs, cluster=self.cluster)
            executor.update_parameters(**(parameters | self.options))
        except (ValueError, RuntimeError, NameError, TypeError) as error:
            raise ConfigError("parallel.engine", f"submitit refuses this ({error})", self.cluster) from error
        return executor


@dataclass(frozen=True)
class _State:
    """What a scheduler says about a job: its word for it, and whether that is before or after the job's time."""

    word: str
    waits: bool = False
    ended: bool = False


_UNKNOWN = _State("not seen yet", waits=True)


class _Scheduler(Protocol):
    """What is asked about jobs of submitit, and of whom."""

    def states(self, jobs: Iterable[Any]) -> dict[str, _State]:
        """Returns what is known about jobs, by their number."""

    def cancel(self, jobs: Iterable[Any]) -> None:
        """Ends jobs."""


class _Slurm:
    """Slurm's own commands.

    submitit asks ``sacct``, which needs an accounting database, and that every ten minutes at last.
    """

    _WAITS = ("PENDING", "CONFIGURING", "REQUEUED")
    _ENDED = (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
        *("REVOKED", "TIMEOUT"),
    )

    def states(self, jobs: Iterable[Any]) -> dict[str, _State]:
        """Returns the states of all jobs; Slurm forgets those that have ended after some minutes."""
        asked = ["squeue", "--me", "--states=all", "--noheader", "--format=%i %T"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
        if told.returncode:  # the controller does not answer at the moment
            return {}
        words = dict(line.split(maxsplit=1) for line in told.stdout.splitlines() if line.strip())
        now = {job.job_id: words.get(job.job_id, "COMPLETED") for job in jobs}
        return {number: _State(word, word in self._WAITS, word in self._ENDED) for number, word in now.items()}

    def cancel(self, jobs: Iterable[Any]) -> None:
        """Cancels the jobs at once; of those that have ended meanwhile it says nothing."""
        if numbers := [job.job_id for job in jobs]:
            subprocess.run(["scancel", "--quiet", *numbers], capture_output=True, check=False)  # noqa: S603, S607


class _Local:
    """Processes of this machine."""

    def states(self, jobs: Iterable[Any]) -> dict[str, _State]:
        """Returns the states of all jobs, which begin when they are submitted."""
        return {job.job_id: _State(job.state, ended=job.done()) for job in jobs}

    def cancel(self, jobs: Iterable[Any]) -> None:
        """Interrupts the processes."""
        for job in jobs:
            job.cancel()


class _SubmititPool(Pool):
    """A thread looks at the jobs now and then and tells their futures."""

    def __init__(self, executor: Any, scheduler: _Scheduler, resources: Resources, poll_seconds: float) -> None:  # noqa: ANN401
        self._executor = executor
        self._scheduler = scheduler
        self._logs = resources.logs
        self._count = resources.workers or int(joblib.cpu_count())
        self._most = self._count
        self._jobs: dict[Future[Any], Any] = {}
        self._taken = False
        self._refusals = 0
        self._states: dict[str, _State] = {}
        self._looks_in_vain: Counter[str] = Counter()
        self._closed = threading.Event()
        self._poll_seconds = poll_seconds
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._poller.start()

    @property
    def slots(self) -> int:
        return min(self._count, self._most)

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any] | None:
        """Submits a job; where the scheduler takes no more, the next one has to wait for the end of one.

        Raises:
            ConfigError: It takes none at all, or no more.
        """
        future: Future[Any] = Future()
        try:
            self._jobs[future] = self._executor.submit(_call_as_job, function, *arguments)
        except (RuntimeError, OSError) as error:
            self._refusals += 1
            if not self._taken or self._refusals > _REFUSALS:
                why = (str(error).strip().splitlines() or ["it does not say why"])[-1]
                raise ConfigError("parallel.engine", f"the scheduler takes no job ({why})") from error
            self._most = max(1, len(self._jobs))
            if not self._jobs:  # to the scheduler those that are done may not be over yet
                self._closed.wait(self._poll_seconds)
            return None
        self._taken, self._refusals = True, 0
        return future

    def waits(self, future: Future[Any]) -> bool:
        job = self._jobs.get(future)
        return job is not None and self._states.get(job.job_id, _UNKNOWN).waits

    def stop(self, future: Future[Any]) -> None:
        if (job := self._jobs.pop(future, None)) is not None:
            self._scheduler.cancel([job])

    def close(self) -> None:
        self._closed.set()
        self._poller.join()
        self._scheduler.cancel(self._jobs.values())
        for link in self._logs.glob(".submission_file_*"):
            link.unlink()
        with suppress(OSError):  # what is left there tells of lost jobs
            self._logs.rmdir()

    def _poll(self) -> None:
        while not self._closed.wait(self._poll_seconds):
            with suppress(OSError):  # of a file system or a command that will be there again
                self._look()

    def _look(self) -> None:
        jobs = dict(self._jobs)
        self._states |= self._scheduler.states(jobs.values())  # before the results, which are there when a job ends
        there = set(os.listdir(self._logs))  # noqa: PTH208 - names; listing makes a network's file system look anew
        for future, job in jobs.items():
            if job.paths.result_pickle.name in there:
                self._finish(future, job)
            elif self._states.get(job.job_id, _UNKNOWN).ended:
                self._looks_in_vain[job.job_id] += 1
                if self._looks_in_vain[job.job_id] >= _LOOKS_UNTIL_LOST:
                    self._lose(future, job)

    def _finish(self, future: Future[Any], job: Any) -> None:  # noqa: ANN401 - a job of submitit
        if not self._forget(future):
            return
        try:
            future.set_result(job.result())
        except Exception as error:  # noqa: BLE001 - whatever it was, it belongs to this job
            future.set_exception(error)
        else:
            for path in self._logs.glob(f"{job.job_id}_*"):
                path.unlink(missing_ok=True)

    def _lose(self, future: Future[Any], job: Any) -> None:  # noqa: ANN401 - a job of submitit
        if self._forget(future):
            word = self._states[job.job_id].word
            why = f"job {job.job_id} ended without a result ({word}), its log is {job.paths.stderr}"
            future.set_exception(WorkerLostError(why))

    def _forget(self, future: Future[Any]) -> bool:
        """Makes room for another job; False: this one was stopped."""
        self._most, self._refusals = self._count, 0
        return self._jobs.pop(future, None) is not None


def _call_as_job(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - any result
    """Calls; the signals that end a job end it at once, since nothing is to be saved that is not saved already."""
    for ending in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(ending, signal.SIG_DFL)
    return function(*arguments)
