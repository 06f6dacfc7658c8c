"""Drawing, mutating and crossing NAS-Bench-101 cells."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from foretrain.errors import DataError
from foretrain.spaces.nasbench101 import CONV3X3, MAXPOOL3X3, Cells101, NASBench101

SPACE = NASBench101()
N = 3000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(first: Cells101, second: Cells101) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.tensors(), second.tensors(), strict=True))


def is_valid_and_pruned(cells: Cells101) -> bool:
    return bool(SPACE.valid(cells).all()) and same(SPACE.prune(cells), cells)


@pytest.fixture(scope="module")
def cells() -> Cells101:
    return SPACE.sample(N, generator(7))


def test_sample_gives_valid_pruned_cells(cells):
    assert len(cells) == N
    assert is_valid_and_pruned(cells)
    assert len(SPACE.sample(0, generator())) == 0


def test_sample_is_uniform_over_distinct_cells():
    everything = SPACE.enumerate()
    expected = everything.num_vertices.bincount(minlength=8) / len(everything)
    drawn = SPACE.sample(40_000, generator())
    assert torch.allclose(drawn.num_vertices.bincount(minlength=8) / 40_000, expected, atol=0.01)
    expected = everything.num_edges.bincount(minlength=10) / len(everything)
    assert torch.allclose(drawn.num_edges.bincount(minlength=10) / 40_000, expected, atol=0.01)
    assert len(set(SPACE.canonical(drawn[:200]))) > 195


def test_results_are_determined_by_the_generator(cells):
    def draw(seed: int) -> list[Cells101]:
        g = generator(seed)
        sampled = SPACE.sample(200, g)
        return [sampled, SPACE.mutate(cells, g, 0.3), SPACE.crossover(cells, cells[torch.arange(N).flip(0)], g)]

    for first, second, other in zip(draw(1), draw(1), draw(2), strict=True):
        assert same(first, second)
        assert not same(first, other)


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_mutants_are_valid(cells, rate):
    mutants = SPACE.mutate(cells, generator(), rate)
    assert is_valid_and_pruned(mutants)
    assert not same(mutants, cells)


def test_mutation_at_rate_zero_changes_nothing(cells):
    assert same(SPACE.mutate(cells, generator(), 0.0), cells)


def test_mutation_at_rate_one_forgets_the_parent(cells):
    shares = []
    for parent in (SPACE.parse(["0100:input,output"])[0], cells[-1]):
        children = SPACE.mutate(parent[torch.zeros(20_000, dtype=torch.int64)], generator(len(shares)), 1.0)
        shares.append(children.num_vertices.bincount(minlength=8) / len(children))
    assert torch.allclose(shares[0], shares[1], atol=0.02)


def test_small_cells_can_grow():
    chain = SPACE.parse(["010001000:input,conv3x3-bn-relu,output"])
    mutants = SPACE.mutate(chain[torch.zeros(N, dtype=torch.int64)], generator(), 0.3)
    assert set(mutants.num_vertices.tolist()) >= {2, 3, 4, 5, 6}


def test_mutation_keeps_the_parents_whole():
    parents = SPACE.sample(100, generator())
    before = [tensor.clone() for tensor in parents.tensors()]
    SPACE.mutate(parents, generator(), 0.5)
    SPACE.crossover(parents, parents[torch.arange(100).flip(0)], generator())
    assert all(torch.equal(a, b) for a, b in zip(before, parents.tensors(), strict=True))


def test_crossover_is_valid_and_mixes(cells):
    others = cells[torch.randperm(N, generator=generator())]
    children = SPACE.crossover(cells, others, generator())
    assert is_valid_and_pruned(children)
    assert not same(children, cells)
    assert not same(children, others)


def test_crossing_a_cell_with_itself_gives_the_cell(cells):
    assert same(SPACE.crossover(cells, cells, generator()), cells)


def test_crossover_takes_every_element_from_a_parent():
    edges = "0100000001000000010000000100000001000000010000000"
    ops = ["input", *["conv3x3-bn-relu"] * 5, "output"]
    first = SPACE.parse([f"{edges}:{','.join(ops)}"])
    second = SPACE.parse([f"{edges}:{','.join(ops).replace('conv3x3-bn-relu', 'maxpool3x3')}"])
    rows = torch.zeros(2000, dtype=torch.int64)
    children = SPACE.crossover(first[rows], second[rows], generator())
    assert torch.equal(children.adjacency, first.adjacency[rows])
    kinds = Counter(map(tuple, children.ops[:, 1:-1].tolist()))
    assert len(kinds) == 2**5
    assert {op for kind in kinds for op in kind} == {CONV3X3, MAXPOOL3X3}


def test_a_child_that_is_never_valid_leaves_the_parent(monkeypatch):
    parents = SPACE.sample(50, generator())
    monkeypatch.setattr(
        "foretrain.spaces.nasbench101.space.is_valid_pruned", lambda cells: torch.zeros(len(cells), dtype=torch.bool)
    )
    assert same(SPACE.mutate(parents, generator(), 1.0), parents)
    assert same(SPACE.crossover(parents, parents[torch.arange(50).flip(0)], generator()), parents)


def test_misuse_is_named(cells):
    with pytest.raises(ValueError, match=r"rate is 1\.5, not between 0 and 1"):
        SPACE.mutate(cells, generator(), 1.5)
    with pytest.raises(ValueError, match=r"crossover needs pairs, not 3000 and 2 architectures"):
        SPACE.crossover(cells, cells[:2], generator())
    broken = Cells101(torch.zeros_like(cells.adjacency[:1]), cells.ops[:1])
    with pytest.raises(DataError, match=r"cells\[2\]: no path leads"):
        SPACE.mutate(Cells101.cat([cells[:2], broken]), generator(), 0.5)
    with pytest.raises(DataError, match=r"arch: 2 architectures where one is needed"):
        SPACE.build(cells[:2], 3, 10)
