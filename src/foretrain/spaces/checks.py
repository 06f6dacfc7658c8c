"""What the methods of all spaces ask of their arguments."""

from __future__ import annotations

from foretrain.batches import TensorBatch
from foretrain.errors import DataError


def check_rate(rate: float) -> None:
    """Raises a ValueError where a mutation rate is no probability."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}, not between 0 and 1")


def check_pairs(first: TensorBatch, second: TensorBatch) -> None:
    """Raises a ValueError where two batches of parents differ in length."""
    if len(first) != len(second):
        raise ValueError(f"crossover needs pairs, not {len(first)} and {len(second)} architectures")


def check_single(arch: TensorBatch) -> None:
    """Raises a DataError where a batch is not exactly one architecture."""
    if len(arch) != 1:
        raise DataError("arch", f"{len(arch)} architectures where one is needed", "Select it by archs[i]")
