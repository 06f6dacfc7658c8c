"""What every space of architectures gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, overload

import torch
from torch import Tensor, nn

from foretrain.batches import TensorBatch
from foretrain.errors import ConfigError
from foretrain.spaces.encodings.graph import GraphBatch
from foretrain.spaces.relaxation import Relaxation


@dataclass(frozen=True, eq=False)
class Architectures(TensorBatch):
    """A batch of n architectures as small integer tensors, which a space names as its fields."""

    @classmethod
    def cat(cls, batches: Sequence[Self]) -> Self:
        """Joins batches of the same space."""
        return cls(*(torch.cat(column) for column in zip(*(batch.tensors() for batch in batches), strict=True)))


A = TypeVar("A", bound=Architectures)


class SearchSpace(ABC, Generic[A]):
    """A space of architectures; all batch methods are vectorised over n.

    Random numbers come from the given CPU generator only.

    Attributes:
        name: The name in tables and messages.
        encoders: How to turn architectures into numbers, by the name of the encoding; empty where there is no way.
        decoders: How to turn sequences of tokens back, by the name of the encoding; those that have an inverse.
    """

    name: str
    encoders: ClassVar[Mapping[str, Callable[[Any], Tensor | GraphBatch]]] = {}
    decoders: ClassVar[Mapping[str, Callable[[Tensor], tuple[Any, Tensor]]]] = {}

    def relaxation(self) -> Relaxation[A]:
        """Returns the space as graphs whose elements are free.

        Raises:
            ConfigError: The space has no such form.
        """
        raise ConfigError("space", "has no relaxed form", self.name, "a space of graphs")

    def enumerate(self) -> A:
        """Returns all architectures of a finite space, in an order that never changes.

        Raises:
            ConfigError: The space is too large for that.
        """
        raise ConfigError("space", "cannot be enumerated", self.name, "a space of few architectures, or sample from it")

    @overload
    def encode(self, archs: A, kind: Literal["graph"]) -> GraphBatch: ...

    @overload
    def encode(self, archs: A, kind: str) -> Tensor | GraphBatch: ...

    def encode(self, archs: A, kind: str) -> Tensor | GraphBatch:
        """Turns architectures into numbers, all at once.

        Args:
            archs: n architectures.
            kind: A key of ``encoders``: ``graph`` gives a ``GraphBatch``, all others a tensor ``[n, ...]``.

        Raises:
            ConfigError: The space has no such encoding.
        """
        if kind not in self.encoders:
            raise ConfigError("encoding", f"unknown to the space {self.name}", kind, self.encoders or "none at all")
        return self.encoders[kind](archs)

    def decode(self, tokens: Tensor, kind: str) -> tuple[A, Tensor]:
        """Turns sequences of tokens back into architectures, all at once.

        Args:
            tokens: ``int64[n, t]``, as a model may have made them.
            kind: A key of ``decoders``.

        Returns:
            The architectures, and ``bool[n]``: which of the sequences they are; the others describe none of the space.

        Raises:
            ConfigError: This encoding cannot be turned back.
        """
        if kind not in self.decoders:
            problem = f"the space {self.name} cannot turn it back into architectures"
            raise ConfigError("encoding", problem, kind, self.decoders or "none at all")
        return self.decoders[kind](tokens)

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> A:
        """Draws n valid architectures."""

    @abstractmethod
    def mutate(self, archs: A, generator: torch.Generator, rate: float) -> A:
        """Redraws every element (edge, operation) with probability ``rate``; the results are valid."""

    @abstractmethod
    def crossover(self, first: A, second: A, generator: torch.Generator) -> A:
        """Takes every element from one of the two parents; the results are valid."""

    @abstractmethod
    def parse(self, strings: Sequence[str]) -> A:
        """Reads the published string form.

        Raises:
            DataError: A string is malformed or describes no valid architecture; names its position.
        """

    @abstractmethod
    def format(self, archs: A) -> list[str]:
        """Writes the published string form: ``parse(format(a))`` equals ``a``."""

    @abstractmethod
    def canonical(self, archs: A) -> list[str]:
        """Keys that are equal for equal networks."""

    def codes(self, archs: A) -> Tensor:
        """Returns ``int64[n]``, equal for equal networks, to tell thousands of them apart.

        The first 63 bits of a hash of ``canonical``; a space overrides it where it has a number of its own, which is
        quicker to get.
        """
        digests = (blake2b(key.encode(), digest_size=8).digest() for key in self.canonical(archs))
        return torch.tensor([int.from_bytes(digest) >> 1 for digest in digests], dtype=torch.int64)

    @abstractmethod
    def build(self, arch: A, in_channels: int, num_classes: int) -> nn.Module:
        """Builds one architecture (a batch of one) as a classifier of images ``[b, in_channels, h, w]``."""
