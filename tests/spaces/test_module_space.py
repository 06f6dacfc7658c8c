"""Own networks as a space."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foretrain.errors import ConfigError, DataError
from foretrain.spaces.modules import Members, ModuleSpace


def linear(in_channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes), nn.Identity(in_channels))


@pytest.fixture
def space() -> ModuleSpace:
    return ModuleSpace([nn.Linear(3, 2), linear, nn.Conv2d(1, 1, 1)], ["small", "made", "conv"])


def test_names_find_networks(space: ModuleSpace) -> None:
    archs = space.parse(["conv", "small"])
    assert archs.index.tolist() == [2, 0]
    assert space.format(archs) == space.canonical(archs) == ["conv", "small"]
    assert space.format(space.enumerate()) == ["small", "made", "conv"]
    with pytest.raises(DataError, match=r"item 1 is 'big'.*conv, made, small"):
        space.parse(["conv", "big"])


def test_a_module_is_copied_with_its_weights(space: ModuleSpace) -> None:
    built = space.build(space.parse(["small"]), 3, 2)
    original = space.networks[0]
    assert isinstance(original, nn.Linear)
    assert isinstance(built, nn.Linear)
    assert torch.equal(built.weight, original.weight)
    nn.init.zeros_(built.weight)
    assert original.weight.any()


def test_a_factory_is_told_channels_and_classes(space: ModuleSpace) -> None:
    built = space.build(space.parse(["made"]), 1, 7)
    assert built(torch.rand(2, 1, 4, 4)).shape == (2, 7)
    with pytest.raises(DataError, match="3 architectures where one is needed"):
        space.build(space.enumerate(), 1, 7)


def test_networks_are_drawn_and_replaced(space: ModuleSpace) -> None:
    generator = torch.Generator().manual_seed(0)
    archs = space.sample(30_000, generator)
    assert torch.bincount(archs.index).tolist() == pytest.approx([10_000] * 3, rel=0.05)
    assert torch.equal(space.mutate(archs, generator, rate=0).index, archs.index)
    changed = (space.mutate(archs, generator, rate=0.6).index != archs.index).double().mean()
    assert changed == pytest.approx(0.4, abs=0.02)
    others = space.sample(30_000, generator)
    child = space.crossover(archs, others, generator)
    assert ((child.index == archs.index) | (child.index == others.index)).all()
    assert (child.index[archs.index != others.index] == archs.index[archs.index != others.index]).double().mean() == (
        pytest.approx(0.5, abs=0.02)
    )
    with pytest.raises(ValueError, match="rate"):
        space.mutate(archs, generator, rate=1.5)
    with pytest.raises(ValueError, match="pairs"):
        space.crossover(archs, others[:2], generator)


def test_there_is_no_encoding(space: ModuleSpace) -> None:
    with pytest.raises(ConfigError, match=r"unknown to the space modules.*none at all"):
        space.encode(space.enumerate(), "one_hot")


def test_names_must_tell_networks_apart() -> None:
    assert ModuleSpace([linear, linear]).names == ["0", "1"]
    with pytest.raises(ConfigError, match=r"space\.networks"):
        ModuleSpace([])
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ConfigError, match=r"space\.names"):
            ModuleSpace([linear, linear], names)
    assert len(Members.cat([Members(torch.tensor([0])), Members(torch.tensor([1]))])) == 2
