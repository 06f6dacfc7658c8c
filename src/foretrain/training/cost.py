"""What a network costs: its size and the arithmetic of one image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foretrain.spaces.base import SearchSpace
from foretrain.training.images import ImageSet


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
def count_flops(network: nn.Module, image: Tensor) -> int:
    """Returns the floating-point operations of one forward pass, two for a multiply-accumulate.

    Counts what ``torch.utils.flop_counter`` counts: convolutions, matrix products and attention. The network is put
    back into the mode it was in; in evaluation mode batch normalisation leaves its running statistics alone.

    Args:
        network: The network.
        image: ``[1, channels, height, width]``, of any values.
    """
    was_training = network.training
    network.eval()
    try:
        with FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        network.train(was_training)
    return int(counter.get_total_flops())
