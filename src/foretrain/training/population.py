"""Populations of candidate networks: distinct architectures, each with its own way of being trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.runtime.seeding import derive_seed, make_generator
from foretrain.spaces.base import Architectures, SearchSpace

_BLOCK = 256
_FRUITLESS_BLOCKS = 20


@dataclass(frozen=True)
class Candidate:
    """A network that can be trained: its architecture, and how.

    Attributes:
        key: Name within its population, usable as a file name, e.g. ``net-0007``.
        arch: The architecture in the published string form of its space.
        optimizer: SGD with momentum, or Adam.
        learning_rate: The learning rate, or its start.
        momentum: Momentum of SGD.
        weight_decay: L2 regularisation; 0 for none.
        cosine: Whether the learning rate decays to zero along a cosine.
        seed: Seed of its weights, its batches and all else that is random in its training.
    """

    key: str
    arch: str
    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    momentum: float
    weight_decay: float
    cosine: bool
    seed: int


@dataclass(frozen=True)
class Recipe:
    """What the training of a candidate is drawn from, after NAP2 (appendix A.2).

    The paper draws each network's optimiser, Adam or SGD (NAS-Bench-101 has the latter only), and its learning rate,
    has no cosine decay with Adam, and lets some networks run without regularisation. It does not give the sets.

    Args:
        optimizers: Optimisers to choose from.
        sgd_learning_rates: Learning rates to choose from with SGD.
        adam_learning_rates: Learning rates to choose from with Adam.
        momentum: Momentum of SGD.
        weight_decays: L2 regularisations to choose from; 0 is none, 1e-4 that of NAS-Bench-101.
        cosine: Whether SGD's learning rate decays to zero along a cosine; Adam's stays.
    """

    optimizers: Annotated[Sequence[Literal["sgd", "adam"]], Field(min_length=1)] = ("sgd", "adam")
    sgd_learning_rates: Annotated[Sequence[Annotated[float, Field(gt=0)]], Field(min_length=1)] = (0.3, 0.1, 0.03, 0.01)
    adam_learning_rates: Annotated[Sequence[Annotated[float, Field(gt=0)]], Field(min_length=1)] = (3e-3, 1e-3, 3e-4)
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decays: Annotated[Sequence[Annotated[float, Field(ge=0)]], Field(min_length=1)] = (0.0, 1e-4)
    cosine: bool = True

    def draw(self, generator: torch.Generator) -> dict[str, Any]:
        """Draws the training fields of one :class:`Candidate`, each choice being equally likely."""
        optimizer = _choose(self.optimizers, generator)
        sgd = optimizer == "sgd"
        return {
            "optimizer": optimizer,
            "learning_rate": _choose(self.sgd_learning_rates if sgd else self.adam_learning_rates, generator),
            "momentum": self.momentum if sgd else 0.0,
            "weight_decay": _choose(self.weight_decays, generator),
            "cosine": self.cosine and sgd,
        }


def sample_population(space: SearchSpace[Any], n: int, recipe: Recipe, seed: int) -> list[Candidate]:
    """Draws n candidates with different networks.

    Candidate i is the same for every n > i: a population can be made bigger and keeps what it had.

    Args:
        space: Where the architectures come from; no two of them have the same canonical key.
        n: Number of candidates.
        recipe: What their trainings are drawn from.
        seed: Seed of the population.

    Raises:
        ConfigError: The space has (as far as sampling can tell) fewer than n different networks.
    """
    archs = list(islice(_distinct(space, seed), n))
    if len(archs) < n:
        raise ConfigError("data.population", "more networks than the space has", n, f"at most {len(archs)}")
    return [
        Candidate(
            key=f"net-{index:04d}",
            arch=arch,
            seed=derive_seed(seed, "candidate", index),
            **recipe.draw(make_generator(seed, "recipe", index)),
        )
        for index, arch in enumerate(archs)
    ]


def _distinct(space: SearchSpace[Any], seed: int) -> Iterator[str]:
    """Architectures with keys not seen before, drawn block by block; ends when no block brings a new one."""
    seen: set[str] = set()
    block = fruitless = 0
    while fruitless < _FRUITLESS_BLOCKS:
        archs: Architectures = space.sample(_BLOCK, make_generator(seed, "architectures", block))
        first = {key: index for index, key in reversed(list(enumerate(space.canonical(archs)))) if key not in seen}
        yield from space.format(archs[sorted(first.values())]) if first else ()
        seen.update(first)
        block, fruitless = block + 1, 0 if first else fruitless + 1


def _choose(values: Sequence[Any], generator: torch.Generator) -> Any:  # noqa: ANN401 - whatever the sequence holds
    return values[int(torch.randint(len(values), (), generator=generator))]
