"""Benchmarks as Lightning data: what is drawn, what a batch holds, and that epochs and resumption agree."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from foretrain.benchmarks.batches import CurveBatch, EncodedBatch
from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.data import BenchmarkDataModule, CurveDataModule
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.table import open_benchmark
from foretrain.errors import ConfigError, DataError
from foretrain.runtime.config import check
from foretrain.spaces.encodings.graph import GraphBatch
from foretrain.spaces.nasbench201 import NASBench201

N, EPOCHS = 60, 8


@pytest.fixture
def name(own_home) -> str:
    """A benchmark of 60 cells, 50 of which were measured; an accuracy tells its row."""
    space = NASBench201()
    cells = space.format(space.enumerate()[torch.arange(0, 15_600, 260)])
    curves = np.arange(N)[:, None, None] + np.linspace(0, 0.7, EPOCHS)[None, None]
    curves[50:] = np.nan
    curves[:5, :, :3] = np.nan
    series = {
        Series("final", "accuracy", "digits", "valid", EPOCHS, (0,)): curves[..., -1],
        Series("curve", "accuracy", "digits", "valid", EPOCHS, (0,)): curves.astype(np.float32),
    }
    path = "foretrain.spaces.nasbench201.NASBench201"
    write_benchmark(Contents(Description("toy", "", path, "", ""), cells, series), own_home / "benchmarks" / "toy")
    return "toy"


class Collector(LightningModule):
    """Keeps the batches it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []
        self.tested: list[int] = []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, _):
        self.seen.append(batch.arch_id.tolist())
        return self.weight * batch.target.mean()

    def validation_step(self, batch, _):
        self.log("val/loss", batch.target.mean(), batch_size=batch.batch_size)

    def test_step(self, batch, batch_idx):
        self.tested += batch.arch_id.tolist()


def trainer(folder, epochs: int) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


@pytest.mark.parametrize("encoding", ["one_hot", "sequence", "graph", "graph_features"])
def test_every_batch_holds_the_encoding_and_accuracy_of_its_networks(name, encoding):
    data = BenchmarkDataModule(name, encoding, n_train=20, n_val=10, n_test=15)
    benchmark = open_benchmark(name)
    for table, count in ((data.train, 20), (data.val, 10), (data.test, 15)):
        assert isinstance(table, EncodedBatch)
        assert table.batch_size == count
        np.testing.assert_allclose(table.target, benchmark.accuracy(table.arch_id), rtol=1e-7)
        again = benchmark.space.encode(benchmark.architectures[table.arch_id], encoding)
        if isinstance(table.code, GraphBatch):
            assert table.code.arch_id.equal(table.arch_id)
            assert table.code.vertices.equal(again.vertices)
            assert table[torch.tensor([3, 1])].code.arch_id.tolist() == table.arch_id[[3, 1]].tolist()
        else:
            assert table.code.equal(again)


def test_parts_are_disjoint_and_measured(name):
    data = BenchmarkDataModule(name, "one_hot", n_train=20, n_val=10)
    rows = torch.cat([data.train.arch_id, data.val.arch_id, data.test.arch_id])
    assert sorted(rows.tolist()) == list(range(50))


def test_a_larger_training_set_is_judged_on_the_same_networks(name):
    few = BenchmarkDataModule(name, "one_hot", n_train=5, n_val=4, n_test=15, seed=3)
    many = BenchmarkDataModule(name, "one_hot", n_train=30, n_val=4, n_test=15, seed=3)
    assert few.test.arch_id.equal(many.test.arch_id)
    assert few.val.arch_id.equal(many.val.arch_id)
    assert few.train.arch_id.equal(many.train.arch_id[:5])


def test_distinct_networks_and_all_the_others(name):
    data = BenchmarkDataModule(name, "one_hot", n_train=10, n_val=5, distinct=True)
    keys = open_benchmark(name).keys
    rows = torch.cat([data.train.arch_id, data.val.arch_id, data.test.arch_id]).tolist()
    assert len({keys[row] for row in rows}) == len(rows) == len(set(keys[:50])) < 50


def test_too_many_networks_are_refused(name):
    with pytest.raises(DataError, match=r"40 \+ 10 networks are asked for and none is left"):
        BenchmarkDataModule(name, "one_hot", n_train=40, n_val=10)
    with pytest.raises(DataError, match=r"has 50 architectures to draw from, 40 \+ 11 are asked for"):
        BenchmarkDataModule(name, "one_hot", n_train=30, n_val=10, n_test=11)


def test_an_unknown_encoding_is_refused(name):
    with pytest.raises(ConfigError, match=r"unknown to the space nasbench201.*one_hot"):
        BenchmarkDataModule(name, "two_hot", n_train=1, n_val=1)


def test_curves_show_the_first_epochs_only(name):
    data = CurveDataModule(name, observed=3, n_train=20, n_val=10)
    for table in (data.train, data.val, data.test):
        assert isinstance(table, CurveBatch)
        assert table.curves.shape == (table.batch_size, EPOCHS)
        assert table.curves[:, 3:].isnan().all()
        torch.testing.assert_close(table.curves[:, 0], table.arch_id.float())
        torch.testing.assert_close(table.target, table.arch_id + 0.7, rtol=1e-6, atol=0)
    rows = torch.cat([data.train.arch_id, data.val.arch_id, data.test.arch_id])
    assert sorted(rows.tolist()) == list(range(5, 50))


def test_an_epoch_visits_every_training_network_once_in_a_new_order(name, tmp_path):
    model = Collector()
    data = BenchmarkDataModule(name, "one_hot", n_train=21, n_val=4, n_test=15, batch_size=5)
    runner = trainer(tmp_path, 2)
    runner.fit(model, datamodule=data)
    first, second = model.seen[:4], model.seen[4:]
    assert [len(batch) for batch in first] == [5, 5, 5, 6]
    assert sorted(chain(*first)) == sorted(chain(*second)) == sorted(data.train.arch_id.tolist())
    assert first != second
    runner.test(model, datamodule=data, verbose=False)
    assert model.tested == data.test.arch_id.tolist()


def test_a_resumed_training_sees_the_batches_of_an_undisturbed_one(name, tmp_path):
    def data() -> CurveDataModule:
        return CurveDataModule(name, 3, 20, 5, batch_size=6, seed=1)

    whole, first, second = Collector(), Collector(), Collector()
    trainer(tmp_path, 3).fit(whole, datamodule=data())
    runner = trainer(tmp_path, 1)
    runner.fit(first, datamodule=data())
    runner.save_checkpoint(tmp_path / "one.ckpt")
    trainer(tmp_path, 3).fit(second, datamodule=data(), ckpt_path=tmp_path / "one.ckpt", weights_only=True)
    assert first.seen + second.seen == whole.seen


def test_the_constructors_are_config_schemas():
    node = {
        "_target_": "foretrain.benchmarks.data.BenchmarkDataModule",
        "benchmark": "digits201",
        "encoding": "graph",
        "n_train": 10,
        "n_val": 5,
        "accuracy_seed": 777,
    }
    check(node)
    with pytest.raises(ConfigError, match=r"n_train.*greater than or equal to 1"):
        check({**node, "n_train": 0})
    with pytest.raises(ConfigError, match=r"did you mean 'n_train'"):
        check({**node, "n_trian": 3})
