"""The autoencoder equals the literal convolutions, and padding takes no part in it."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from foretrain.snapshots.autoencoder import FeatureMapAutoencoder
from foretrain.snapshots.normalizer import valid_cells

WIDTHS = (7, 6, 5)


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_model(widths: tuple[int, int, int] = WIDTHS, seed: int = 0) -> FeatureMapAutoencoder:
    torch.manual_seed(seed)
    model = FeatureMapAutoencoder(widths)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            for value in (module.weight.data, module.bias.data, module.running_mean):
                value.copy_(torch.randn_like(value))
            module.running_var.copy_(0.5 + torch.rand_like(module.running_var))
    return model


def make_maps(depths: list[int], layers: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Standardised maps of networks of the given depths, zero in the padding, and their rows."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(1, 101, (len(depths), max(depths)), generator=draw)
    rows[torch.arange(max(depths)) >= torch.tensor(depths)[:, None]] = 0
    maps = torch.randn(*rows.shape, 100, 12, generator=draw).masked_fill(~valid_cells(rows), 0.0)
    more = layers - max(depths)
    return nn.functional.pad(maps, (0, 0, 0, 0, 0, more)), nn.functional.pad(rows, (0, more))


class LiteralAutoencoder(nn.Module):
    """The published network as convolutions over ``[b, 12, 65, 100]``, with the parameters of the fast one.

    Padded layers are masked after the first block, which networks of 65 layers do not need.
    """

    def __init__(self, fast: FeatureMapAutoencoder) -> None:
        super().__init__()
        encoder, decoder = fast.encoder, fast.decoder
        self.convolutions = nn.ModuleList([encoder.over_rows, encoder.over_layers, encoder.to_code])
        self.transposed = nn.ModuleList([decoder.from_code, decoder.over_layers, decoder.over_rows])
        self.norms = nn.ModuleList(self._spatial(norm) for norm in (*encoder.norms, *decoder.norms))

    @staticmethod
    def _spatial(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
        twin = nn.BatchNorm2d(norm.num_features)
        twin.load_state_dict(norm.state_dict())
        return twin.train(norm.training)

    def encode(self, maps: Tensor, rows: Tensor) -> Tensor:
        hidden = maps.permute(0, 3, 1, 2)
        for number, (layer, norm) in enumerate(zip(self.convolutions, self.norms[:3], strict=True)):
            hidden = norm(layer(hidden).relu())
            if number == 0:
                hidden = hidden * (rows > 0)[:, None, :, None]
        return hidden

    def forward(self, maps: Tensor, rows: Tensor) -> Tensor:
        hidden = self.encode(maps, rows)
        for layer, norm in zip(self.transposed[:2], self.norms[3:], strict=True):
            hidden = norm(layer(hidden).relu())
        return self.transposed[2](hidden).permute(0, 2, 3, 1)


def gradients(model: FeatureMapAutoencoder, loss: Tensor) -> list[Tensor]:
    weights = [parameter for name, parameter in model.named_parameters() if "norms" not in name]
    return list(torch.autograd.grad(loss, weights))


@pytest.mark.parametrize("training", [True, False])
def test_it_equals_the_literal_convolutions(training: bool):
    model = make_model().train(training)
    literal = LiteralAutoencoder(model)
    maps, rows = make_maps([65, 65, 65], 65)
    rows[:] = 100
    output, loss = model(maps, rows), copy.deepcopy(model).loss(maps, rows)
    expected = literal(maps, rows)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(loss, (expected - maps).square().mean())
    fast = gradients(model, (output - maps).square().mean())
    for ours, theirs in zip(fast, gradients(model, (expected - maps).square().mean()), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_equals_the_masked_literal_convolutions_on_short_networks():
    model = make_model().eval()
    literal = LiteralAutoencoder(model)
    maps, rows = make_maps([9, 1, 30], 65)
    valid = valid_cells(rows)
    torch.testing.assert_close(model.encoder(maps, rows), literal.encode(maps, rows).flatten(1))
    expected = literal(maps, rows).masked_fill(~valid, 0.0)
    torch.testing.assert_close(model(maps, rows), expected)
    error = (expected - maps).masked_select(valid).square().mean()
    torch.testing.assert_close(model.loss(maps, rows), error)


@pytest.mark.parametrize("training", [True, False])
def test_more_padding_changes_nothing(training: bool):
    short, long = ((make_model().train(training), *make_maps([4, 9, 2], layers)) for layers in (9, 65))
    assert torch.equal(short[0].loss(*short[1:]), long[0].loss(*long[1:]))
    for ours, theirs in zip(short[0].buffers(), long[0].buffers(), strict=True):
        assert torch.equal(ours, theirs)
    codes = [model.encoder(maps, rows) for model, maps, rows in (short, long)]
    assert torch.equal(*codes)
    outputs = [model(maps, rows) for model, maps, rows in (short, long)]
    assert torch.equal(outputs[0], outputs[1][:, :9])
    assert not outputs[1][:, 9:].any()


def test_padded_layers_may_hold_anything():
    model = make_model()
    maps, rows = make_maps([4, 9, 2], 12)
    spoilt = maps.masked_fill((rows == 0)[..., None, None], torch.nan)
    assert torch.equal(model.loss(maps, rows), model.loss(spoilt, rows))


def test_batch_statistics_are_those_of_the_valid_layers():
    model = make_model()
    maps, rows = make_maps([4, 9, 2], 9)
    encoder = model.encoder
    encoder.norms[0].reset_running_stats()
    encoder(maps, rows)
    activations = encoder.over_rows(maps.permute(0, 3, 1, 2)).relu()[..., 0].permute(0, 2, 1)[rows > 0]
    torch.testing.assert_close(encoder.norms[0].running_mean, 0.1 * activations.mean(0))
    torch.testing.assert_close(encoder.norms[0].running_var, 0.9 + 0.1 * activations.var(0))


def test_a_code_does_not_depend_on_the_rest_of_the_batch():
    encoder = make_model().encoder.eval()
    maps, rows = make_maps([4, 9, 2], 9)
    together = encoder(maps, rows)
    alone = torch.cat([encoder(maps[[i]], rows[[i]]) for i in range(3)])
    torch.testing.assert_close(together, alone)


def test_kernels_are_views_even_after_copying_and_loading():
    model = make_model()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    restored = FeatureMapAutoencoder(WIDTHS)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for candidate in (model, copy.deepcopy(model), restored):
        for layer in (candidate.encoder.over_rows, candidate.encoder.over_layers, candidate.decoder.over_layers):
            assert layer.weight.permute(0, 2, 3, 1).is_contiguous()
    assert model.encoder.over_rows.weight.shape == (7, 12, 1, 100)
    assert model.encoder.over_layers.weight.shape == (6, 7, 65, 1)
    assert model.decoder.over_layers.weight.shape == (6, 7, 65, 1)
    assert model.decoder.over_rows.weight.shape == (7, 12, 1, 100)


def test_it_learns_maps_of_low_rank():
    draw = torch.Generator().manual_seed(0)
    factors = torch.randn(48, 2, generator=draw)
    maps = torch.einsum("nk,klrs->nlrs", factors, torch.randn(2, 4, 100, 12, generator=draw)) / 2**0.5
    rows = torch.full((48, 4), 100)
    model = FeatureMapAutoencoder((16, 16, 4))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model.loss(maps[:40], rows[:40])
        loss.backward()
        optimizer.step()
    model.eval()
    assert model.loss(maps[40:], rows[40:]) < 0.2 * maps[40:].square().mean()
