"""The global random states, saved and restored with Lightning's checkpoints."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class RandomState(Callback):
    """Saves the global random states in Lightning's checkpoints and restores them on resume.

    Lightning itself does not, so that a resumed run would draw other dropout masks than an undisturbed one. The state
    is kept as tensors and plain numbers, which ``weights_only=True`` loads.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the states under the key ``random_state``."""
        checkpoint["random_state"] = random_state()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps the states until everything is built."""
        self._state = checkpoint.get("random_state")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sets the states of the checkpoint that was resumed, if any.

        This is before the loop makes the first epoch's iterator, for which a ``DataLoader`` draws a number.
        """
        state = getattr(self, "_state", None)
        if state is not None:
            set_random_state(state)
            self._state = None


def random_state() -> dict[str, Any]:
    """Returns the global random states of Python, NumPy and PyTorch as plain numbers and tensors."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(words), gauss],
        "numpy": [
            torch.from_numpy(np.array(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Sets the global random states to what :func:`random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([item.cpu() for item in state["cuda"]])
