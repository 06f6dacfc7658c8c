"""Which of several processes that work on one run this is."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Set by torchrun and by Lightning's own launcher, by the latter on one node only, and by srun."""


def rank() -> int:
    """Returns the number of this process among those of a distributed run, 0 for the first or only one.

    The first one does what is not distributed (independent jobs, writing, tracking, printing), the others wait for it.
    """
    return next((int(os.environ[name]) for name in _VARIABLES if name in os.environ), 0)


def part() -> None:
    """Ends the connection of the processes of a distributed run, all at once; without one it does nothing.

    A process that ends while its threads still hold the connection may be aborted after all its work is done.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
