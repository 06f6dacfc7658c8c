"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# The machines are shared: how long an example takes says nothing.
settings.register_profile("foretrain", deadline=None)
settings.load_profile("foretrain")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are faster without threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def foretrain_data() -> Path:
    """The folder of real published tables; tests that need it are skipped without it, but never in CI."""
    folder = os.environ.get("FORETRAIN_DATA")
    if folder is None:
        if os.environ.get("CI"):
            pytest.fail("FORETRAIN_DATA is not set, and CI runs no suite without the real data")
        pytest.skip("FORETRAIN_DATA is not set")
    return Path(folder)
