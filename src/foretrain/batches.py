"""The form of typed batches, and of the whole tables of which a batch is an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TensorBatch:
    """n samples as tensors, or as batches of tensors, never as objects.

    A subclass names them as its fields; in every field the first dimension is n.

    Raises:
        ValueError: The fields have different lengths.
    """

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.tensors()}
        if len(lengths) > 1:
            raise ValueError(f"{type(self).__name__}: fields of different lengths {sorted(lengths)}")

    def tensors(self) -> list[Any]:
        """Returns the fields, in order."""
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def batch_size(self) -> int:
        """Number of samples."""
        return len(self.tensors()[0])

    @property
    def device(self) -> torch.device:
        """Where the samples lie."""
        device: torch.device = self.tensors()[0].device
        return device

    def __len__(self) -> int:
        return self.batch_size

    def __getitem__(self, index: int | slice | Tensor | Sequence[int]) -> Self:
        """Selects samples; an integer gives a batch of one."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sample {index} of {len(self)}")
            index = slice(index, index + 1 or None)
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.device)
        return type(self)(*(column[index] for column in self.tensors()))

    def to(self, device: torch.device | str) -> Self:
        """Moves all fields to a device."""
        return type(self)(*(column.to(device) for column in self.tensors()))
