"""A network that is run with other weights than its own, so that it stays exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call

from foretrain.proxies.batches import Batch
from foretrain.training.modes import in_mode

WEIGHTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""The layers over whose weights the proxies sum."""
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

Tensors = dict[str, Tensor]


class Subject:
    """The network that is scored.

    It is called with substitutes for its parameters and buffers only: its own tensors, their gradients and their
    ``requires_grad`` are never written. Modes of modules and random states are put back by the contexts below.

    Args:
        model: The network.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        """Where the network lies; the CPU for one without parameters."""
        tensor = next(iter(self.model.parameters()), next(iter(self.model.buffers()), None))
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def parameters(self) -> Tensors:
        """The parameters by name, detached; each shared one once."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    @property
    def buffers(self) -> Tensors:
        """Copies of the buffers by name."""
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    @cached_property
    def weights(self) -> list[str]:
        """Names of the weights of all convolutions and linear layers; each shared one once."""
        own = {id(module.weight) for _, module in self.layers}
        return [name for name, parameter in self.model.named_parameters() if id(parameter) in own]

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """The convolutions and linear layers by their path."""
        return [(path, module) for path, module in self.model.named_modules() if isinstance(module, WEIGHTED)]

    @property
    def batch_norms(self) -> list[tuple[str, nn.Module]]:
        """The batch normalisations by their path."""
        return [(path, module) for path, module in self.model.named_modules() if isinstance(module, BATCH_NORMS)]

    def run(self, parameters: Mapping[str, Tensor], buffers: Tensors, batch: Batch) -> object:
        """Calls the network with these parameters and buffers; the buffers may be written."""
        return functional_call(self.model, (dict(parameters), buffers), batch.positional, dict(batch.named))


@contextmanager
def prepared(model: nn.Module, seed: int) -> Iterator[None]:
    """Puts a network into training mode, with seeded random numbers and without operations in place.

    Activations are read after the network has gone on, so that no layer may overwrite them. Modes, these settings and
    the global random states are as before when the block ends.

    Args:
        model: The network.
        seed: Seed of what the network itself draws (dropout).
    """
    in_place = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        in_mode(model, training=True),
    ):
        torch.manual_seed(seed)
        try:
            for module in in_place:
                module.inplace = False  # type: ignore[assignment]
            yield
        finally:
            for module in in_place:
                module.inplace = True  # type: ignore[assignment]


@contextmanager
def without_batch_norm(subject: Subject) -> Iterator[None]:
    """Lets every batch normalisation hand on its input while the block runs."""
    modules = [module for _, module in subject.batch_norms]
    own = [module.__dict__.get("forward") for module in modules]
    try:
        for module in modules:
            module.__dict__["forward"] = _identity
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def _identity(x: Tensor) -> Tensor:
    return x
