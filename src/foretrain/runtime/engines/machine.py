"""What of this machine belongs to which worker."""

from __future__ import annotations

import math
import os

import joblib

from foretrain.errors import ConfigError
from foretrain.runtime.engines.base import Resources

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_DEVICES = "CUDA_VISIBLE_DEVICES"


def local_workers(resources: Resources) -> int:
    """The number of workers on this machine."""
    room = None
    if resources.gpus:
        devices = visible_devices()
        room = shares(len(devices), resources.gpus)
        if room < 1:
            problem = f"this machine has {len(devices)} GPUs"
            raise ConfigError("parallel.gpus", problem, resources.gpus, f"at most {len(devices)}")
    if resources.workers is not None:
        return min(resources.workers, room or resources.workers)
    return room or max(1, int(joblib.cpu_count()) // resources.threads)


def shares(devices: float, share: float) -> int:
    """How many jobs fit: several on one GPU, or several GPUs for one job, never two halves of two GPUs."""
    return int(devices) * math.floor(1 / share + 1e-9) if share < 1 else int(devices // math.ceil(share))


def environment(number: int, resources: Resources) -> dict[str, str]:
    """The variables of worker ``number``: its threads and its GPUs."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(resources.threads))
    if resources.gpus:
        devices = visible_devices()
        each = math.ceil(resources.gpus)
        first = number // shares(1, resources.gpus) if resources.gpus < 1 else number * each
        variables[_DEVICES] = ",".join(devices[first : first + each])
    return variables


def visible_devices() -> list[str]:
    """The names of the GPUs that this process may use."""
    if (named := os.environ.get(_DEVICES)) is not None:
        return [name for name in named.split(",") if name]
    import torch  # noqa: PLC0415 - seconds, for those with GPUs only

    return [str(number) for number in range(torch.cuda.device_count())]
