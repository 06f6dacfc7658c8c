"""Two processes on one machine, as torchrun starts them, give what one gives."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import everything
import pandas as pd
import pytest
import torch
from learned import ALIKE, EQUAL, LEARNED, make
from lightning.pytorch import LightningModule
from scipy.stats import spearmanr
from torch import nn

from foretrain.benchmarks.batches import CurveBatch
from foretrain.errors import ConfigError, DataError
from foretrain.predictors.module import NetworkModule
from foretrain.runtime.predictions import PredictionTable
from foretrain.runtime.ranks import part
from foretrain.runtime.tables import TableData

HERE = Path(__file__).parent


def torchrun(processes: int, *command: str, folder: Path, **options: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*start, f"--nproc-per-node={processes}", *command],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"} | options,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[int, dict]:
    """What one process and what two processes make of the same."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    ended = torchrun(2, str(HERE / "everything.py"), str(two), folder=two)
    assert ended.returncode == 0, ended.stderr[-3000:]
    alone = everything.run(one)
    together = torch.load(two / "results.pt", weights_only=True)
    return {1: alone | {"folder": one}, 2: together | {"folder": two}}


@pytest.mark.parametrize("name", EQUAL)
def test_two_devices_train_to_the_weights_of_one(results, name: str):
    one, two = (results[devices]["learned"][name] for devices in (1, 2))
    torch.testing.assert_close(two["says"], one["says"], rtol=1e-4, atol=1e-5)
    assert one["weights"].keys() == two["weights"].keys()
    for key, value in one["weights"].items():
        if key.endswith(".query.bias"):  # a shift of all layers' weights: the loss does not depend on it
            continue
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-4, atol=1e-5, msg=f"{name}: {key}")


@pytest.mark.parametrize("name", ALIKE)
def test_what_looks_at_a_whole_batch_says_the_like_on_two_devices(results, name: str):
    one, two = (results[devices]["learned"][name]["says"] for devices in (1, 2))
    assert spearmanr(one, two).statistic > 0.95


def test_every_learned_module_is_in_the_list():
    modules = [make(name).module for name in LEARNED]
    assert {type(module) for module in modules} == set(classes(LightningModule, "training_step"))
    networks = {type(module.network) for module in modules if isinstance(module, NetworkModule)}
    assert networks == set(classes(nn.Module, "loss", "foretrain.predictors"))


def classes(base: type, method: str, package: str = "foretrain") -> Iterator[type]:
    """All classes of a package that are of a kind and do something of their own, without those that others refine."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    for place in [importlib.import_module(one.name) for one in found]:
        for kind in vars(place).values():
            if inspect.isclass(kind) and issubclass(kind, base) and kind.__module__ == place.__name__:
                own = getattr(kind, method, None) is not getattr(base, method, None)
                if own and not inspect.isabstract(kind) and not kind.__subclasses__():
                    yield kind


def test_two_devices_fit_a_snapshot_predictor_that_ranks_as_that_of_one(results):
    """Batch normalisation sees half a batch on each device, so the forecasts differ: here by points, not in rank."""
    one, two = results[1]["snapshots"], results[2]["snapshots"]
    assert spearmanr(one[:, -1], two[:, -1]).statistic > 0.9
    assert (one - two).abs().mean() < 5


def test_predictions_of_two_devices_are_an_exact_set(results):
    one, two = (pd.read_parquet(results[devices]["folder"] / "forecasts.parquet") for devices in (1, 2))
    assert one["arch_id"].tolist() == two["arch_id"].tolist() == everything.TEST.tolist()
    for devices, table in {1: one, 2: two}.items():
        assert torch.equal(
            torch.tensor([list(row) for row in table["forecast"]]), results[devices]["snapshots"].double()
        )
        assert not list(results[devices]["folder"].glob("*.parts"))


def test_rank_metrics_of_two_devices_know_no_padding(results):
    assert results[1]["rank_metrics"] == pytest.approx(results[2]["rank_metrics"])


def test_processes_part_where_they_are_connected(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    for _ in range(2):  # the second time there is no connection
        part()
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("samples", "ranks"), [(9, 2), (5, 4), (4, 4), (7, 3)])
def test_the_shares_of_devices_are_an_exact_set(samples: int, ranks: int):
    ids = torch.arange(samples)
    shares = []
    for rank in range(ranks):
        table = CurveBatch(torch.zeros(samples, 1), torch.zeros(samples), ids)
        data = TableData(table, table, 2, 0, test=table)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)
        shares.append(torch.cat([batch.arch_id for batch in data.predict_dataloader()]))
    assert torch.cat(shares).tolist() == ids.tolist()
    data.trainer = SimpleNamespace(global_rank=0, world_size=samples + 1)
    with pytest.raises(ConfigError, match=rf"trainer.devices.*only {samples} samples"):
        list(data.predict_dataloader())


def test_a_forecast_that_is_missing_or_there_twice_is_an_error(tmp_path):
    trainer = SimpleNamespace(is_global_zero=True, global_rank=0, strategy=SimpleNamespace(barrier=lambda: None))
    batch = CurveBatch(torch.zeros(3, 1), torch.zeros(3), torch.tensor([1, 2, 2]))
    table = PredictionTable(tmp_path / "all.parquet", [1, 2, 3])
    table.on_predict_start(trainer, None)
    table.write_on_batch_end(trainer, None, torch.zeros(3), None, batch, 0, 0)
    with pytest.raises(DataError, match=r"networks \[3\] are missing, \[2\] are there more than once"):
        table.on_predict_end(trainer, None)
    assert not (tmp_path / "all.parquet").exists()
