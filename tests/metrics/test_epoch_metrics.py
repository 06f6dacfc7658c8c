"""The torchmetrics classes: batches, duplicates, device padding."""

from __future__ import annotations

import pickle

import pytest
import torch
from torchmetrics import MetricCollection

from foretrain.metrics import rank, selection
from foretrain.metrics.classes import Kendall, Regret, Spearman, TopKPrecision

METRICS = {
    "spearman": (Spearman, lambda t, s: rank.spearman(t, s)),  # noqa: PLW0108
    "kendall": (Kendall, rank.kendall),
    "top_k": (
        lambda: TopKPrecision(k=3, size=6),
        lambda t, s: selection.top_k_precision(t, selection.best_first(s)[:6], 3),
    ),
    "regret": (Regret, selection.regret),
}


@pytest.fixture
def epoch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(20, generator=generator)
    return truth + torch.randn(20, generator=generator), truth, torch.arange(20) + 100


@pytest.mark.parametrize("name", METRICS)
def test_batches_of_an_epoch_give_the_functional_core(name: str, epoch) -> None:
    build, core = METRICS[name]
    score, truth, arch_id = epoch
    metric = build()
    for part in (slice(0, 7), slice(7, 8), slice(8, 20)):
        metric.update(score[part], truth[part], arch_id[part])
    assert metric.compute().item() == pytest.approx(core(truth.double().numpy(), score.double().numpy()), abs=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_padded_duplicates_change_nothing(name: str, epoch) -> None:
    score, truth, arch_id = epoch
    plain, padded = METRICS[name][0](), METRICS[name][0]()
    plain.update(score, truth, arch_id)
    padded.update(score, truth, arch_id)
    padded.update(score[:5], truth[:5], arch_id[:5])
    assert torch.equal(plain.compute(), padded.compute())


def test_duplicates_would_be_wrong_without_ids(epoch) -> None:
    score, truth, arch_id = epoch
    plain, padded = Spearman(), Spearman()
    plain.update(score, truth, arch_id)
    padded.update(torch.cat([score, score[:5]]), torch.cat([truth, truth[:5]]), torch.arange(25))
    assert plain.compute() != padded.compute()


def test_reset_begins_a_new_epoch(epoch) -> None:
    _, truth, arch_id = epoch
    metric = Spearman()
    metric.update(-truth, truth, arch_id)
    metric.reset()
    metric.update(truth, truth, arch_id)
    assert metric.compute() == 1


def test_directions_are_declared() -> None:
    assert [cls.higher_is_better for cls in (Spearman, Kendall, TopKPrecision, Regret)] == [True, True, True, False]


def test_work_in_a_collection_and_through_pickle(epoch) -> None:
    score, truth, arch_id = epoch
    collection = MetricCollection([Spearman(), Kendall(), Regret(), TopKPrecision(k=2, size=4)])
    collection = pickle.loads(pickle.dumps(collection))
    collection.update(score, truth, arch_id)
    values = collection.compute()
    assert values["Spearman"].item() == pytest.approx(rank.spearman(truth, score), abs=1e-6)
    assert values["TopKPrecision"].item() == selection.top_k_precision(truth, selection.best_first(score)[:4], 2)
    assert values["Kendall"] != values["Spearman"]


def test_half_precision_scores_are_welcome(epoch) -> None:
    _, truth, arch_id = epoch
    metric = Spearman()
    metric.update(truth.bfloat16(), truth.bfloat16(), arch_id)
    assert metric.compute() == 1


def test_two_devices_with_padding_give_what_one_gives(epoch) -> None:
    score, truth, arch_id = epoch
    alone = Spearman()
    alone.update(score, truth, arch_id)
    other = [score[10:], truth[10:], arch_id[10:]]
    gathered = iter(other)
    first = Spearman(
        dist_sync_fn=lambda mine, group: [mine, next(gathered)], distributed_available_fn=lambda: True
    )  # stands for the first of two ranks; the last five networks are on both
    first.update(score[:15], truth[:15], arch_id[:15])
    assert first.compute() == alone.compute()
    assert next(gathered, None) is None
