"""Which of several processes that work on one run this is."""

from __future__ import annotations

import os

_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Set by torchrun and by Lightning's own launcher, by the latter on one node only, and by srun."""


def rank() -> int:
    """Returns the number of this process among those of a distributed run, 0 for the first or only one.

    The first one does what is not distributed (independent jobs, writing, tracking, printing), the others wait for it.
    """
    return next((int(os.environ[name]) for name in _VARIABLES if name in os.environ), 0)
