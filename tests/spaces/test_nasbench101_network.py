"""Networks of NAS-Bench-101 cells."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from foretrain.errors import DataError
from foretrain.spaces.nasbench101 import CONV1X1, CONV3X3, INPUT, MAXPOOL3X3, OUTPUT, Cells101, NASBench101
from foretrain.spaces.nasbench101 import network as network_module
from foretrain.spaces.nasbench101.network import Cell, ConvBnRelu, NASBench101Network, vertex_channels

DIAMOND = [[0, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
CHAIN = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
SKIP = [[0, 1], [0, 0]]


@pytest.fixture
def weightless(monkeypatch):
    """Layers get no weights drawn: for counting them only."""
    for layer in (nn.Conv2d, nn.Linear, nn.BatchNorm2d):
        monkeypatch.setattr(layer, "reset_parameters", lambda _: None)
    monkeypatch.setattr(network_module, "_initialize", lambda _: None)


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("adjacency", "out_channels", "expected"),
    [
        (SKIP, 16, [8, 16]),
        (CHAIN, 16, [8, 16, 16]),
        (DIAMOND, 12, [8, 4, 4, 4, 12]),
        (DIAMOND, 13, [8, 5, 4, 4, 13]),
        (DIAMOND, 14, [8, 5, 5, 4, 14]),
        ([[0, 1, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [0] * 5], 9, [8, 4, 5, 4, 9]),
        ([[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5], 9, [8, 5, 5, 4, 9]),
    ],
)
def test_vertex_channels_by_hand(adjacency, out_channels, expected):
    assert vertex_channels(adjacency, 8, out_channels) == expected


def test_too_few_channels_to_share():
    with pytest.raises(ValueError, match="2 channels cannot be shared by the 3 vertices"):
        vertex_channels(DIAMOND, 8, 2)


def test_cell_computes_what_is_published():
    """Projected input, addition with truncation inside, concatenation at the output, input added there."""
    adjacency = [row[:] for row in DIAMOND]
    adjacency[0][3] = adjacency[0][4] = 1
    cell = Cell(adjacency, [INPUT, CONV3X3, MAXPOOL3X3, CONV1X1, OUTPUT], 8, 13).eval()
    x = torch.randn(2, 8, 5, 5)
    one, two, three = cell.vertices
    a = one.op(one.projection(x))
    b = nn.functional.max_pool2d(two.projection(x), 3, stride=1, padding=1)
    c = three.op(a[:, :4] + three.projection(x))
    assert [t.shape[1] for t in (a, b, c)] == [5, 4, 4]
    torch.testing.assert_close(cell(x), torch.cat([a, b, c], dim=1) + cell.projection(x))


def test_cell_without_inner_vertices_is_a_projection():
    cell = Cell(SKIP, [INPUT, OUTPUT], 4, 6).eval()
    x = torch.randn(2, 4, 3, 3)
    assert len(cell.vertices) == 0
    torch.testing.assert_close(cell(x), cell.projection(x))


def test_convolutions_are_as_published():
    conv, norm, relu = ConvBnRelu(3, 64, kernel_size=3)
    assert (conv.bias, conv.padding, norm.eps, norm.momentum, type(relu)) == (None, (1, 1), 1e-5, 0.003, nn.ReLU)
    network = NASBench101Network(CHAIN, [INPUT, CONV3X3, OUTPUT], 3, 10, stem_channels=64, stacks=1)
    weight = network.features[1].vertices[0].op[0].weight
    assert float(weight.detach().std()) == pytest.approx((64 * 9) ** -0.5, rel=0.02)


def test_skeleton_halves_images_and_doubles_channels():
    network = NASBench101Network(CHAIN, [INPUT, CONV1X1, OUTPUT], 3, 10, stem_channels=6, stacks=3, cells_per_stack=2)
    shapes = []
    for layer in network.features:
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    network(torch.randn(1, 3, 9, 12))
    first, second, third = (6, 9, 12), (12, 5, 6), (24, 3, 3)
    assert shapes == [first, first, first, (6, 5, 6), second, second, (12, 3, 3), third, third]


def test_small_network_trains_on_one_channel_images():
    space = NASBench101(stem_channels=8, stacks=2, cells_per_stack=1)
    cells = space.sample(4, torch.Generator().manual_seed(0))
    images = torch.randn(4, 1, 8, 8)
    for i in range(len(cells)):
        network = space.build(cells[i], in_channels=1, num_classes=7)
        logits = network(images)
        assert logits.shape == (4, 7)
        nn.functional.cross_entropy(logits, torch.arange(4)).backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_dead_vertices_are_not_built():
    space = NASBench101(stem_channels=8)
    strings = [
        "010001000:input,conv3x3-bn-relu,output",
        "0110000000010000:input,conv1x1-bn-relu,conv3x3-bn-relu,output",
    ]
    live, with_dead_end = (space.build(space.parse([text]), 1, 2) for text in strings)
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (live, with_dead_end)]
    assert shapes[0] == shapes[1]


def test_images_must_survive_the_poolings():
    network = NASBench101(stem_channels=8).build(NASBench101().parse(["0100:input,output"]), 1, 2)
    assert network(torch.zeros(2, 1, 4, 4)).shape == (2, 2)
    with pytest.raises(DataError, match=r"images: 8 x 3 pixels are too few.*at least 4 x 4 pixels, or fewer stacks"):
        network(torch.zeros(2, 1, 8, 3))


@pytest.fixture(scope="module")
def table(foretrain_data) -> pd.DataFrame:
    return pd.read_parquet(foretrain_data / "nasbench101" / "cells_test_accuracy.parquet")


def published(rows: pd.DataFrame) -> tuple[Cells101, list[int]]:
    cells = Cells101.from_table(rows["edge_bits"], rows["n"], rows[["op1", "op2", "op3", "op4", "op5"]])
    return cells, rows["params"].tolist()


@pytest.mark.usefixtures("weightless")
def test_parameter_counts_equal_the_published_ones(table):
    """The five kinds of cell in the published skeleton, and stem and dense layer, add up to the count."""
    cells, expected = published(pd.concat([table[table["n"] < 5], table.sample(300, random_state=1)]))
    kinds = [(128, 128, 3), (128, 256, 1), (256, 256, 2), (256, 512, 1), (512, 512, 2)]
    ends = count_parameters(ConvBnRelu(3, 128, 3)) + count_parameters(nn.Linear(512, 10))
    matrices, ops, sizes = cells.adjacency.tolist(), cells.ops.tolist(), cells.num_vertices.tolist()
    for matrix, codes, size, count in zip(matrices, ops, sizes, expected, strict=True):
        adjacency = [row[:size] for row in matrix[:size]]
        counts = (times * count_parameters(Cell(adjacency, codes[:size], a, b)) for a, b, times in kinds)
        assert ends + sum(counts) == count


def test_whole_networks_have_the_published_parameter_count(table):
    space = NASBench101()
    cells, expected = published(table.sample(5, random_state=1))
    assert [count_parameters(space.build(cells[i], 3, 10)) for i in range(5)] == expected


def test_building_on_the_meta_device(table):
    cells, expected = published(table.sample(3, random_state=1))
    with torch.device("meta"):
        networks = [NASBench101().build(cells[i], 3, 10) for i in range(3)]
    assert [count_parameters(network) for network in networks] == expected
    assert all(parameter.is_meta for network in networks for parameter in network.parameters())
