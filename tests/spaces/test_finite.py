"""Networks told apart by numbers, and spaces whose architectures are numbers."""

from __future__ import annotations

import copy

import pytest
import torch

from foretrain.errors import ConfigError, DataError
from foretrain.spaces.base import SearchSpace
from foretrain.spaces.encodings.neighbourhoods import neighbourhoods
from foretrain.spaces.finite import FiniteSpace
from foretrain.spaces.modules import Members
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201

SPACES = [NASBench101(), NASBench201()]
on_both = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@on_both
def test_codes_are_equal_where_canonical_keys_are(space):
    archs = space.sample(60, _generator())
    archs = type(archs).cat([archs, space.mutate(archs, _generator(1), 0.1)])
    for codes in (space.codes(archs), SearchSpace.codes(space, archs)):
        keys = space.canonical(archs)
        assert [len({*group}) for group in _grouped(codes.tolist(), keys)] == [1] * len(set(keys))
        assert len(set(keys)) == len(codes.unique())


def _grouped(codes: list[int], keys: list[str]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for code, key in zip(codes, keys, strict=True):
        groups.setdefault(key, []).append(code)
    return list(groups.values())


def test_codes_of_cells_ascend_over_the_enumeration():
    space = NASBench101()
    codes = space.codes(space.enumerate()[::97])
    assert (codes[1:] > codes[:-1]).all()


@on_both
def test_members_are_the_first_of_equal_networks(space):
    archs = space.sample(50, _generator(2))
    twice = type(archs).cat([archs, archs])
    finite = FiniteSpace(space, twice)
    assert len(finite) == len(space.codes(archs).unique())
    assert (finite.listed < 50).all()
    assert torch.equal(finite.find(finite.archs), torch.arange(len(finite)))
    stranger = space.sample(200, _generator(3))
    found = finite.find(stranger)
    same = finite.base.codes(finite.archs)[found.clamp(min=0)] == space.codes(stranger)
    assert torch.equal(found >= 0, same)


@on_both
def test_encodings_are_those_of_the_base_space(space):
    finite = FiniteSpace(space, space.sample(40, _generator(4)))
    some = Members(torch.tensor([3, 0, 3]))
    expected = space.encode(finite.archs[[3, 0, 3]], "graph_features")
    assert torch.equal(finite.encode(some, "graph_features"), expected)
    assert finite.encode(finite.enumerate(), "graph_features") is finite.encode(finite.enumerate(), "graph_features")
    assert torch.equal(finite.encode(some, "graph").adjacency, space.encode(finite.archs[[3, 0, 3]], "graph").adjacency)
    assert finite.vocabulary is space.vocabulary


@on_both
def test_children_are_members(space):
    archs = space.sample(30, _generator(5))
    kin = [space.mutate(archs, _generator(seed), 0.05) for seed in range(30)]
    finite = FiniteSpace(space, type(archs).cat([archs, *kin]))
    parents = finite.sample(100, _generator(6))
    for children in (
        finite.mutate(parents, _generator(7), 0.2),
        finite.crossover(parents, finite.sample(100, _generator(8)), _generator(9)),
    ):
        assert ((children.index >= 0) & (children.index < len(finite))).all()
    assert (finite.mutate(parents, _generator(7), 0.05).index != parents.index).any()


def test_strings_name_members_only():
    space = NASBench201()
    finite = FiniteSpace(space, space.sample(5, _generator(10)))
    names = finite.format(finite.enumerate())
    assert finite.parse(names).index.tolist() == list(range(len(finite)))
    everyone = space.format(space.enumerate()[torch.arange(0, 15_625, 31)])
    with pytest.raises(DataError, match="is none of the"):
        finite.parse(everyone)


def test_an_empty_space_is_refused():
    space = NASBench201()
    with pytest.raises(ConfigError, match="is empty"):
        FiniteSpace(space, space.enumerate()[:0])


@on_both
def test_neighbourhoods_have_one_number_each(space):
    graphs = space.encode(space.sample(80, _generator(11)), "graph")
    codes = neighbourhoods(graphs)
    size = graphs.mask.shape[1]
    meaning: dict[int, tuple[object, ...]] = {}
    for side, adjacency in enumerate((graphs.adjacency, graphs.adjacency.mT)):
        for graph, vertex in graphs.mask.nonzero().tolist():
            around = adjacency[graph, vertex] > 0
            labels = graphs.vertices[graph].argmax(1)
            colour = (side, int(labels[vertex]), tuple(sorted(labels[around].tolist())))
            assert meaning.setdefault(int(codes[graph, side * size + vertex]), colour) == colour
    assert len(set(meaning.values())) == len(meaning)
    assert (codes[:, :size][~graphs.mask] == -1).all()


def test_sequences_of_what_is_no_member_describe_no_network():
    base = NASBench201()
    drawn = base.sample(40, torch.Generator().manual_seed(3))
    space = FiniteSpace(base, drawn[:20])
    tokens = torch.as_tensor(base.encode(drawn, "compact_sequence"))
    tokens[5] = 0
    found, valid = space.decode(tokens, "compact_sequence")
    members = space.find(drawn)
    members[5] = -1
    assert torch.equal(valid, members >= 0)
    assert torch.equal(found.index, members[members >= 0])


def test_a_finite_space_is_copied_and_builds_as_its_base():
    base = NASBench201(channels=4, cells_per_stage=1)
    space = FiniteSpace(base, base.sample(3, torch.Generator().manual_seed(0)))
    again = copy.deepcopy(space)
    members = again.sample(2, torch.Generator())
    assert again.canonical(members) == base.canonical(again.archs[members.index])
    network = again.build(members[torch.tensor([0])], 3, 10)
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 10)
