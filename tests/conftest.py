"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def foretrain_data() -> Path:
    """The folder of real published tables; tests that need it are skipped without it, but never in CI."""
    folder = os.environ.get("FORETRAIN_DATA")
    if folder is None:
        if os.environ.get("CI"):
            pytest.fail("FORETRAIN_DATA is not set, and CI runs no suite without the real data")
        pytest.skip("FORETRAIN_DATA is not set")
    return Path(folder)
