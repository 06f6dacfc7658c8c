"""Two processes on one machine, as torchrun starts them, give what one gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import everything
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from foretrain.benchmarks.batches import CurveBatch
from foretrain.errors import ConfigError, DataError
from foretrain.runtime.predictions import PredictionTable
from foretrain.runtime.tables import TableData

HERE = Path(__file__).parent
PIECES = ("perceptrons", "ranker", "curves", "classifier")


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


@pytest.mark.parametrize("piece", PIECES)
def test_two_devices_train_to_the_weights_of_one(results, piece: str):
    assert results[1][piece].keys() == results[2][piece].keys()
    for name, value in results[1][piece].items():
        torch.testing.assert_close(results[2][piece][name], value, rtol=1e-4, atol=1e-5, msg=f"{piece}: {name}")


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
