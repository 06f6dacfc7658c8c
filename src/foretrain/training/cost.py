"""What a network costs: its size and the arithmetic of one image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foretrain.spaces.base import SearchSpace
from foretrain.training.images import ImageSet
from foretrain.training.modes import in_mode


def count_costs(space: SearchSpace[Any], arch: str, images: ImageSet) -> dict[str, int]:
    """Returns ``parameters`` and ``flops`` of an architecture on one image; no memory is taken for its weights."""
    parsed = space.parse([arch])  # real numbers, not on the meta device: the network's shape is read from them
    with torch.device("meta"):
        network = space.build(parsed, images.channels, images.num_classes)
        image = torch.empty(1, *images.train.images.shape[1:])
    return {"parameters": count_parameters(network), "flops": count_flops(network, image)}


def count_parameters(network: nn.Module) -> int:
    """Returns the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@torch.no_grad()
def count_flops(network: nn.Module, *inputs: Any, **named: Any) -> int:  # noqa: ANN401 - whatever the network takes
    """Returns the floating-point operations of one forward pass, two for a multiply-accumulate.

    Counts what ``torch.utils.flop_counter`` counts: convolutions and matrix products, those of attention among them.
    Attention is taken apart into its products for that: the counter does not know all of its fused kernels. The network
    is run in evaluation mode, where batch normalisation leaves its running statistics alone, and put back.

    Args:
        network: The network.
        *inputs: Its positional arguments, e.g. an image ``[1, channels, height, width]`` of any values.
        **named: Its keyword arguments.
    """
    with in_mode(network, training=False), unfused_attention(), FlopCounterMode(display=False) as counter:
        network(*inputs, **named)
    return int(counter.get_total_flops())


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Lets attention run as plain matrix products, which can be counted and differentiated twice."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
