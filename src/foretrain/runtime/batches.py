"""The form of typed batches, and of the whole tables of which a batch is an index."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TensorBatch:
    """Tensors, or batches of tensors, that share their first dimension; a subclass names them as its fields."""

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

    def __getitem__(self, index: Tensor) -> Self:
        """Selects samples by an index tensor on the same device."""
        return type(self)(*(column[index] for column in self.tensors()))

    def to(self, device: torch.device | str) -> Self:
        """Moves all fields to a device."""
        return type(self)(*(column.to(device) for column in self.tensors()))
