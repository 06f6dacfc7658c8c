"""A finite space whose architectures travel as their numbers, so that what is asked of all of them is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar, overload

import torch
from torch import Tensor, nn

from foretrain.errors import ConfigError, DataError
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.encodings.graph import GraphBatch
from foretrain.spaces.modules import Members
from foretrain.spaces.relaxation import Relaxation

_UNKNOWN = -1

A = TypeVar("A", bound=Architectures)


class FiniteSpace(SearchSpace[Members], Generic[A]):
    """The distinct networks of a list of architectures; each is its number.

    Of architectures that are the same network the first stands for all. Encodings are computed for all members when
    the first one is asked for, and kept.

    Args:
        base: The space that the architectures belong to; it draws, changes and encodes them.
        archs: The architectures.

    Attributes:
        base: As given.
        archs: The N distinct architectures, in the order of the list.
        listed: ``int64[N]``, where each of them stands in the list.
    """

    def __init__(self, base: SearchSpace[A], archs: A) -> None:
        codes, first = _first_of_each(base.codes(archs))
        self.listed, order = first.sort()
        self.name = base.name
        self.encoders = base.encoders  # type: ignore[misc]
        self.decoders = base.decoders  # type: ignore[misc]
        self.base = base
        self.archs = archs[self.listed]
        self._codes = codes
        self._member_of_code = order.argsort()
        self._all = Members(torch.arange(len(self.archs)))
        self._encoded: dict[str, Tensor | GraphBatch] = {}

    def __len__(self) -> int:
        return len(self.archs)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what the base space has besides, e.g. its vocabulary
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)

    def relaxation(self) -> Relaxation[Members]:
        """Returns the base space's relaxed form; what is no member is not valid."""

        def named(archs: A) -> tuple[Members, Tensor]:
            found = self.find(archs)
            return Members(found.clamp(min=0)), found != _UNKNOWN

        return self.base.relaxation().followed_by(named)

    def enumerate(self) -> Members:
        """Returns all members, always as the same batch."""
        return self._all

    @overload
    def encode(self, archs: Members, kind: Literal["graph"]) -> GraphBatch: ...

    @overload
    def encode(self, archs: Members, kind: str) -> Tensor | GraphBatch: ...

    def encode(self, archs: Members, kind: str) -> Tensor | GraphBatch:
        """Looks the members' encodings up; see :meth:`SearchSpace.encode`."""
        if kind not in self._encoded:
            self._encoded[kind] = self.base.encode(self.archs, kind)
        encoded = self._encoded[kind]
        return encoded if archs is self._all else encoded[archs.index]

    def decode(self, tokens: Tensor, kind: str) -> tuple[Members, Tensor]:
        """Turns sequences back in the base space; those of architectures that are no members describe none here."""
        archs, valid = self.base.decode(tokens, kind)
        found = self.find(archs)
        listed = valid.clone()
        listed[valid] = found != _UNKNOWN
        return Members(found[found != _UNKNOWN]), listed

    def sample(self, n: int, generator: torch.Generator) -> Members:
        """Draws n members uniformly, with replacement."""
        return Members(torch.randint(len(self), (n,), generator=generator))

    def mutate(self, archs: Members, generator: torch.Generator, rate: float) -> Members:
        """Mutates in the base space; where the child is no member, the parent stays."""
        return self._members(self.base.mutate(self.archs[archs.index], generator, rate), archs)

    def crossover(self, first: Members, second: Members, generator: torch.Generator) -> Members:
        """Crosses in the base space; where the child is no member, the first parent stays."""
        children = self.base.crossover(self.archs[first.index], self.archs[second.index], generator)
        return self._members(children, first)

    def parse(self, strings: Sequence[str]) -> Members:
        """Reads the base space's published string form.

        Raises:
            DataError: A string is malformed or names no member.
        """
        found = self.find(self.base.parse(strings))
        if (found == _UNKNOWN).any():
            position = int((found == _UNKNOWN).nonzero()[0])
            raise DataError("architecture", f"{strings[position]} is none of the {len(self)}", "Name a member")
        return Members(found)

    def format(self, archs: Members) -> list[str]:
        """Writes the published string form of the base space."""
        return self.base.format(self.archs[archs.index])

    def canonical(self, archs: Members) -> list[str]:
        """Returns the keys of the base space."""
        return self.base.canonical(self.archs[archs.index])

    def codes(self, archs: Members) -> Tensor:
        """Returns the members' numbers."""
        return archs.index

    def build(self, arch: Members, in_channels: int, num_classes: int) -> nn.Module:
        """Builds the network of one member in the base space's skeleton."""
        return self.base.build(self.archs[arch.index], in_channels, num_classes)

    def find(self, archs: A) -> Tensor:
        """Returns ``int64[n]``: the numbers of architectures of the base space, -1 for those that are no members."""
        codes = self.base.codes(archs)
        place = torch.searchsorted(self._codes, codes).clamp(max=len(self) - 1)
        return torch.where(self._codes[place] == codes, self._member_of_code[place], _UNKNOWN)

    def _members(self, children: A, parents: Members) -> Members:
        found = self.find(children)
        return Members(torch.where(found == _UNKNOWN, parents.index, found))


def _first_of_each(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the distinct codes in ascending order and the first position of each."""
    if len(codes) == 0:
        raise ConfigError("space", "is empty", allowed="at least one architecture")
    distinct, inverse = torch.unique(codes, return_inverse=True)
    positions = torch.arange(len(codes))
    first = torch.full_like(distinct, len(codes)).scatter_reduce(0, inverse, positions, "amin")
    return distinct, first
