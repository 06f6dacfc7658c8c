"""A callback that takes snapshots of any network's weights and gradients while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from foretrain.errors import CheckpointError, DataError
from foretrain.runtime.seeding import make_generator
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS, NetworkStatistics, trainable_layers


@dataclass(frozen=True, eq=False)
class Snapshots:
    """The snapshots of one network, all tensors on the CPU.

    Attributes:
        features: ``float32[t, 2, l, 100, 12]``: t snapshots, kind 0 weights and 1 gradients, l layers (at most 65, not
            padded), row 0 the whole layer and up to 99 rows of its own, the statistics in the order of ``STATISTICS``.
        rows: ``int64[l]``, valid rows of each layer, row 0 included; the others are zero.
        steps: ``int64[t]``, the optimiser steps before which the snapshots were taken, counted from 1.
        layers: Names of the l layers in execution order.
    """

    features: Tensor
    rows: Tensor
    steps: Tensor
    layers: list[str]

    def __post_init__(self) -> None:
        expected = (len(self.steps), 2, len(self.layers), ROWS, len(STATISTICS))
        if self.features.shape != expected or len(self.rows) != len(self.layers):
            raise ValueError(
                f"Snapshots.features has shape {list(self.features.shape)} with {len(self.steps)} steps, "
                f"{len(self.layers)} layers and {len(self.rows)} rows; expected {list(expected)}"
            )


class SnapshotRecorder(Callback):
    """Takes a snapshot of weights and gradients every n optimiser steps of any LightningModule (NAP2, section 3.1).

    The layers are those that :func:`~foretrain.snapshots.statistics.trainable_layers` finds, in the order in which
    their ``forward`` is first called during the first training batch; those never called come last, in the order of
    registration (a layer whose weight only is used, as ``out_proj`` in ``nn.MultiheadAttention``, is one of them). The
    first 65 are kept.

    A snapshot is taken right before optimiser step n, 2n, ...: the weights before the step and the gradients that it
    will use, i.e. accumulated over micro-batches, averaged over processes, unscaled in mixed precision, and not clipped
    yet. A layer without a gradient has zeros there. With several optimisers the steps of all of them count, as in
    ``trainer.global_step``, and a snapshot holds the gradients that are present at that moment. An optimiser that
    evaluates its closure more than once a step gives the first evaluation.

    Only the first process records under DDP; sharded parameters (FSDP) are not supported. The snapshots are part of
    Lightning's checkpoints, so a training that is resumed ends with the same ones as an undisturbed training.

    Args:
        every_n_steps: Optimiser steps between snapshots.
        max_snapshots: At most so many are taken.
        seed: Chooses the rows of layers that have more than 99.
    """

    _order: _ExecutionOrder | None
    _statistics: NetworkStatistics | None
    _layers: list[str]
    _rows: Tensor
    _steps: list[int]
    _features: list[Tensor]

    def __init__(
        self,
        every_n_steps: Annotated[int, Field(ge=1)] = 100,
        max_snapshots: Annotated[int, Field(ge=1)] = 30,
        seed: int = 0,
    ) -> None:
        if every_n_steps < 1 or max_snapshots < 1:
            raise ValueError(f"every_n_steps={every_n_steps} and max_snapshots={max_snapshots} must be at least 1")
        self.every_n_steps = every_n_steps
        self.max_snapshots = max_snapshots
        self.seed = seed
        self._reset()

    def snapshots(self) -> Snapshots:
        """Returns what was recorded so far; t is 0 before the first snapshot."""
        shape = (0, 2, len(self._layers), ROWS, len(STATISTICS))
        return Snapshots(
            features=torch.stack(self._features) if self._features else torch.zeros(shape),
            rows=self._rows,
            steps=torch.tensor(self._steps, dtype=torch.int64),
            layers=list(self._layers),
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forgets the snapshots of an earlier training, unless this trainer goes on with it."""
        if stage == "fit" and trainer.global_step == 0:
            self._reset()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Begins to watch the execution order, in the first batch.

        Raises:
            DataError: The module has no trainable dense or convolutional layer.
        """
        if trainer.is_global_zero and self._order is None and not self._layers:
            self._order = _ExecutionOrder(_trainable_layers(pl_module))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Takes a snapshot if the coming step is a multiple of ``every_n_steps``."""
        if trainer.is_global_zero and self._is_due(step := trainer.global_step + 1):
            statistics = self._prepare(pl_module)
            self._features.append(statistics(gradient_scale=_gradient_scale(trainer, optimizer)))
            self._steps.append(step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Fixes the order of the layers, after the first batch."""
        if self._order is not None:
            self._prepare(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves no hook behind on the module."""
        if self._order is not None:
            self._order.close()
            self._order = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lets go of the module's parameters."""
        self._statistics = None

    def state_dict(self) -> dict[str, Any]:
        """Returns the snapshots and the order of the layers as tensors and primitives."""
        recorded = self.snapshots()
        return {
            "every_n_steps": self.every_n_steps,
            "seed": self.seed,
            "layers": recorded.layers,
            "rows": recorded.rows,
            "steps": recorded.steps,
            "features": recorded.features,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: The snapshots were taken with another interval or seed.
        """
        for name in ("every_n_steps", "seed"):
            if state_dict[name] != getattr(self, name):
                raise CheckpointError(
                    "SnapshotRecorder",
                    f"the checkpoint's snapshots were taken with {name}={state_dict[name]}, not {getattr(self, name)}",
                    "Resume with the same value, or train from the beginning",
                )
        self._reset()
        self._layers = list(state_dict["layers"])
        self._rows = state_dict["rows"]
        self._steps = state_dict["steps"].tolist()
        self._features = list(state_dict["features"])

    def _reset(self) -> None:
        self._order = None
        self._statistics = None
        self._layers = []
        self._rows = torch.zeros(0, dtype=torch.int64)
        self._steps = []
        self._features = []

    def _is_due(self, step: int) -> bool:
        """Whether this step has a snapshot that is not taken yet."""
        taken = self._steps[-1] if self._steps else 0
        return step % self.every_n_steps == 0 and step > taken and len(self._steps) < self.max_snapshots

    def _prepare(self, module: LightningModule) -> NetworkStatistics:
        """Fixes the order of the layers if that is still open, and returns what computes their statistics."""
        if self._order is not None:
            self._layers = self._order.close()[:MAX_LAYERS]
            self._order = None
        if self._statistics is None:
            layers = [module.get_submodule(name) for name in self._layers]
            self._statistics = NetworkStatistics(layers, make_generator(self.seed, "snapshot rows"))
            self._rows = self._statistics.rows
        return self._statistics


class _ExecutionOrder:
    """Notes in which order layers are executed, until it is closed."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self._registered = layers
        self._executed: dict[str, None] = {}
        self._hooks = [layer.register_forward_pre_hook(partial(self._note, name)) for name, layer in layers.items()]

    def close(self) -> list[str]:
        """Removes the hooks and returns the names, those never executed last."""
        for hook in self._hooks:
            hook.remove()
        return list(self._executed | dict.fromkeys(self._registered))

    def _note(self, name: str, layer: nn.Module, inputs: object) -> None:
        self._executed[name] = None


def _trainable_layers(module: LightningModule) -> dict[str, nn.Module]:
    layers = trainable_layers(module)
    if not layers:
        raise DataError(
            type(module).__name__,
            "has no trainable dense or convolutional layer to take snapshots of",
            "Use nn.Linear or nn.Conv layers whose weights require gradients, or leave the SnapshotRecorder out",
        )
    return layers


def _gradient_scale(trainer: Trainer, optimizer: Optimizer) -> float:
    """The loss scale that gradients still carry: fused optimisers unscale them inside their step only."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
        return 1.0
    return float(scaler.get_scale())
