"""Cells of NAS-Bench-101: table form, pruning, strings, hashes, enumeration."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from foretrain.errors import DataError
from foretrain.spaces.nasbench101 import (
    ABSENT,
    CONV1X1,
    CONV3X3,
    INPUT,
    MAXPOOL3X3,
    OUTPUT,
    Cells101,
    NASBench101,
)
from foretrain.spaces.nasbench101.cells import cells_from_genes

SPACE = NASBench101()


def make_cell(edges: list[tuple[int, int]], inner_ops: list[int]) -> Cells101:
    size = len(inner_ops) + 2
    adjacency = torch.zeros(1, 7, 7, dtype=torch.uint8)
    for source, target in edges:
        adjacency[0, source, target] = 1
    ops = torch.tensor([[INPUT, *inner_ops, OUTPUT] + [ABSENT] * (7 - size)], dtype=torch.int8)
    return Cells101(adjacency, ops)


def random_encodings(n: int, seed: int = 0) -> Cells101:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, 2, (n, 21), generator=generator, dtype=torch.uint8)
    return cells_from_genes(edges, torch.randint(0, 3, (n, 5), generator=generator, dtype=torch.int8))


def same(first: Cells101, second: Cells101) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.tensors(), second.tensors(), strict=True))


@pytest.fixture(scope="module")
def whole_space() -> Cells101:
    return SPACE.enumerate()


@pytest.fixture(scope="module")
def table(foretrain_data) -> pd.DataFrame:
    return pd.read_parquet(foretrain_data / "nasbench101" / "cells_test_accuracy.parquet")


def from_frame(frame: pd.DataFrame) -> Cells101:
    return Cells101.from_table(frame["edge_bits"], frame["n"], frame[["op1", "op2", "op3", "op4", "op5"]])


def simple_live_vertices(matrix: list[list[int]]) -> list[bool]:
    """Vertices on a path from 0 to 6, by walking all paths."""
    live = set()

    def walk(path: list[int]) -> None:
        if path[-1] == 6:
            live.update(path)
        for target in range(7):
            if matrix[path[-1]][target]:
                walk([*path, target])

    walk([0])
    return [vertex in live for vertex in range(7)]


def test_fields_need_their_shapes():
    with pytest.raises(ValueError, match=r"adjacency \[n, 7, 7\] and ops \[n, 7\], not .*\(2, 6, 6\)"):
        Cells101(torch.zeros(2, 6, 6), torch.zeros(2, 7))


def test_table_places_input_first_and_output_last():
    cells = Cells101.from_table([0b111, 0b100101], [3, 4], [[1, -1, -1, -1, -1], [0, 2, -1, -1, -1]])
    expected = [
        make_cell([(0, 1), (0, 2), (1, 2)], [CONV1X1]),
        make_cell([(0, 1), (1, 2), (2, 3)], [CONV3X3, MAXPOOL3X3]),
    ]
    assert same(cells, Cells101.cat(expected))
    assert cells.num_vertices.tolist() == [3, 4]
    assert cells.num_edges.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("bits", "vertices", "ops", "problem"),
    [
        (1, 1, [-1] * 5, "number of vertices is outside"),
        (1, 8, [0] * 5, "number of vertices is outside"),
        (0b1111, 3, [0, -1, -1, -1, -1], "names a vertex that is absent"),
        (-1, 3, [0, -1, -1, -1, -1], "names a vertex that is absent"),
        (0b111, 3, [-1, -1, -1, -1, -1], "an operation is not"),
        (0b111, 3, [0, 1, -1, -1, -1], "an operation is not"),
        (0b111, 3, [3, -1, -1, -1, -1], "an operation is not"),
    ],
)
def test_impossible_table_rows_are_named(bits, vertices, ops, problem):
    good = (0b111, 3, [0, -1, -1, -1, -1])
    rows = [good, (bits, vertices, ops)]
    with pytest.raises(DataError, match=rf"row 1: .*{problem}"):
        Cells101.from_table(*(list(column) for column in zip(*rows, strict=True)))


def test_prune_keeps_exactly_the_vertices_on_paths():
    cells = random_encodings(500)
    pruned = SPACE.prune(cells)
    for i, matrix in enumerate(cells.adjacency.tolist()):
        live = [vertex for vertex, is_live in enumerate(simple_live_vertices(matrix)) if is_live]
        size = len(live)
        assert pruned.ops[i].tolist() == [int(cells.ops[i, v]) for v in live] + [ABSENT] * (7 - size)
        assert pruned.adjacency[i, :size, :size].tolist() == [[matrix[v][w] for w in live] for v in live]
        assert int(pruned.num_edges[i]) == int(pruned.adjacency[i, :size, :size].sum())


def test_prune_is_idempotent():
    pruned = SPACE.prune(random_encodings(500))
    assert same(SPACE.prune(pruned), pruned)


def test_valid_needs_a_path_and_at_most_nine_live_edges():
    chain = [(v, v + 1) for v in range(6)]
    ten_edges = [*chain, (0, 2), (0, 3), (0, 4), (0, 5)]
    dead_vertex = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (1, 5), (2, 5), (3, 5), (4, 5)]
    cells = [
        make_cell([(0, 1)], []),
        make_cell([(1, 2)], [CONV3X3]),
        make_cell(ten_edges[:-1], [0] * 5),
        make_cell(ten_edges, [0] * 5),
        make_cell(dead_vertex, [0] * 5),
    ]
    assert SPACE.valid(Cells101.cat(cells)).tolist() == [True, False, True, False, True]


def test_invalid_cells_have_no_hash_and_no_network():
    broken = make_cell([(1, 2)], [CONV3X3])
    with pytest.raises(DataError, match=r"cells\[1\]: no path leads from input to output"):
        SPACE.canonical(Cells101.cat([make_cell([(0, 1)], []), broken]))
    crowded = make_cell([*((v, v + 1) for v in range(6)), (0, 2), (0, 3), (0, 4), (0, 5)], [0] * 5)
    with pytest.raises(DataError, match=r"cells\[0\]: 10 edges are live.*at most 9"):
        SPACE.build(crowded, 3, 10)


def test_string_form_is_the_published_pair():
    cell = make_cell([(0, 1), (0, 2), (1, 2)], [CONV3X3])
    assert SPACE.format(cell) == ["011001000:input,conv3x3-bn-relu,output"]


def test_strings_round_trip():
    cells = random_encodings(300, seed=1)
    with_dead_vertices = cells[SPACE.valid(cells)]
    cells = Cells101.cat([SPACE.prune(with_dead_vertices), with_dead_vertices])
    assert set(cells.num_vertices.tolist()) >= {2, 3, 4, 5, 6, 7}
    strings = SPACE.format(cells)
    assert same(SPACE.parse(strings), cells)
    assert SPACE.format(SPACE.parse(strings)) == strings


def test_empty_batches_parse_and_format():
    assert SPACE.format(SPACE.parse([])) == []
    assert SPACE.canonical(SPACE.parse([])) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0100", "not of the form"),
        ("012001000:input,conv3x3-bn-relu,output", "not of the form"),
        ("0110010:input,conv3x3-bn-relu,output", "7 adjacency digits for 3 operations, not 9"),
        ("011001000:input,conv5x5,output", "unknown operation 'conv5x5'"),
        ("011001000:input,input,output", "unknown operation 'input'"),
        ("011001000:conv3x3-bn-relu,maxpool3x3,output", "from 'conv3x3-bn-relu' to 'output'"),
        ("0:input", "1 operations are listed"),
        ("011011000:input,conv3x3-bn-relu,output", "same or a lower vertex"),
        ("000001000:input,conv3x3-bn-relu,output", "no path leads"),
    ],
)
def test_malformed_strings_are_named(text, problem):
    with pytest.raises(DataError, match=rf"\[1\]: .*{problem}"):
        SPACE.parse(["0100:input,output", text, "0100:input,output"])


def test_permuting_vertices_keeps_the_hash():
    edges, ops = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4), (0, 3)], [CONV3X3, CONV1X1, MAXPOOL3X3]
    number = [0, 2, 1, 3, 4]
    permuted = make_cell([(number[x], number[y]) for x, y in edges], [CONV1X1, CONV3X3, MAXPOOL3X3])
    first, second = SPACE.canonical(Cells101.cat([make_cell(edges, ops), permuted]))
    assert first == second


def test_different_cells_have_different_hashes():
    edges = [(0, 1), (0, 2), (1, 2), (2, 3)]
    cells = [make_cell(edges, [a, b]) for a in range(3) for b in range(3)] + [make_cell(edges[1:], [0, 1])]
    assert len(set(SPACE.canonical(Cells101.cat(cells)))) == 10


def test_dead_vertices_do_not_change_the_hash():
    chain = make_cell([(0, 1), (1, 2)], [CONV3X3])
    dead_end = make_cell([(0, 1), (0, 2), (1, 3)], [CONV3X3, MAXPOOL3X3])
    no_source = make_cell([(1, 3), (0, 2), (2, 3)], [CONV1X1, CONV3X3])
    assert len(set(SPACE.canonical(Cells101.cat([chain, dead_end, no_source])))) == 1


def test_enumeration_has_each_cell_once(whole_space):
    assert whole_space.num_vertices.bincount().tolist() == [0, 0, 1, 6, 84, 2441, 62010, 359082]
    assert bool(SPACE.valid(whole_space).all())
    small = whole_space[whole_space.num_vertices < 6]
    assert len(set(SPACE.canonical(small))) == len(small)


def test_hashes_equal_the_published_ones(table):
    rows = table.sample(2000, random_state=0)
    assert SPACE.canonical(from_frame(rows)) == [key.hex() for key in rows["hash16"]]


def test_whole_published_space_is_valid_and_round_trips(table):
    cells = from_frame(table)
    assert sum(tensor.nbytes for tensor in cells.tensors()) < 40e6
    assert bool(SPACE.valid(cells).all())
    assert same(SPACE.prune(cells), cells)
    edge_bits, num_vertices, ops = cells.to_table()
    assert (edge_bits == table["edge_bits"]).all()
    assert (num_vertices == table["n"]).all()
    assert (ops == table[["op1", "op2", "op3", "op4", "op5"]]).all(axis=None)


def test_enumerated_cells_are_the_published_ones(table, whole_space):
    rows = torch.randperm(len(whole_space), generator=torch.Generator().manual_seed(0))[:2000]
    published = {key.hex() for key in table["hash16"]}
    assert published.issuperset(SPACE.canonical(whole_space[rows]))
