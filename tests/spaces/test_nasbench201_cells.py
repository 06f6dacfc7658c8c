"""NAS-Bench-201 cells: drawing, changing, naming; checked against the published strings."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch

from foretrain.errors import ConfigError, DataError
from foretrain.spaces.nasbench201 import EDGES, NUM_CELLS, OPERATIONS, Cells201, NASBench201
from foretrain.spaces.nasbench201.cells import to_codes

SPACE = NASBench201()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def published(foretrain_data: Path) -> pd.DataFrame:
    return pd.read_parquet(foretrain_data / "nasbench201" / "accuracies.parquet", columns=["arch_str", "unique_str"])


def test_enumeration_is_every_cell_in_lexicographic_order() -> None:
    assert SPACE.enumerate().ops.tolist() == [list(ops) for ops in product(range(5), repeat=6)]
    assert to_codes(SPACE.enumerate()).tolist() == list(range(NUM_CELLS))


def test_every_published_string_is_read_and_written_back(published: pd.DataFrame) -> None:
    strings = published.arch_str.tolist()
    cells = SPACE.parse(strings)
    assert SPACE.format(cells) == strings
    assert len(to_codes(cells).unique()) == NUM_CELLS


def test_operation_and_edge_order_of_the_string() -> None:
    cell = SPACE.parse(["|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"])
    assert [OPERATIONS[op] for op in cell.ops[0]] == [
        "avg_pool_3x3",
        "nor_conv_1x1",
        "skip_connect",
        "none",
        "nor_conv_3x3",
        "skip_connect",
    ]


def test_the_published_classes_are_reproduced_to_the_letter(published: pd.DataFrame) -> None:
    keys = SPACE.published_key(SPACE.parse(published.arch_str.tolist()))
    assert keys == published.unique_str.tolist()
    assert len(set(keys)) == 6466


def test_naslib_tuples_make_a_round_trip() -> None:
    cells = SPACE.enumerate()
    tuples = SPACE.format_naslib(cells)
    assert sorted(tuples) == sorted(product(range(5), repeat=6))
    assert torch.equal(SPACE.parse_naslib(tuples).ops, cells.ops)


def test_naslib_orders_edges_by_source_and_has_its_own_operation_codes() -> None:
    # the example of an unreachable operation in the documentation of NAS-Bench-Suite-Zero's users:
    # in (2, 1, 0, 1, 0, 2) the last edge gets no input, since edges 0-2 and 1-2 are zero
    operation = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
    edges = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    codes = (2, 1, 0, 1, 0, 2)
    named = {edge: operation[code] for edge, code in zip(edges, codes, strict=True)}
    cell = SPACE.parse_naslib([codes])
    assert [OPERATIONS[op] for op in cell.ops[0]] == [named[edge] for edge in EDGES]
    assert SPACE.canonical(cell) == SPACE.canonical(SPACE.parse_naslib([(2, 1, 0, 1, 0, 1)]))


@pytest.mark.parametrize(
    "string",
    [
        "",
        "|none~0|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|conv~2|",
        "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|",
    ],
)
def test_a_malformed_string_is_named(string: str) -> None:
    good = SPACE.format(SPACE.enumerate()[0])
    with pytest.raises(DataError, match=r"item 1 is .*The form is"):
        SPACE.parse([*good, string])


@pytest.mark.parametrize("codes", [(0, 1, 2), (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, -1)])
def test_a_malformed_naslib_tuple_is_named(codes: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="item 1 is"):
        SPACE.parse_naslib([(0,) * 6, codes])


def test_no_strings_are_no_cells() -> None:
    assert len(SPACE.parse([])) == 0
    assert len(SPACE.parse_naslib([])) == 0
    assert SPACE.canonical(SPACE.parse([])) == []


def test_sampling_is_uniform_and_reproducible() -> None:
    cells = SPACE.sample(50_000, generator())
    assert torch.equal(cells.ops, SPACE.sample(50_000, generator()).ops)
    assert cells.ops.dtype == torch.int8
    counts = torch.stack([(cells.ops == op).sum(0) for op in range(5)]).double()
    assert (counts / 50_000 - 0.2).abs().max() < 0.01


def test_mutation_redraws_at_the_given_rate() -> None:
    cells = SPACE.sample(20_000, generator())
    assert torch.equal(SPACE.mutate(cells, generator(1), rate=0.0).ops, cells.ops)
    changed = (SPACE.mutate(cells, generator(1), rate=0.5).ops != cells.ops).double().mean()
    assert changed == pytest.approx(0.5 * 0.8, abs=0.01)
    with pytest.raises(ValueError, match="rate is 2"):
        SPACE.mutate(cells, generator(1), rate=2)


def test_crossover_takes_every_operation_from_a_parent() -> None:
    first, second = SPACE.sample(20_000, generator(1)), SPACE.sample(20_000, generator(2))
    child = SPACE.crossover(first, second, generator(3))
    from_first, from_second = child.ops == first.ops, child.ops == second.ops
    assert (from_first | from_second).all()
    assert from_first[~from_second].numel() == pytest.approx(0.5 * 0.8 * child.ops.numel(), rel=0.05)
    with pytest.raises(ValueError, match="pairs"):
        SPACE.crossover(first, second[:3], generator())


def test_batches_select_and_join() -> None:
    cells = SPACE.enumerate()
    joined = Cells201.cat([cells[5], cells[[7, 9]], cells[torch.tensor([11])]])
    assert to_codes(joined).tolist() == [5, 7, 9, 11]


def test_an_unknown_encoding_is_named_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown to the space nasbench201 \(value: 'onehot'\).*one_hot, ordinal"):
        SPACE.encode(SPACE.enumerate()[:2], "onehot")
