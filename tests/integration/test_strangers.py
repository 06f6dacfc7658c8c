"""Files from strangers: changed at random, and made to harm."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from foretrain.benchmarks.importers.foretrain_data import naap440
from foretrain.benchmarks.importers.unpickling import load_torch_file
from foretrain.errors import CheckpointError, ConfigError, DataError
from foretrain.evaluation.curves.reading import Columns, read_runs
from foretrain.evaluation.tables import read_table
from foretrain.integrations.histories import read_histories
from foretrain.integrations.models import find_models
from foretrain.integrations.report import write_page
from foretrain.integrations.samples import read_batch
from foretrain.predictors.persistence import load_predictor
from foretrain.runtime.checkpoints import SCHEMA_VERSION, load_checkpoint, save_checkpoint
from foretrain.runtime.files import read_json
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.reading import load_table, parquet_within_bounds
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.storage import SnapshotFolder, read_snapshots
from foretrain.spaces.darts import DARTS

HERE = Path(__file__).parent


def test_changed_files_of_every_format_are_taken_or_refused():
    paths = [str(HERE.parent / room) for room in ("benchmarks", "predictors", "runtime", "search")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "ignore", str(HERE / "fuzzing"), "--runs", "12"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(re.findall(r"^\| [\w-]+ \| 12 \|", ended.stdout, re.MULTILINE)) == 31


class Harm:
    """What a pickle may do to its reader: here, leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_no_code_of_a_checkpoint_is_run(tmp_path: Path):
    harm = Harm(tmp_path / "harmed")
    torch.save({"schema_version": SCHEMA_VERSION, "state_dict": harm}, tmp_path / "model.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(harm))
    for name in ("model.ckpt", "plain.ckpt"):
        for load in (lambda path: load_checkpoint(path, SnapshotPredictor), load_predictor):
            with pytest.raises(CheckpointError, match="not a readable checkpoint"):
                load(tmp_path / name)
        with pytest.raises(DataError):
            load_torch_file(tmp_path / name)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"class": "os.system"}, "outside foretrain"),
        ({"class": "foretrain.runtime.run.run"}, "not a SnapshotPredictor"),
        ({"class": "foretrain.nowhere.Thing"}, "has no foretrain.nowhere"),
        ({"hyperparameters": {"widths": [4, 4, 4], "hidden": 10**6}}, "does not fit"),
        ({"hyperparameters": {"widths": [10**6, 10**6, 10**6], "hidden": 4}}, "does not fit"),
        ({"hyperparameters": {"_target_": "os.system"}}, "does not fit"),
        ({"hyperparameters": None}, "does not fit"),
        ({"state_dict": {}}, "missing"),
        ({"class": None}, "outside foretrain"),
        ({"state_dict": 3}, "does not fit"),
        ({"schema_version": 99}, "schema version 99"),
    ],
)
def test_a_checkpoint_is_checked_before_anything_large_is_built(tmp_path: Path, changes: dict, match: str):
    save_checkpoint(tmp_path / "model.ckpt", SnapshotPredictor([4, 4, 4], 4))
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    torch.save(content | changes, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match=match):
        load_checkpoint(tmp_path / "model.ckpt", SnapshotPredictor)


def test_a_table_that_grows_without_bounds_is_refused(tmp_path: Path):
    with pq.ParquetWriter(tmp_path / "bomb.parquet", pa.schema([("a", pa.float64())]), compression="zstd") as writer:
        block = pa.table({"a": np.zeros(5_000_000)})
        for _ in range(24):
            writer.write_table(block)
    assert (tmp_path / "bomb.parquet").stat().st_size < 1_000_000
    with pytest.raises(ValueError, match="become 120000000 rows"):
        parquet_within_bounds(tmp_path / "bomb.parquet")
    with pytest.raises(DataError, match="120000000 rows"):
        read_histories(tmp_path / "bomb.parquet", "a")


def test_a_table_with_texts_that_are_none_is_refused(tmp_path: Path):
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xe4\xff")])
    pq.write_table(pa.table({"a": broken}), tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="UTF8"):
        load_table(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": ["b"]}), tmp_path / "text.parquet")
    assert load_table(tmp_path / "text.parquet")["a"].tolist() == ["b"]
    assert load_table(io.BytesIO((tmp_path / "text.parquet").read_bytes()))["a"].tolist() == ["b"]


def test_small_tables_that_become_large_curves_are_refused(tmp_path: Path):
    wide = pd.DataFrame({"epoch": [900_000]} | {f"{run} - loss": [0.5] for run in range(60)})
    wide.to_csv(tmp_path / "chart.csv", index=False)
    with pytest.raises(DataError, match="56 runs of up to 900001 epochs"):
        read_histories(tmp_path / "chart.csv", "loss")
    for epoch in (10**9, 1e300):
        pd.DataFrame({"epoch": [1, 2, epoch], "acc": [0.5, 0.6, 0.7]}).to_csv(tmp_path / "run.csv", index=False)
        with pytest.raises(DataError, match="at most 20000000 values"):
            read_runs(tmp_path / "run.csv", Columns())
    pd.DataFrame({"epoch": [], "acc": []}).to_csv(tmp_path / "run.csv", index=False)
    with pytest.raises(DataError, match="has no values"):
        read_runs(tmp_path / "run.csv", Columns())


def _larger_than_its_file(content: dict) -> dict:
    weights = content["state_dict"]
    name = next(name for name, value in weights.items() if value.numel() > 1)
    return content | {"state_dict": weights | {name: torch.zeros(1).expand(weights[name].shape)}}


def _sparse(content: dict) -> dict:
    return content | {"state_dict": {"weight": torch.sparse_coo_tensor(size=(10**6, 10**6))}}


def _doubled_without_end(content: dict) -> dict:
    node: list = [1]
    for _ in range(60):
        node = [node, node]
    return content | {"hyperparameters": {"widths": node}}


def _holding_itself(content: dict) -> dict:
    node: list = []
    node.append(node)
    return content | {"hyperparameters": {"widths": node}}


@pytest.mark.parametrize("change", [_larger_than_its_file, _sparse, _doubled_without_end, _holding_itself])
def test_what_a_checkpoint_holds_is_no_larger_than_the_file(tmp_path: Path, change):
    save_checkpoint(tmp_path / "model.ckpt", SnapshotPredictor([4, 4, 4], 4))
    torch.save(change(torch.load(tmp_path / "model.ckpt", weights_only=True)), tmp_path / "model.ckpt")
    for load in (lambda path: load_checkpoint(path, SnapshotPredictor), load_predictor):
        with pytest.raises(CheckpointError, match=r"not there as a whole|again and again|holds itself"):
            load(tmp_path / "model.ckpt")


def test_a_compressed_checkpoint_is_refused(tmp_path: Path):
    save_checkpoint(tmp_path / "model.ckpt", SnapshotPredictor([4, 4, 4], 4))
    with zipfile.ZipFile(tmp_path / "model.ckpt") as source:
        members = {member.filename: source.read(member) for member in source.infolist()}
    with zipfile.ZipFile(tmp_path / "model.ckpt", "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
        target.writestr("zeros", bytes(10**6))
    with pytest.raises(CheckpointError, match="bytes that become"):
        load_checkpoint(tmp_path / "model.ckpt", SnapshotPredictor)


def test_archives_that_grow_without_bounds_are_refused(tmp_path: Path):
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(200_000_000, np.int8))
    for read in (lambda path: read_batch(path, 2, 0), read_table):
        with pytest.raises(DataError, match="bytes that become 200000128"):
            read(tmp_path / "zeros.npz")
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(20_000_000, np.int8))
    with pytest.raises(DataError, match="bytes that become 20000000 values"):
        read_table(tmp_path / "zeros.npz")
    maps = {"long": np.ones((400, 2, 1, 100, 12), np.float16), "deep": np.ones((1, 2, 65, 100, 12), np.float16)}
    np.savez_compressed(tmp_path / "maps.npz", **maps | {str(n): maps["deep"][:, :, :1] for n in range(20)})
    with pytest.raises(DataError, match="22 networks of up to 400 snapshots and 65 layers"):
        read_snapshots(tmp_path / "maps.npz")


@pytest.mark.parametrize("nested", [False, True])
def test_a_text_that_every_row_repeats_is_refused(tmp_path: Path, nested: bool):
    texts = pa.array(["x" * 50_000] * 5000)
    column = pa.ListArray.from_arrays(pa.array(range(5001), pa.int32()), texts) if nested else texts
    pq.write_table(pa.table({"a": column}), tmp_path / "text.parquet")
    assert (tmp_path / "text.parquet").stat().st_size < 10_000
    with pytest.raises(ValueError, match="bytes that become 250000000"):
        parquet_within_bounds(tmp_path / "text.parquet")


def test_yaml_that_refers_to_itself_is_refused(tmp_path: Path):
    lines = ["a0: &a0 [1, 1]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    run = RunFolder(tmp_path)
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(DataError, match="refers to another part of itself"):
        run.write_config({"a": 1})
    run.write_metrics({})
    with pytest.raises(DataError, match="refers to another part of itself"):
        write_page([tmp_path], tmp_path / "page.html")
    (tmp_path / "config.yaml").write_text("[" * 100_000)
    with pytest.raises(DataError, match="not a YAML file"):
        run.write_config({"a": 1})


def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path):
    (tmp_path / "class").mkdir()
    Image.new("L", (6000, 6000)).save(tmp_path / "class" / "large.png")
    with pytest.raises(DataError, match="6000 x 6000 pixels"):
        read_batch(tmp_path, 1, 0)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 4900 + "1",
        "(" * 4900,
        "9" * 4900,
        "[" * 10**6,
        "Genotype(normal=[], normal_concat=range(2, 1000000000000), reduce=[], reduce_concat=range(2, 6))",
        "__import__('os').system('true')",
    ],
    ids=lambda text: text[:20],
)
def test_an_architecture_without_end_is_refused(text: str):
    for parse in (DARTS().parse, DARTS().parse_compact):
        with pytest.raises(DataError, match="item 0"):
            parse([text])
    with pytest.raises(ConfigError, match="no call of a name"):
        find_models([f"file.py:{text}"])


def test_an_archive_holds_arrays_only(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match="its member x is no array"):
        read_snapshots(tmp_path / "some.npz")


def test_tables_that_do_not_fit_together_are_refused(tmp_path: Path):
    (tmp_path / "curves").mkdir()
    plain = {"test_acc": np.ones((2, 3)), "train_loss": np.ones((2, 3)), "params": np.ones(2), "macs": np.ones(2)}
    for changes, match in (
        ({"test_acc": np.ones(2)}, "do not fit together"),
        ({"params": np.ones((2, 5000))}, "5000 epochs of params"),
    ):
        np.savez(tmp_path / "curves" / "naap440_cifar10.npz", model_id=np.arange(2), **plain | changes)
        with pytest.raises(DataError, match=match):
            naap440(tmp_path)


def test_a_list_of_models_names_no_further_lists(tmp_path: Path):
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'list.txt'}\n")
    with pytest.raises(ConfigError, match="neither a file nor a spec"):
        find_models([str(tmp_path / "list.txt")])
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_models([str(tmp_path / "list.txt")])


def test_a_hint_that_hides_a_column_does_not(tmp_path: Path):
    pd.DataFrame({"a": [1.0], "b": [2.0]}).set_index("a").to_parquet(tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="'a'"):
        load_table(tmp_path / "table.parquet", columns=["a", "b"])
    assert load_table(tmp_path / "table.parquet", columns=["b"])["b"].tolist() == [2.0]


def test_an_index_with_texts_that_are_none_is_refused(tmp_path: Path):
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xe4\xff")])
    folder = SnapshotFolder(tmp_path)
    folder.create(1, 2, {}, {}, {})
    pq.write_table(pa.table({"key": broken}), folder.index_path)
    with pytest.raises(DataError, match="UTF8"):
        folder.index()


def test_a_history_of_a_billion_epochs_is_refused(tmp_path: Path):
    for epoch in (10**12, -1):
        pd.DataFrame({"epoch": [0, epoch], "loss": [1.0, 0.5]}).to_csv(tmp_path / "run.csv", index=False)
        with pytest.raises(DataError, match="epoch"):
            read_histories(tmp_path / "run.csv", "loss")


def test_json_without_end_is_an_error_of_ours(tmp_path: Path):
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(DataError, match="not a JSON file"):
        read_json(tmp_path / "deep.json")


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f2', 'fortran_order': False, 'shape': (9999999999, 2, 1, 100, 12), }", b"{'a': (", b"\xff\xfe", b""],
)
def test_a_header_that_lies_is_an_error_of_ours(tmp_path: Path, header: bytes):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"
    (tmp_path / "net.npy").write_bytes(content)
    with pytest.raises(DataError, match="not a readable"):
        read_snapshots(tmp_path / "net.npy")
