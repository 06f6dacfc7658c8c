"""Random numbers that depend on a seed and a name, never on the order or the number of workers."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(seed: int, *keys: str | int) -> int:
    """Derives an independent seed for a named purpose.

    The first 8 bytes of the SHA-256 of ``seed/key/key/...`` without the sign bit: the same on every machine and
    Python version, unlike ``hash``.

    Args:
        seed: The seed of the run.
        *keys: What the new seed is for, e.g. ``("network", 17)``.

    Returns:
        An integer in ``[0, 2**63)``.
    """
    text = "/".join(str(part) for part in (seed, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(seed: int, *keys: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Returns a ``torch.Generator`` on ``device`` that is seeded with ``derive_seed(seed, *keys)``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *keys))


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries still draw from the global state
    torch.manual_seed(seed)
