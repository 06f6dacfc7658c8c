"""What is read off a network while it runs: its activation codes, the saliency of its channels, what it pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foretrain.proxies.subject import TRANSPOSED, Subject

_ATEN = torch.ops.aten
_RECTIFIERS = {
    _ATEN.relu,
    _ATEN.relu_,
    _ATEN.leaky_relu,
    _ATEN.leaky_relu_,
    _ATEN._prelu_kernel,  # noqa: SLF001 - the name of an operator
    _ATEN.rrelu_with_noise,
    _ATEN.rrelu_with_noise_,
    _ATEN.elu,
    _ATEN.elu_,
    _ATEN.gelu,
    _ATEN.silu,
    _ATEN.silu_,
    _ATEN.hardswish,
    _ATEN.hardswish_,
    _ATEN.mish,
    _ATEN.mish_,
}
"""Operators that hand on what is positive and dampen what is not (SELU and CELU are ELU)."""
_CLIPPED = {_ATEN.hardtanh, _ATEN.hardtanh_}
"""ReLU6 runs as one of these with the lower limit 0."""
_POOLINGS = {
    _ATEN.mean,
    _ATEN.amax,
    _ATEN.avg_pool2d,
    _ATEN.avg_pool3d,
    _ATEN._adaptive_avg_pool2d,  # noqa: SLF001
    _ATEN._adaptive_avg_pool3d,  # noqa: SLF001
    _ATEN.adaptive_max_pool2d,
    _ATEN.max_pool2d_with_indices,
}
_PRODUCTS = {_ATEN.addmm: 1, _ATEN.mm: 0}
"""Operators of a linear layer, with the position of its input among their arguments."""


class CodeKernel(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums over all ReLU-like activations how many units are in the same state for two samples.

    With b the binary code of a sample, 1 where the input of a unit is positive, the kernel is the sum over the calls of
    all activations of ``b b^T + (1 - b) (1 - b)^T`` (Mellor et al. 2021), written as one product:
    ``2 b b^T + n - r_i - r_j`` with n units and r the number of active ones.

    Operators are watched, not modules, so that functional calls count too.

    Args:
        samples: Number of samples; activations of other lengths are those of something else and are left out.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.samples = samples
        self.kernel: Tensor | None = None

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - the types of the base class
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Reads the input of an activation before it is computed, as it may be computed in place."""
        packet = func.overloadpacket
        if packet in _RECTIFIERS or (packet in _CLIPPED and len(args) > 1 and args[1] == 0):
            self._add(args[0])
        return func(*args, **(kwargs or {}))

    def _add(self, x: Tensor) -> None:
        if x.ndim < 2 or len(x) % self.samples:
            return
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            x = x.permute(0, 2, 3, 1)  # the units' order plays no role, and this one needs no copy
        code = (x.reshape(self.samples, -1) > 0).float()
        active = code.sum(1, dtype=torch.float64)
        same = 2 * (code @ code.T).double() + (code.shape[1] - active[:, None] - active)
        self.kernel = same if self.kernel is None else self.kernel + same


class LastFeatures(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what is globally pooled last; where nothing is, the input of the last linear layer.

    Global pooling is any pooling that leaves one place of an image, or the mean over the tokens of a sequence.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pooled: Tensor | None = None
        self.last_input: Tensor | None = None

    @property
    def features(self) -> Tensor | None:
        """The features, or None where the network has neither a pooling nor a linear layer."""
        return self.last_input if self.pooled is None else self.pooled

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - the types of the base class
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Runs the operator and looks at what it made."""
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in _PRODUCTS:
            self.last_input = args[_PRODUCTS[packet]]
        elif packet in _POOLINGS:
            made = result[0] if isinstance(result, tuple) else result
            if _pools_globally(args[0], made):
                self.pooled = args[0]
        return result


def _pools_globally(x: Tensor, made: Tensor) -> bool:
    if x.ndim == 3:
        return made.shape == (x.shape[0], x.shape[2])
    return x.ndim > 3 and made.numel() in {x.shape[0] * x.shape[1], x.shape[0] * x.shape[-1]}


class OverwrittenError(RuntimeError):
    """The network has overwritten the output of a layer, which the backward pass then needs."""


class ChannelSaliency:
    """Fisher's saliency of the channels at the outputs of convolutions and linear layers.

    Of a channel with activation a and gradient g in sample b: ``1/2 mean_b (sum over space of a g)^2``; each channel
    counts once per weight that makes it (Theis et al. 2018; Turner et al. 2020).

    Args:
        copies: Whether to copy the outputs, for a network that overwrites them.
    """

    def __init__(self, *, copies: bool = False) -> None:
        self.copies = copies
        self.closed = False
        self.terms: list[Tensor] = []

    @contextmanager
    def watch(self, subject: Subject) -> Iterator[None]:
        """Watches the layers while the block runs; the gradients come with a later backward pass."""
        handles = [
            module.register_forward_hook(partial(self._after_layer, weights=_weights_per_channel(module)))
            for _, module in subject.layers
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def close(self) -> list[Tensor]:
        """Returns the saliencies of all channels, a sum for each call of a layer; later backward passes add none."""
        self.closed = True
        return self.terms

    def _after_layer(self, module: nn.Module, inputs: object, output: Tensor, *, weights: int) -> None:
        if output.requires_grad:
            kept = output.detach().clone() if self.copies else output.detach()
            space = _space(module, output)
            version = kept._version  # noqa: SLF001 - the only way to know whether it was overwritten
            output.register_hook(partial(self._with_gradient, kept, version, space, weights))  # type: ignore[no-untyped-call]

    def _with_gradient(
        self, output: Tensor, version: int, space: Sequence[int], weights: int, gradient: Tensor
    ) -> None:
        if self.closed:
            return
        if output._version != version:  # noqa: SLF001
            raise OverwrittenError("the output of a layer was overwritten")
        products = output * gradient.detach()
        summed = products.sum(list(space)) if space else products
        self.terms.append(summed.double().square().mean(0).sum() * (0.5 * weights))


def _weights_per_channel(module: nn.Module) -> int:
    weight: Any = module.weight
    channels = weight.shape[1] * module.groups if isinstance(module, TRANSPOSED) else weight.shape[0]
    return int(weight.numel() // channels)


def _space(module: nn.Module, output: Tensor) -> tuple[int, ...]:
    """The dimensions besides that of the samples, the first, and that of the channels."""
    channels = output.ndim - 1 if isinstance(module, nn.Linear) else 1
    return tuple(dim for dim in range(1, output.ndim) if dim != channels)
