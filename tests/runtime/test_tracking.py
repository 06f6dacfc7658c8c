"""The run folder, and what trackers receive of it: read back from the files they really wrote."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wandb
import yaml
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from wandb.proto.wandb_internal_pb2 import Record

from foretrain.errors import DataError
from foretrain.runtime.config import check, to_plain
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.loggers import csv_logger, track, wandb_logger
from foretrain.runtime.run import Frame, split_root
from foretrain.runtime.study import Study

METRICS = {"test/mae": 3.5, "test/spearman@1": 0.25, "test/networks": 48}
_BLOCK = 32768


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A finished run with metrics, a figure, a report and the history of one fit."""
    run = RunFolder(tmp_path / "run")
    run.write_config({"name": "nap2", "seed": 3})
    run.write_metrics(METRICS)
    run.write_predictions(pd.DataFrame({"arch_id": ["a"], "mean": [91.0]}))
    run.write_report("# Report\n")
    run.write_provenance(3, {"index": "0" * 64})
    run.figures.mkdir()
    Figure(figsize=(1, 1)).savefig(run.figures / "spearman.png")
    history = run.path / "fits" / "fold0" / "weights" / "log_0"
    history.mkdir(parents=True)
    rows = {"epoch": [0, 0, 1, 1], "step": [5, 5, 11, 11], "train/loss": [2.0, np.nan, 1.0, np.nan]}
    pd.DataFrame(rows | {"val/loss": [np.nan, 3.0, np.nan, 2.5]}).to_csv(history / "metrics.csv", index=False)
    return run


def wandb_records(folder: Path) -> Iterator[Record]:
    """The records of an offline run: a log of 32 KiB blocks (LevelDB's format) of protocol buffers."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, parts = 7, []
    while position + 7 <= len(data):
        if _BLOCK - position % _BLOCK < 7:
            position += _BLOCK - position % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(b"".join(parts))
            parts = []


def test_wandb_offline_receives_config_metrics_histories_figures_and_report(folder, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = wandb_logger(str(folder.path), mode="offline")
    track(logger, folder, {"name": "nap2", "data": {"population": 48}})
    wandb.finish()
    wandb.teardown()  # waits until the file is whole
    records = list(wandb_records(folder.path))
    config = {item.key or "/".join(item.nested_key): item.value_json for r in records for item in r.config.update}
    config |= {i.key or "/".join(i.nested_key): i.value_json for r in records for i in r.run.config.update}
    assert any("48" in value for value in config.values())
    history = [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in r.history.item} for r in records]
    history = [row for row in history if row]
    assert {"fold0/weights/train/loss": 2.0, "fold0/weights/val/loss": 3.0}.items() <= history[0].items()
    merged = _merged(history)
    assert all(merged[name] == value for name, value in METRICS.items())
    assert merged["figures/spearman/_type"] == "image-file"
    files = {entry.path for record in records for entry in record.request.log_artifact.artifact.manifest.contents}
    files |= {entry.path for record in records for entry in record.artifact.manifest.contents}
    assert {"report.md", "metrics.json", "predictions.parquet", "figures/spearman.png"} <= files
    assert merged["tables/predictions/_type"] == "table-file"
    (table,) = folder.path.glob("wandb/offline-run-*/files/media/table/tables/predictions*.json")
    assert json.loads(table.read_text())["data"] == [["a", 91.0]]


def _merged(rows: list[dict]) -> dict:
    return {key: value for row in rows for key, value in row.items()}


def test_csv_has_metrics_and_histories(folder):
    track(csv_logger(str(folder.path)), folder, {"seed": 3})
    table = pd.read_csv(folder.path / "logs" / "metrics.csv")
    assert table["fold0/weights/val/loss"].dropna().tolist() == [3.0, 2.5]
    assert table["test/mae"].dropna().tolist() == [3.5]


def test_wandb_is_offline_unless_told_otherwise(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    assert wandb_logger(str(tmp_path))._wandb_init["mode"] == "offline"
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    assert wandb_logger(str(tmp_path))._wandb_init["mode"] == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_logger(str(tmp_path))._wandb_init["mode"] == "disabled"
    assert wandb_logger(str(tmp_path), mode="online")._wandb_init["mode"] == "online"


def test_a_resumed_run_is_the_same_run_and_an_agent_has_the_last_word(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    first, again, other = (
        wandb_logger(str(tmp_path / name), group="nap2", mode="offline")._wandb_init for name in ("a", "a", "b")
    )
    assert first["id"] == again["id"] != other["id"]
    assert first["resume"] == "allow"
    assert first["group"] == other["group"] == "nap2"
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    assert wandb_logger(str(tmp_path / "a"))._wandb_init["id"] == "chosen"


CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> tuple[dict, dict]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        frame, study = split_root(to_plain(compose("train", [*overrides, "run_dir=there"])))
    check(frame, Frame)
    check(study, Study)
    return frame, study


@pytest.mark.parametrize("choice", ["wandb", "[wandb,csv]", "[csv,wandb]"])
def test_both_loggers_work_together(choice):
    frame, _ = composed("experiment=nap2", f"logger={choice}")
    assert {name: node["_target_"].rpartition(".")[2] for name, node in frame["logger"].items()} == {
        "csv": "csv_logger",
        "wandb": "wandb_logger",
    }
    assert frame["logger"]["wandb"]["group"] == "nap2"


def test_the_sweep_is_understood_by_train_py_and_looks_at_a_metric_that_there_is():
    """Every choice of every parameter, written on the command line as an agent does."""
    sweep = yaml.safe_load((CONF / "wandb_sweep.yaml").read_text())
    assert (CONF.parent / sweep["program"]).is_file()
    command = [word for word in sweep["command"] if not word.startswith("${")]
    assert sweep["command"][:3] == ["${env}", "${interpreter}", "${program}"]
    assert sweep["command"][-1] == "${args_no_hyphens}"
    for name, parameter in sweep["parameters"].items():
        for value in parameter.get("values") or [parameter["min"], parameter["max"]]:
            _, study = composed(*command, f"{name}={value}")
            assert study["_target_"] == "foretrain.evaluation.predictors.FitPredictor"
    assert sweep["metric"]["name"] == "predictor/spearman"


def test_metrics_are_plain_numbers(folder):
    folder.write_metrics({"a": np.float32(0.5), "b": np.int64(3), "c": float("nan")})
    text = (folder.path / "metrics.json").read_text()
    assert json.loads(text)["a"] == 0.5
    assert '"b": 3' in text
    assert "NaN" in text


def test_a_folder_of_another_config_is_refused(folder):
    folder.write_config({"name": "nap2", "seed": 3})
    with pytest.raises(DataError, match="belongs to another config"):
        folder.write_config({"name": "nap2", "seed": 4})


def test_provenance_says_what_made_the_run(folder):
    content = json.loads((folder.path / "provenance.json").read_text())
    assert content["seed"] == 3
    assert content["versions"]["foretrain"]
    assert content["data_sha256"] == {"index": "0" * 64}
    assert "command" in content
