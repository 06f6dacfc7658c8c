"""torch.compile as an option of every training."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch._dynamo import config as dynamo

_STEPS = ("training_step", "validation_step")
_LOGGING = ("log", "log_dict")


class Compile(Callback):
    """Compiles a module's training and validation steps, not its weights: checkpoints stay those of the plain module.

    ``+callbacks.compile._target_=foretrain.runtime.compiling.Compile +callbacks.compile._partial_=true``

    Args:
        backend: See ``torch.compile``.
        dynamic: Whether to compile for batches of any size at once; None decides after the second size.
    """

    def __init__(self, backend: str = "inductor", dynamic: bool | None = None) -> None:
        self.backend = backend
        self.dynamic = dynamic

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Puts the compiled steps in the place of the plain ones; what they log is left to Lightning as it is."""
        # A module that counts what it has seen would be compiled anew for every number, and after eight not at all.
        self._before, dynamo.allow_unspec_int_on_nn_module = dynamo.allow_unspec_int_on_nn_module, True
        for name in _LOGGING:
            setattr(pl_module, name, torch.compiler.disable(getattr(pl_module, name)))  # type: ignore[no-untyped-call]
        for name in _STEPS:
            compiled = torch.compile(getattr(pl_module, name), backend=self.backend, dynamic=self.dynamic)
            setattr(pl_module, name, compiled)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the plain methods back."""
        dynamo.allow_unspec_int_on_nn_module = self._before
        for name in (*_STEPS, *_LOGGING):
            vars(pl_module).pop(name, None)
