"""The normalizer agrees with NumPy on the valid cells and leaves nothing in the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretrain.errors import DataError
from foretrain.snapshots import normalizer as room
from foretrain.snapshots.normalizer import FeatureNormalizer, valid_cells


def make_maps(n: int = 6, layers: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of networks of 1 to ``layers`` layers, whose padding is full of large values."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(1, 101, (n, layers), generator=draw)
    depth = 1 + torch.arange(n) % layers
    rows[torch.arange(layers) >= depth[:, None]] = 0
    offset, scale = 10 * torch.randn(2, 12, generator=draw)
    maps = torch.randn(n, layers, 100, 12, generator=draw) * scale.abs() + offset
    maps[:, :, 0] += 9
    return maps.masked_fill(~valid_cells(rows), 1e4).half(), rows


def reference(maps: torch.Tensor, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of whole layers and of single rows, cell by cell."""
    groups: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for sample, sample_rows in zip(maps.double().numpy(), rows.tolist(), strict=True):
        for layer, count in zip(sample, sample_rows, strict=True):
            groups[0].extend(layer[:1][:count])
            groups[1].extend(layer[1:count])
    return tuple(np.stack([f(np.stack(group), axis=0) for group in groups]) for f in (np.mean, np.std))  # type: ignore[return-value]


@pytest.mark.parametrize("chunk", [1 << 22, 1])
def test_it_fits_the_valid_cells_only(monkeypatch: pytest.MonkeyPatch, chunk: int):
    monkeypatch.setattr(room, "_CHUNK_CELLS", chunk)
    maps, rows = make_maps()
    fitted = FeatureNormalizer().fit(maps, rows)
    mean, std = reference(maps, rows)
    np.testing.assert_allclose(fitted.mean.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(fitted.std.numpy(), std, rtol=1e-5)


def test_valid_cells_are_standardised_and_padding_is_zero():
    maps, rows = make_maps()
    output = FeatureNormalizer().fit(maps, rows)(maps, rows)
    mean, std = reference(output, rows)
    assert output.dtype == torch.float32
    np.testing.assert_allclose(mean, np.zeros((2, 12)), atol=1e-5)
    np.testing.assert_allclose(std, np.ones((2, 12)), rtol=1e-5)
    assert not output.masked_select(~valid_cells(rows)).any()


def test_the_padding_may_hold_anything():
    maps, rows = make_maps()
    spoilt = maps.masked_fill(~valid_cells(rows), torch.nan)
    fitted, other = FeatureNormalizer().fit(maps, rows), FeatureNormalizer().fit(spoilt, rows)
    assert torch.equal(fitted(maps, rows), other(spoilt, rows))


def test_snapshots_of_one_network_share_its_rows():
    maps, rows = make_maps()
    fitted = FeatureNormalizer().fit(maps, rows)
    snapshots = torch.stack((maps, maps / 2), dim=1)
    output = fitted(snapshots, rows[:, None])
    assert torch.equal(output[:, 0], fitted(maps, rows))
    assert torch.equal(output[:, 1], fitted(maps / 2, rows))


def test_a_constant_statistic_is_centred():
    maps, rows = make_maps()
    maps[..., 3] = 17.3
    fitted = FeatureNormalizer().fit(maps, rows)
    assert torch.equal(fitted.std[:, 3], torch.ones(2))
    torch.testing.assert_close(fitted(maps, rows)[..., 3], torch.zeros(*rows.shape, 100), atol=1e-4, rtol=0)


def test_layers_without_rows_of_their_own_leave_the_second_group_as_it_is():
    maps, rows = make_maps()
    fitted = FeatureNormalizer().fit(maps, rows.clamp(max=1))
    assert torch.equal(fitted.mean[1], torch.zeros(12))
    assert torch.equal(fitted.std[1], torch.ones(12))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_it_refuses_values_that_are_not_finite(value: float):
    maps, rows = make_maps()
    maps[0, 0, 0, 0] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        FeatureNormalizer().fit(maps, rows)
