"""What a format is to the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Target:
    """A format: how a valid file comes about, and what reads it.

    Attributes:
        make: Writes valid files at the path that it gets, and returns the path to read.
        read: Reads it, as far as a user of it would.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
