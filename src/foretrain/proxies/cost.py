"""The operations of a network as NAS-Bench-201's scores count them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foretrain.training.modes import in_mode

_ATEN = torch.ops.aten
_BATCH_NORMS = {
    _ATEN.native_batch_norm,
    _ATEN._native_batch_norm_legit,  # noqa: SLF001 - the name of an operator
    _ATEN._native_batch_norm_legit_no_training,  # noqa: SLF001
    _ATEN.cudnn_batch_norm,
}


@torch.no_grad()
def count_published_flops(network: nn.Module, *inputs: Any, **named: Any) -> int:  # noqa: ANN401 - whatever it takes
    """Returns the operations of one forward pass as the published scores of NAS-Bench-201 count them.

    One for each multiply-accumulate of convolutions and linear layers, two for each element of a batch normalisation,
    one for each element of a ReLU, k^2 for each output of an average pooling, (h + 1) (w + 1) for each channel of a
    global one. Everything else is free. Meant for the comparison with that column; :func:`count_flops` is the measure.

    Args:
        network: The network; it is run in evaluation mode and put back.
        *inputs: Its positional arguments, one sample.
        **named: Its keyword arguments.
    """
    with in_mode(network, training=False), _PublishedCount() as count:
        network(*inputs, **named)
    return count.operations


class _PublishedCount(TorchDispatchMode):
    """Counts while the block runs."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += _operations(func.overloadpacket, args, result)
        return result


def _operations(packet: object, args: Sequence[Any], result: Any) -> int:  # noqa: ANN401 - a tensor or several
    if packet is _ATEN.convolution:
        return int(result.numel() * prod(args[1].shape[1:]))
    if packet is _ATEN.addmm:
        return int(result.numel() * args[1].shape[1])
    if packet in _BATCH_NORMS:
        return int(2 * args[0].numel())
    if packet in {_ATEN.relu, _ATEN.relu_}:
        return int(args[0].numel())
    if packet is _ATEN.avg_pool2d:
        return int(result.numel() * _kernel_area(args[1]))
    if packet is _ATEN.mean and _is_global(args[0], result):
        return int(result.numel() * prod(side + 1 for side in args[0].shape[2:]))
    return 0


def _kernel_area(kernel: Sequence[int]) -> int:
    return kernel[0] * kernel[-1]


def _is_global(x: Tensor, made: Tensor) -> bool:
    return x.ndim == 4 and made.numel() == x.shape[0] * x.shape[1]
