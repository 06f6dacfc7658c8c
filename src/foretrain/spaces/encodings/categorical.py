"""Encodings of architectures that are a list of choices."""

from __future__ import annotations

import torch
from torch import Tensor


def one_hot(choices: Tensor, num_values: int) -> Tensor:
    """Returns ``float32[n, k * num_values]``: each of the k choices of ``int[n, k]`` as a unit vector.

    A negative choice is no choice and becomes a zero vector.
    """
    values = torch.arange(num_values, device=choices.device, dtype=choices.dtype)
    return (choices[..., None] == values).flatten(1).float()
