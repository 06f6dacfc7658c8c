"""The operations of a network as NAS-Bench-201's scores count them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foretrain.training.modes import in_mode


@torch.no_grad()
def count_published_flops(network: nn.Module, *inputs: Any, **named: Any) -> int:  # noqa: ANN401 - whatever it takes
    """Returns the operations of one forward pass as the published scores of NAS-Bench-201 count them.

    One for each multiply-accumulate of convolutions and linear layers, two for each element of a batch normalisation,
    one for each element of a ReLU, k^2 for each output of an average pooling, (h + 1) (w + 1) for each channel of a
    global one. Everything else is free. Meant for the comparison with that column; :func:`count_flops` is the measure.

    Args:
        network: The network; it is run in evaluation mode and put back.
        *inputs: Its positional arguments.
        **named: Its keyword arguments.
    """
    with in_mode(network, training=False), _PublishedCount() as count:
        network(*inputs, **named)
    return int(count.operations)


class _PublishedCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while the block runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - the types of the base class
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func.overloadpacket)
        self.operations += 0 if count is None else int(count(args, result))
        return result


def _products(args: Sequence[Any], result: Tensor) -> int:
    """Of a convolution, whose second argument is the weight."""
    return int(result.numel() * prod(args[1].shape[1:]))


def _linear_products(args: Sequence[Any], result: Tensor) -> int:
    return result.numel() * int(args[1].shape[1])


def _normalisation(args: Sequence[Any], result: object) -> int:  # noqa: ARG001 - all counts take the same
    return 2 * int(args[0].numel())


def _elements(args: Sequence[Any], result: object) -> int:  # noqa: ARG001
    return int(args[0].numel())


def _pooling(args: Sequence[Any], result: Tensor) -> int:
    kernel = args[1]
    return result.numel() * int(kernel[0] * kernel[-1])


def _global_pooling(args: Sequence[Any], result: Tensor) -> int:
    x = args[0]
    is_global = x.ndim == 4 and result.numel() == x.shape[0] * x.shape[1]
    return result.numel() * prod(side + 1 for side in x.shape[2:]) if is_global else 0


_ATEN = torch.ops.aten
_COUNTS: dict[object, Callable[[Sequence[Any], Any], int]] = {
    _ATEN.convolution: _products,
    _ATEN.addmm: _linear_products,
    _ATEN.native_batch_norm: _normalisation,
    _ATEN._native_batch_norm_legit_no_training: _normalisation,  # noqa: SLF001 - the name of an operator
    _ATEN.cudnn_batch_norm: _normalisation,
    _ATEN.relu: _elements,
    _ATEN.relu_: _elements,
    _ATEN.avg_pool2d: _pooling,
    _ATEN.mean: _global_pooling,
}
"""The operations of each operator that counts, from its arguments and its result."""
