"""Fixtures that all tests share."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# The machines are shared: how long an example takes says nothing.
settings.register_profile("foretrain", deadline=None)
settings.load_profile("foretrain")

# Ray keeps its token in the home folder and remembers it for the life of a process: where a test has another home
# folder, the next Ray of the same process would be refused.
os.environ["RAY_AUTH_MODE"] = "disabled"

# Tiny networks are faster without threads that wait for each other, and results then do not depend on their number.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def foretrain_data() -> Path:
    """The folder of real published tables; tests that need it are skipped without it, but never in CI."""
    folder = os.environ.get("FORETRAIN_DATA")
    if folder is None:
        if os.environ.get("CI"):
            pytest.fail("FORETRAIN_DATA is not set, and CI runs no suite without the real data")
        pytest.skip("FORETRAIN_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def slurm() -> None:
    """A Slurm that takes jobs; tests that need one are skipped without."""
    asked = ["sinfo", "--noheader", "--states=idle,mixed,allocated"]
    try:
        there = subprocess.run(asked, check=False, capture_output=True, timeout=10).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        there = b""
    if not there:
        pytest.skip("no Slurm answers: `.ci/slurm start FOLDER` brings one up, see CONTRIBUTING.md")
