"""Your own networks as a space: they have no encoding, but scores, learning curves and snapshots work on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretrain.errors import ConfigError, DataError
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.checks import check_pairs, check_rate, check_single

Factory = Callable[[int, int], nn.Module]
"""Makes a network from the number of image channels and the number of classes."""


@dataclass(frozen=True, eq=False)
class Members(Architectures):
    """A batch of n networks of a list.

    Attributes:
        index: ``int64[n]``, positions in the list.
    """

    index: Tensor


class ModuleSpace(SearchSpace[Members]):
    """A list of networks.

    Args:
        networks: Modules, or functions that make one from ``(in_channels, num_classes)``. A module is copied with the
            weights it has, and must fit the images and classes it will be used with.
        names: A different name for each; their positions where left out.

    Raises:
        ConfigError: There is no network, or the names are not as many as the networks or not all different.
    """

    name = "modules"

    def __init__(self, networks: Sequence[nn.Module | Factory], names: Sequence[str] | None = None) -> None:
        names = [str(position) for position in range(len(networks))] if names is None else list(names)
        if not networks:
            raise ConfigError("space.networks", "is empty", allowed="at least one module or factory")
        if len(names) != len(networks) or len(set(names)) != len(names):
            raise ConfigError("space.names", "does not name each network", names, f"{len(networks)} different names")
        self.networks = list(networks)
        self.names = names

    def enumerate(self) -> Members:
        """Returns all networks in the order of the list."""
        return Members(torch.arange(len(self.networks)))

    def sample(self, n: int, generator: torch.Generator) -> Members:
        """Draws n networks uniformly, with replacement."""
        return Members(torch.randint(0, len(self.networks), (n,), generator=generator))

    def mutate(self, archs: Members, generator: torch.Generator, rate: float) -> Members:
        """Replaces every network with probability ``rate`` by one drawn from the whole list.

        Raises:
            ValueError: ``rate`` is not between 0 and 1.
        """
        check_rate(rate)
        redrawn = torch.rand(len(archs), generator=generator) < rate
        drawn = self.sample(len(archs), generator).index
        return Members(torch.where(redrawn, drawn, archs.index.cpu())).to(archs.index.device)

    def crossover(self, first: Members, second: Members, generator: torch.Generator) -> Members:
        """Takes one of the two parents, by a coin: a network of a list has no parts.

        Raises:
            ValueError: The batches differ in length.
        """
        check_pairs(first, second)
        coins = torch.rand(len(first), generator=generator) < 0.5
        return Members(torch.where(coins.to(first.index.device), first.index, second.index))

    def parse(self, strings: Sequence[str]) -> Members:
        """Finds networks by their names.

        Raises:
            DataError: There is no network of that name; names its position.
        """
        index_of = {name: index for index, name in enumerate(self.names)}
        for position, name in enumerate(strings):
            if name not in index_of:
                raise DataError(
                    "network name", f"item {position} is {name!r}", f"The names are {', '.join(sorted(self.names))}"
                )
        return Members(torch.tensor([index_of[name] for name in strings], dtype=torch.long))

    def format(self, archs: Members) -> list[str]:
        """Returns the names."""
        return [self.names[index] for index in archs.index.tolist()]

    def canonical(self, archs: Members) -> list[str]:
        """Returns the names: no two networks of the list are taken for one."""
        return self.format(archs)

    def build(self, arch: Members, in_channels: int, num_classes: int) -> nn.Module:
        """Copies the module, or calls the factory.

        Raises:
            DataError: There is not exactly one network.
        """
        check_single(arch)
        network = self.networks[int(arch.index[0])]
        return deepcopy(network) if isinstance(network, nn.Module) else network(in_channels, num_classes)
