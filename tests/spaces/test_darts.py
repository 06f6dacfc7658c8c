"""The DARTS space against the published table, and the properties of its operators."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from foretrain.errors import ConfigError, DataError
from foretrain.spaces.darts import DARTS, CellPairs, DARTSNetwork
from foretrain.spaces.darts.cells import invalid_nodes
from foretrain.spaces.darts.network import Cell, FactorizedReduce

SPACE = DARTS()

# the architecture that the second-order search of the DARTS paper found on CIFAR-10
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def table(foretrain_data: Path) -> pd.DataFrame:
    return pd.read_parquet(foretrain_data / "darts" / "nasbench301_surrogate_1218.parquet", columns=["arch", "params"])


def test_every_published_row_is_read_written_and_encoded(table: pd.DataFrame) -> None:
    strings = table.arch.tolist()
    archs = SPACE.parse_compact(strings)
    assert SPACE.format_compact(archs) == strings
    again = SPACE.parse(SPACE.format(archs))
    assert torch.equal(again.ops, archs.ops)
    assert torch.equal(again.inputs, archs.inputs)
    for kind in SPACE.encoders:
        encoded = SPACE.encode(archs, kind)
        assert len(encoded) == len(strings)


def test_parameter_counts_of_the_published_table(table: pd.DataFrame) -> None:
    # the table counts 8 cells of 32 channels whose operations (not the layers around them) normalise without learning
    archs = SPACE.parse_compact(table.arch.tolist()[:25])
    for row in range(len(archs)):
        inputs, ops = archs.inputs[row].tolist(), archs.ops[row].tolist()
        with torch.device("meta"):
            network = DARTSNetwork(inputs, ops, 3, 10)
        learned = sum(
            count(module)
            for cell in network.cells
            for module in cell.nodes.modules()
            if isinstance(module, nn.BatchNorm2d)
        )
        assert (count(network) - learned) / 1e6 == pytest.approx(table.params[row], abs=1e-6)


def test_published_genotypes_are_read() -> None:
    arch = SPACE.parse([DARTS_V2])
    assert SPACE.format(arch) == [DARTS_V2]
    as_range = DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")
    assert SPACE.format(SPACE.parse([as_range])) == [DARTS_V2]
    # 3.3 million parameters with 20 cells of 36 channels, as published
    with torch.device("meta"):
        network = DARTSNetwork(arch.inputs[0].tolist(), arch.ops[0].tolist(), 3, 10, channels=36, layers=20)
    assert count(network) / 1e6 == pytest.approx(3.35, abs=0.05)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("('sep_conv_3x3', 0)", "('sep_conv_9x9', 0)"), "unknown operation 'sep_conv_9x9'"),
        (("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "node 5 of the normal cell"),
        (("('max_pool_3x3', 1)]", "('max_pool_3x3', 1), ('skip_connect', 0)]"), "eight pairs"),
        (
            ("('max_pool_3x3', 0), ('max_pool_3x3', 1)", "('max_pool_3x3', 0), ('max_pool_3x3', 0)"),
            "node 2 of the reduction cell",
        ),
        (("normal_concat=[2, 3, 4, 5]", "normal_concat=[2, 3, 4]"), "concatenation"),
        (("reduce_concat", "concat"), "four fields"),
        (("Genotype(", "Genotype["), "parenthesis"),
        (("normal=[", "normal=__import__('os').system('true') or ["), "malformed node"),
    ],
)
def test_a_malformed_genotype_is_named(change: tuple[str, str], problem: str) -> None:
    old, new = change
    at = DARTS_V2.rfind(old)
    broken = DARTS_V2[:at] + new + DARTS_V2[at + len(old) :]
    with pytest.raises(DataError, match=f"item 1.*{problem}") as error:
        SPACE.parse([DARTS_V2, broken])
    assert "The form is Genotype(" in str(error.value)


@pytest.mark.parametrize("text", ["", "5", "((1, 2), (3, 4))", "(((0, 4),), ((0, 3),))", "[[(0, 400)] * 8] * 2"])
def test_a_malformed_tuple_is_named(text: str, table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"item 1: .* The form is"):
        SPACE.parse_compact([table.arch[0], text])


def test_samples_are_valid_and_reproducible() -> None:
    archs = SPACE.sample(20_000, generator())
    assert not invalid_nodes(archs).any()
    assert torch.equal(archs.inputs, SPACE.sample(20_000, generator()).inputs)
    last = archs.inputs[:, :, 3].flatten()
    shares = torch.stack([(last == source).double().mean() for source in range(5)])
    assert (shares - 0.2).abs().max() < 0.01
    assert len(archs.ops.unique()) == 7


def test_mutants_are_valid_and_as_frequent_as_asked() -> None:
    archs = SPACE.sample(20_000, generator())
    mutants = SPACE.mutate(archs, generator(1), rate=0.5)
    assert not invalid_nodes(mutants).any()
    assert (mutants.ops != archs.ops).double().mean() == pytest.approx(0.5 * 6 / 7, abs=0.01)
    # node 0 must read both inputs; a redrawn input of the last node is another one in three of four cases
    assert torch.equal(mutants.inputs[:, :, 0], archs.inputs[:, :, 0])
    assert (mutants.inputs[:, :, 3, 0] != archs.inputs[:, :, 3, 0]).double().mean() == pytest.approx(0.375, abs=0.01)
    unchanged = SPACE.mutate(archs, generator(1), rate=0.0)
    assert torch.equal(unchanged.inputs, archs.inputs)
    assert torch.equal(unchanged.ops, archs.ops)
    with pytest.raises(ValueError, match="rate is -1"):
        SPACE.mutate(archs, generator(), rate=-1)


def test_children_take_whole_nodes() -> None:
    first, second = SPACE.sample(5000, generator(1)), SPACE.sample(5000, generator(2))
    child = SPACE.crossover(first, second, generator(3))
    assert not invalid_nodes(child).any()
    origin = [((child.inputs == p.inputs) & (child.ops == p.ops)).all(3) for p in (first, second)]
    assert (origin[0] | origin[1]).all()
    assert origin[0].double().mean() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="pairs"):
        SPACE.crossover(first, second[:3], generator())


def renumbered(arch: CellPairs, order: tuple[int, ...]) -> CellPairs | None:
    """The same cells with node i as node ``order[i]`` and the edges of each node in reverse, where that is possible."""
    place = [0, 1, *(2 + position for position in order)]
    nodes = [order.index(position) for position in range(4)]
    reads, does = arch.inputs[0].tolist(), arch.ops[0].tolist()
    inputs = [[[place[source] for source in reversed(cell[node])] for node in nodes] for cell in reads]
    ops = [[cell[node][::-1] for node in nodes] for cell in does]
    other = CellPairs(torch.tensor([inputs], dtype=torch.int8), torch.tensor([ops], dtype=torch.int8))
    return None if invalid_nodes(other).any() else other


def test_keys_ignore_numbering_and_nothing_else() -> None:
    archs = SPACE.sample(60, generator(5))
    renamed = 0
    for row in range(len(archs)):
        key = SPACE.canonical(archs[row])
        for order in permutations(range(4)):
            other = renumbered(archs[row], order)
            if other is not None:
                assert SPACE.canonical(other) == key
                renamed += order != (0, 1, 2, 3)
        changed = CellPairs(archs[row].inputs, archs[row].ops.clone())
        changed.ops[0, 0, 3, 0] = (changed.ops[0, 0, 3, 0] + 1) % 7
        assert SPACE.canonical(changed) != key
    assert renamed > 60


def test_keys_are_as_many_as_isomorphism_classes_of_small_cells() -> None:
    # all ways to read, with one operation only: classes counted by exhaustive renumbering
    choices = [[(a, b) for a in range(2 + node) for b in range(a)] for node in range(4)]
    wirings = [(p, q, r, s) for p in choices[0] for q in choices[1] for r in choices[2] for s in choices[3]]
    inputs = torch.tensor(wirings, dtype=torch.int8)[:, None].repeat(1, 2, 1, 1)
    archs = CellPairs(inputs, torch.zeros_like(inputs))
    orbits = set()
    for row in range(len(archs)):
        others = [renumbered(archs[row], order) for order in permutations(range(4))]
        orbits.add(min(str(o.inputs.sort(3).values.tolist()) for o in others if o is not None))
    assert len(set(SPACE.canonical(archs))) == len(orbits)


def test_one_key_means_one_size_and_the_same_nodes() -> None:
    image = torch.rand(2, 4, 6, 6, dtype=torch.double, generator=generator(6))
    checked = 0
    for row in range(20):
        arch = SPACE.sample(1, generator(100 + row))
        for order in permutations(range(4)):
            other = renumbered(arch, order)
            if other is None or order == (0, 1, 2, 3):
                continue
            kind, checked = checked % 2, checked + 1
            one, two = (
                Cell(a.inputs[0, kind].tolist(), a.ops[0, kind].tolist(), 4, 4, 4, bool(kind), False).double()
                for a in (arch, other)
            )
            assert count(one) == count(two)
            two.before_last.load_state_dict(one.before_last.state_dict())
            two.last.load_state_dict(one.last.state_dict())
            for node, position in enumerate(order):
                two.nodes[position].first.load_state_dict(one.nodes[node].second.state_dict())
                two.nodes[position].second.load_state_dict(one.nodes[node].first.state_dict())
            expected, computed = one(image, image).chunk(4, dim=1), two(image, image).chunk(4, dim=1)
            for node, position in enumerate(order):
                torch.testing.assert_close(computed[position], expected[node])
    assert checked > 10


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 10), (8, 8)])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_networks_take_images_of_any_size(height: int, width: int, layers: int) -> None:
    network = DARTS(channels=4, layers=layers).build(SPACE.sample(1, generator(layers)), 1, 7).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, height, width)).shape == (2, 7)


def test_factorized_reduction_reads_every_pixel_of_every_second_diagonal() -> None:
    reduce = FactorizedReduce(1, 2).eval()
    for parameter in (reduce.even.weight, reduce.odd.weight):
        nn.init.ones_(parameter)
    image = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    with torch.no_grad():
        halved = reduce(image) * (1 + reduce.norm.eps) ** 0.5
    torch.testing.assert_close(halved[0, 0], image[0, 0, ::2, ::2])
    torch.testing.assert_close(halved[0, 1], image[0, 0, 1::2, 1::2])


def test_exactly_one_architecture_is_built_and_the_space_is_not_enumerated() -> None:
    with pytest.raises(DataError, match="2 architectures where one is needed"):
        SPACE.build(SPACE.sample(2, generator()), 3, 10)
    with pytest.raises(ConfigError, match="cannot be enumerated"):
        SPACE.enumerate()
