"""The one way in which these scripts take times: several runs, in turn with what they are compared to, and the median.

On the CPU a time is that of the processor, all threads together, which other work on the machine hardly moves. On a GPU
it is the time on the clock until the device is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

RUNS = 3

Work = Callable[[], object]


def seconds(work: Work, runs: int = RUNS, device: torch.device | str = "cpu") -> float:
    """Returns the median time of some work, after a run that is not counted."""
    work()
    return median(_one_run(work, torch.device(device)) for _ in range(runs))


def seconds_in_turn(
    first: Work, second: Work, runs: int = RUNS, device: torch.device | str = "cpu"
) -> tuple[list[float], list[float]]:
    """Returns the times of two pieces of work that take turns, after a run of each that is not counted."""
    first()
    second()
    pairs = [(_one_run(first, torch.device(device)), _one_run(second, torch.device(device))) for _ in range(runs)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def ratios(longer: list[float], shorter: list[float]) -> list[float]:
    """Returns how many times longer one took than the other in each turn."""
    return [above / below for above, below in zip(longer, shorter, strict=True)]


def _one_run(work: Work, device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
