from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_reference import assert_same_statistics, describe_layer, find_rows
from scipy import stats
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS, NetworkStatistics, describe, trainable_layers

LAYERS = [
    nn.Linear(7, 12),
    nn.Linear(3, 1),
    nn.Conv1d(4, 6, 3),
    nn.Conv2d(3, 8, (3, 2)),
    nn.Conv2d(8, 12, 1, groups=4),
    nn.Conv2d(6, 6, 3, groups=6),
    nn.Conv3d(2, 5, 2),
    nn.ConvTranspose1d(4, 6, 3),
    nn.ConvTranspose2d(4, 6, 3),
    nn.ConvTranspose2d(4, 6, 2, groups=2),
    nn.ConvTranspose3d(2, 3, 2),
]


def column(values: torch.Tensor, name: str) -> np.ndarray:
    return describe(values)[:, STATISTICS.index(name)].numpy()


def statistics_of(layers: list[nn.Module], seed: int = 0) -> NetworkStatistics:
    return NetworkStatistics(layers, torch.Generator().manual_seed(seed))


def with_gradients(layers: list[nn.Module]) -> list[nn.Module]:
    generator = torch.Generator().manual_seed(1)
    for layer in layers:
        layer.weight.grad = torch.randn(layer.weight.shape, generator=generator) * 1e-3
    return layers


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e-12, 1e5])
@pytest.mark.parametrize("n", [2, 5, 16, 100])
def test_describe_agrees_with_numpy_and_scipy_in_float64(scale: float, n: int):
    values = torch.randn(20, n, generator=torch.Generator().manual_seed(n)).square() * scale
    x = values.double().numpy()
    expected = {
        "mean": x.mean(1),
        "variance": x.var(1),
        "std": x.std(1),
        **{f"q{q}": np.percentile(x, q, axis=1) for q in (0, 25, 50, 75, 100)},
        "skewness": stats.skew(x, axis=1),
        "kurtosis": stats.kurtosis(x, axis=1, fisher=False),
        "l1": np.linalg.norm(x, 1, axis=1),
        "l2": np.linalg.norm(x, 2, axis=1),
    }
    assert list(expected) == list(STATISTICS)
    for name, value in expected.items():
        np.testing.assert_allclose(
            column(values, name), value, rtol=2e-5, atol=2e-5 * (name == "skewness"), err_msg=name
        )


def test_a_large_offset_does_not_spoil_the_centred_moments():
    values = 1000 + torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    x = values.double().numpy()
    np.testing.assert_allclose(column(values, "std"), x.std(1), rtol=1e-5)
    np.testing.assert_allclose(column(values, "kurtosis"), stats.kurtosis(x, axis=1, fisher=False), rtol=1e-4)


def test_a_row_that_varies_in_its_last_bits_only():
    values = 1 + torch.randint(4, (20, 30), generator=torch.Generator().manual_seed(0)) * 2.0**-23
    x = values.double().numpy()
    np.testing.assert_allclose(column(values, "std"), x.std(1), rtol=1e-5)
    np.testing.assert_allclose(column(values, "skewness"), stats.skew(x, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 16, 77])
@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e-30])
def test_a_constant_row_has_no_spread_and_no_shape(value: float, n: int):
    described = describe(torch.full((1, n), value))[0]
    expected = dict.fromkeys(STATISTICS, 0.0) | dict.fromkeys(("mean", "q0", "q25", "q50", "q75", "q100"), value)
    expected |= {"l1": n * abs(value), "l2": n**0.5 * abs(value)}
    np.testing.assert_allclose(described.numpy(), np.array(list(expected.values())), rtol=1e-6, atol=1e-20)


def test_nan_becomes_zero_and_infinities_are_bounded():
    nan, inf = torch.nan, torch.inf
    described = describe(torch.tensor([[1.0, nan, 2.0], [1.0, inf, 2.0], [-inf, 1.0, inf]]))
    by_name = dict(zip(STATISTICS, described.T.tolist(), strict=True))
    assert described[0].tolist() == [0.0] * 12
    assert by_name["mean"][1:] == [1e7, 0.0]
    assert by_name["q0"][1:] == [1.0, -1e7]
    assert by_name["q50"][1:] == [2.0, 1.0]
    assert by_name["q100"][1:] == [1e7, 1e7]
    assert by_name["l1"][1:] == by_name["l2"][1:] == [1e7, 1e7]
    assert by_name["std"][1:] == by_name["skewness"][1:] == by_name["kurtosis"][1:] == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_at_least_float32(dtype: torch.dtype):
    values = (torch.randn(4, 50, generator=torch.Generator().manual_seed(0)) * 100).to(dtype)
    described = describe(values)
    assert described.dtype == torch.float32
    torch.testing.assert_close(described, describe(values.float()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_rows_of_every_kind_of_layer(layer: nn.Module):
    with_gradients([layer])
    statistics = statistics_of([layer])
    table = statistics().numpy()
    weight, gradient = layer.weight.detach().double().numpy(), layer.weight.grad.double().numpy()
    for kind, tensor in enumerate([weight, gradient]):
        expected = describe_layer(layer, tensor, weight)
        assert statistics.rows.tolist() == [len(expected)]
        assert_same_statistics(table[kind, 0, : len(expected)], expected)
        assert not table[kind, 0, len(expected) :].any()


def test_all_layers_at_once_equal_each_alone():
    together = statistics_of(with_gradients(LAYERS))()
    assert together.shape == (2, len(LAYERS), ROWS, len(STATISTICS))
    for index, layer in enumerate(LAYERS):
        torch.testing.assert_close(together[:, index], statistics_of([layer])()[:, 0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 99), nn.Linear(5, 100), nn.Linear(5, 300), nn.Conv2d(16, 4, 3)], ids=repr
)
def test_of_more_than_99_rows_a_sorted_choice_is_kept_for_both_kinds_and_all_times(layer: nn.Module):
    layer.weight.grad = 2 * layer.weight.detach()
    statistics = statistics_of([layer], seed=3)
    table = statistics()
    assert statistics.rows.tolist() == [ROWS]
    weight = layer.weight.detach().double().numpy()
    chosen = find_rows(describe_layer(layer, weight, weight), table[0, 0].numpy())
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert len(chosen) == ROWS
    torch.testing.assert_close(table[1, ..., :8], table[0, ..., :8] * torch.tensor([2.0, 4, 2, 2, 2, 2, 2, 2]))
    assert torch.equal(table, statistics_of([layer], seed=3)())
    if len(weight) > ROWS:
        assert not torch.equal(table, statistics_of([layer], seed=4)())


def test_a_layer_without_gradient_has_zero_gradient_rows_and_still_its_weight_rows():
    layers = with_gradients([nn.Linear(4, 3), nn.Linear(3, 2)])
    layers[0].weight.grad = None
    table = statistics_of(layers)()
    assert not table[1, 0].any()
    assert table[1, 1, :3, STATISTICS.index("l2")].all()
    assert table[0, 0, :4, STATISTICS.index("l2")].all()


def test_the_gradient_scale_divides_gradients_only():
    layers = with_gradients([nn.Linear(4, 3)])
    plain = statistics_of(layers)()
    layers[0].weight.grad *= 1024
    assert torch.equal(statistics_of(layers)(gradient_scale=1024.0), plain)


def test_layers_after_the_65th_are_dropped():
    layers = with_gradients([nn.Linear(2, 2) for _ in range(MAX_LAYERS + 3)])
    statistics = statistics_of(layers)
    assert statistics.rows.tolist() == [3] * MAX_LAYERS
    assert torch.equal(statistics()[:, -1], statistics_of(layers[MAX_LAYERS - 1 : MAX_LAYERS])()[:, 0])


def test_statistics_do_not_touch_the_network():
    layers = with_gradients([nn.Linear(4, 3), nn.Conv2d(3, 2, 3)])
    before = [(layer.weight.clone(), layer.weight.grad.clone()) for layer in layers]
    assert not statistics_of(layers)().requires_grad
    for layer, (weight, gradient) in zip(layers, before, strict=True):
        assert torch.equal(layer.weight, weight)
        assert torch.equal(layer.weight.grad, gradient)


class Subclass(nn.Linear):
    pass


def test_trainable_layers_are_dense_and_convolutional_trained_and_counted_once():
    shared = nn.Linear(2, 2)
    tied = nn.Linear(2, 2)
    tied.weight = shared.weight
    frozen = nn.Linear(2, 2)
    frozen.weight.requires_grad = False
    network = nn.ModuleDict(
        {
            "conv": nn.Conv1d(2, 2, 1),
            "frozen": frozen,
            "norm": nn.BatchNorm1d(2),
            "block": nn.Sequential(nn.ConvTranspose2d(2, 2, 1), nn.ReLU(), Subclass(2, 2)),
            "shared": shared,
            "again": shared,
            "tied": tied,
            "embedding": nn.Embedding(3, 2),
        }
    )
    assert list(trainable_layers(network)) == ["conv", "block.0", "block.2", "shared"]
    assert trainable_layers(nn.ReLU()) == {}


def test_parametrised_weights_give_the_tensor_that_is_trained_and_are_not_recomputed():
    spectral = parametrizations.spectral_norm(nn.Linear(6, 4))
    normed = parametrizations.weight_norm(nn.Conv2d(2, 3, 3))
    with pytest.warns(FutureWarning):
        old_style = weight_norm(nn.Linear(2, 2))
    layers = list(trainable_layers(nn.ModuleList([spectral, normed, old_style])).values())
    assert layers == [spectral, normed]
    state = {name: value.clone() for name, value in spectral.state_dict().items()}
    table = statistics_of(layers)()
    for name, value in spectral.state_dict().items():
        assert torch.equal(value, state[name])
    originals = [spectral.parametrizations.weight.original, normed.parametrizations.weight.original1]
    for index, original in enumerate(originals):
        torch.testing.assert_close(table[0, index, 0], describe(original.detach().reshape(1, -1))[0])
