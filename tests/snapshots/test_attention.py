"""The attention predictor: its loss by hand, what it may not depend on, and that it learns what only a layer shows."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.stats import spearmanr
from torch import Tensor

from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint
from foretrain.runtime.study import TrainerFactory
from foretrain.snapshots.attention import LayerStandardizer, scoring_loss
from foretrain.snapshots.attention_training import AttentionSettings, fit_attention_predictor
from foretrain.snapshots.batches import LayerBatch
from foretrain.snapshots.module import AttentionModule
from foretrain.snapshots.summaries import summarize, summarize_layers, summary_names

TRAIN, VAL, TEST = torch.arange(40), torch.arange(40, 52), torch.arange(52, 82)
STEPS, LAYERS, WIDTH = 3, 5, 6
TRAINER = TrainerFactory(
    functools.partial(
        Trainer, accelerator="cpu", num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False
    ),
    callbacks={},
)
SETTINGS = AttentionSettings(members=2, hidden=8, dropout=0.1, max_epochs=40, patience=20, learning_rate=1e-2)


def make_table(seed: int = 0) -> LayerBatch:
    """Networks whose quality stands in one number of their last layer only; depths and lengths differ."""
    n, draw = 82, np.random.default_rng(seed)
    depth, quality = draw.integers(2, LAYERS + 1, n), draw.normal(size=n)
    rows = np.where(np.arange(LAYERS) < depth[:, None], draw.integers(5, 100, (n, LAYERS)), 0)
    layers = draw.normal(size=(n, STEPS, LAYERS, WIDTH))
    layers[np.arange(n), :, depth - 1, 2] += 2 * quality[:, None]
    lengths = draw.integers(2, STEPS + 1, n)
    parts = (layers.astype(np.float32), rows, draw.normal(size=(n, STEPS, 2)).astype(np.float32), lengths)
    target = torch.from_numpy(50 + 10 * quality).float()
    return LayerBatch(*(torch.from_numpy(part) for part in parts), target, torch.arange(n))


def fit(folder: Path, table: LayerBatch, **changes: Any) -> AttentionModule:
    options: dict[str, Any] = {"settings": SETTINGS, "trainer": TRAINER, "folder": folder, "seed": 1} | changes
    return fit_attention_predictor(table, TRAIN, VAL, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attention")


@pytest.fixture(scope="module")
def fitted(folder: Path) -> AttentionModule:
    return fit(folder, make_table())


def known(values: Tensor) -> Tensor:
    return values.nan_to_num(-1.0)


def test_it_finds_the_layer_that_tells(fitted: AttentionModule) -> None:
    table = make_table()[TEST]
    for step in (0, 1):
        assert spearmanr(fitted(table)[:, step], table.target).statistic > 0.7


def test_a_finished_fit_is_loaded_and_a_checkpoint_predicts_the_same(
    fitted: AttentionModule, folder: Path, tmp_path: Path
) -> None:
    def refuse(**_: object) -> Trainer:
        raise AssertionError("a finished fit was trained again")

    table = make_table()[TEST]
    again = fit(folder, make_table(), trainer=TrainerFactory(refuse, {}))
    save_checkpoint(tmp_path / "model.ckpt", fitted)
    for module in (again, load_checkpoint(tmp_path / "model.ckpt", AttentionModule)):
        assert torch.equal(known(module(table)), known(fitted(table)))


def test_only_training_and_validation_networks_are_learned_from(fitted: AttentionModule, tmp_path: Path) -> None:
    table = make_table()
    table.layers[TEST] += 7
    table.target[TEST] = torch.nan
    other = fit(tmp_path, table)
    for name, value in fitted.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_forecasts_know_neither_padding_nor_the_future_nor_other_networks(fitted: AttentionModule) -> None:
    table = make_table()[TEST]
    whole = fitted(table)
    assert torch.equal(whole.isnan(), torch.arange(STEPS) >= table.lengths[:, None])
    padded = LayerBatch(
        torch.cat((table.layers, torch.full((len(table), STEPS, 2, WIDTH), 9.0)), dim=2),
        torch.cat((table.rows, torch.zeros(len(table), 2, dtype=torch.int64)), dim=1),
        *table.tensors()[2:],
    )
    first = LayerBatch(
        table.layers[:, :1], table.rows, table.context[:, :1], table.lengths.clamp(max=1), *table.tensors()[4:]
    )
    torch.testing.assert_close(known(fitted(padded)), known(whole))
    torch.testing.assert_close(fitted(first), whole[:, :1])
    torch.testing.assert_close(known(fitted(table[3])), known(whole[3:4]))


def test_the_loss_is_that_of_plain_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    scores, target = torch.randn(4, 3, generator=draw), torch.tensor([0.3, -1.0, 0.3, 2.0])
    exists = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    errors, pairs = [], []
    for k in range(3):
        for i in range(4):
            if exists[i, k]:
                error = abs(float(scores[i, k] - target[i]))
                errors.append(error**2 / 2 if error < 1 else error - 0.5)
            pairs += [
                np.log1p(np.exp(float(scores[j, k] - scores[i, k])))
                for j in range(4)
                if exists[i, k] and exists[j, k] and target[i] > target[j]
            ]
    expected = np.mean(errors) + 0.7 * np.mean(pairs)
    assert scoring_loss(scores, target, exists, ranking=0.7).item() == pytest.approx(expected, rel=1e-6)
    assert torch.isfinite(scoring_loss(scores[:1], target[:1], exists[:1], ranking=0.7))


def test_standardised_columns_have_mean_zero_and_spread_one_and_far_values_are_cut() -> None:
    table = make_table()
    table.context[:, :, 0] = 3.0
    scaler = LayerStandardizer(WIDTH, 2).fit(table)
    layers, context = scaler(table)
    values = layers[(torch.arange(STEPS) < table.lengths[:, None])[:, :, None] & (table.rows > 0)[:, None]]
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(WIDTH), atol=2e-3, rtol=0)
    assert (context[..., 0] == 0).all()
    table.context[0, 0, 1] = 1e9
    assert scaler(table)[1].abs().max() == 5
    torch.testing.assert_close(scaler.percent(scaler.scaled_target(table.target)), table.target)


def test_layer_summaries_are_what_network_summaries_are_made_of() -> None:
    draw = np.random.default_rng(0)
    rows = np.array([[4, 9, 0]])
    maps = draw.normal(size=(1, 2, 2, 3, 100, 12)).astype(np.float16)
    maps *= (np.arange(100) < rows[..., None])[:, None, None, ..., None]
    layers, names = summarize_layers(maps, rows), summary_names()
    whole = summarize(maps, rows)
    assert layers.shape == (1, 2, 3, 72)
    first, last = (whole[:, :, [name.endswith(end) for name in names]] for end in ("first", "last"))
    assert np.allclose(layers[:, :, 0], first, atol=1e-6)
    assert np.allclose(layers[:, :, 1], last, atol=1e-6)
