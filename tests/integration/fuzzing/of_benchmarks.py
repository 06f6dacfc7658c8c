"""Files of benchmarks: those that others published and our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import test_nasbench101_importer as tfrecords
import test_nasbench201_importers as pickles
import test_other_importers as others
import torch
from target import Target

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.importers import FORMATS
from foretrain.benchmarks.importers.foretrain_data import _COLUMNS_201
from foretrain.benchmarks.table import Benchmark
from foretrain.spaces.darts import DARTS
from foretrain.spaces.nasbench101 import NASBench101


def imported(name: str) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        FORMATS[name].sources(path)
        contents = FORMATS[name].load()(path)
        write_benchmark(contents, path.parent / "out" / "benchmark")
        read_benchmark(path.parent / "out" / "benchmark")

    return read


def read_benchmark(path: Path) -> None:
    benchmark = Benchmark(path)
    _ = benchmark.names[:2], benchmark.description.space is None or (benchmark.space, benchmark.keys[:2])
    for series in benchmark.series:
        if series.kind == "curve":
            benchmark.curves(None, series.dataset, series.split, metric=series.name)
    for series in benchmark.series:
        if series.kind == "final":
            benchmark.accuracy(None, series.dataset, series.split)


def make_tfrecord(folder: Path) -> Path:
    (folder / "cells.tfrecord").write_bytes(b"".join(map(tfrecords.frame, tfrecords.records())))
    return folder / "cells.tfrecord"


def make_pth(folder: Path) -> Path:
    torch.save(pickles.pth_content(short_results()), folder / "cells.pth")
    return folder / "cells.pth"


def short_results() -> list[dict[str, Any]]:
    return [{length: pickles.arch_results(row, 12) for length in ("12", "200")} for row in range(3)]


def make_nats(folder: Path) -> Path:
    return pickles.nats_folder(folder / "nats", short_results())


def make_synetune(folder: Path) -> Path:
    others.syne_tune_folder(folder / "nasbench201")
    return folder / "nasbench201"


def make_suite_zero(folder: Path) -> Path:
    name = "(0, 1, 2, 3, 4, 0)"
    entry = {proxy: {"score": 1.5, "time": 0.1} for proxy in ("synflow", "jacov")}
    content = {"cifar10": {name: entry | {"val_accuracy": 80.0}, "(2, 2, 2, 3, 4, 0)": entry | {"val_accuracy": 81.0}}}
    (folder / "zc_nasbench201.json").write_text(json.dumps(content))
    return folder / "zc_nasbench201.json"


def long_rows() -> pd.DataFrame:
    rows = [(f"net{n}", "digits", s, e, "valid", 50.0 + e) for n in range(3) for s in (0, 1) for e in (1, 2)]
    return pd.DataFrame(rows, columns=["arch", "dataset", "seed", "epoch", "split", "accuracy"])


def make_long_csv(folder: Path) -> Path:
    long_rows().to_csv(folder / "long.csv", index=False)
    return folder / "long.csv"


def make_long_parquet(folder: Path) -> Path:
    long_rows().to_parquet(folder / "long.parquet", index=False)
    return folder / "long.parquet"


def make_benchmark(folder: Path) -> Path:
    series = {
        Series("final", "accuracy", "digits", "valid", 4, (1, 2)): np.array([[50.0, 51.0], [60.0, 61.0]]),
        Series("curve", "accuracy", "digits", "valid", 4): np.ones((2, 1, 4), np.float32),
        Series("score", "nwot", "digits"): np.array([[1.0], [2.0]]),
    }
    description = Description("small", "Two", "foretrain.spaces.nasbench201.NASBench201", "nowhere", "CC0-1.0")
    write_benchmark(Contents(description, pickles.CELLS[:2], series), folder / "benchmark")
    return folder / "benchmark"


def make_tables_201(folder: Path) -> Path:
    tables = folder / "data" / "nasbench201"
    tables.mkdir(parents=True)
    count = len(pickles.CELLS)
    frame = pd.DataFrame({name: np.linspace(50, 60, count) for name in _COLUMNS_201})
    frame["arch_str"] = pickles.CELLS
    for ending in ("c10", "c100"):
        for seed in range(3):
            frame[f"val_{ending}_s{seed}"] = np.linspace(50, 70, count)
    frame.to_parquet(tables / "accuracies.parquet", index=False)
    curves = np.full((2, 3), 50, np.float32)
    np.savez(tables / "curves_c10valid_100.npz", arch_index=np.arange(2), val_acc=curves, train_acc=curves)
    scores = pd.DataFrame({"arch_index": range(count), "synflow": np.ones(count), "nwot": np.ones(count)})
    scores.to_parquet(tables / "proxies_suite_zero_c10.parquet", index=False)
    names = ("naswot", "logsynflow", "log1p_synflow", "naswot_time_s", "logsynflow_time_s", "synflow_time_s")
    freerea = pd.DataFrame({"dataset": ["c10", "c100"], "arch_index": [0, 1]} | {name: [1.0, 2.0] for name in names})
    freerea.to_parquet(tables / "proxies_freerea_c10_c100.parquet", index=False)
    return folder / "data"


def make_tables_101(folder: Path) -> Path:
    tables = folder / "data" / "nasbench101"
    tables.mkdir(parents=True)
    cells = NASBench101().sample(3, torch.Generator().manual_seed(0))
    bits, vertices, operations = cells.to_table()
    frame = pd.DataFrame({"hash16": [bytes([n]) * 16 for n in range(3)], "edge_bits": bits, "n": vertices})
    frame[[f"op{vertex}" for vertex in range(1, 6)]] = operations
    frame["params"], frame["test_acc_108"] = [1e6, 2e6, 3e6], [0.9, 0.91, 0.92]
    frame.to_parquet(tables / "cells_test_accuracy.parquet", index=False)
    part = pd.DataFrame({"full_row": [0, 2], "training_time_108": [10.0, 20.0]})
    part[[f"val_acc_{epochs}" for epochs in (4, 12, 36, 108)]] = 0.5
    part.to_parquet(tables / "cells_30k_val_accuracy.parquet", index=False)
    return folder / "data"


def make_tables_301(folder: Path) -> Path:
    (folder / "data" / "darts").mkdir(parents=True)
    space = DARTS()
    strings = space.format_compact(space.sample(3, torch.Generator().manual_seed(0)))
    frame = pd.DataFrame({"arch": strings, "val_acc": [90.0, 91.0, 92.0], "params": 1.5, "synflow": 2.0, "nwot": -1e9})
    frame.to_parquet(folder / "data" / "darts" / "nasbench301_surrogate_1218.parquet", index=False)
    return folder / "data"


def make_tables_naap440(folder: Path) -> Path:
    (folder / "data" / "curves").mkdir(parents=True)
    curves, ones = np.full((3, 4), 50, np.float32), np.ones(3)
    arrays = {"model_id": np.arange(3), "test_acc": curves, "train_loss": curves, "params": ones, "macs": ones}
    np.savez(folder / "data" / "curves" / "naap440_cifar10.npz", **arrays)
    return folder / "data"


TARGETS = {
    "nasbench101": Target(make_tfrecord, imported("nasbench101")),
    "nasbench201": Target(make_pth, imported("nasbench201")),
    "natsbench": Target(make_nats, imported("natsbench")),
    "synetune": Target(make_synetune, imported("synetune")),
    "suite-zero": Target(make_suite_zero, imported("suite-zero")),
    "long-csv": Target(make_long_csv, imported("long-table")),
    "long-parquet": Target(make_long_parquet, imported("long-table")),
    "tables-nasbench201": Target(make_tables_201, imported("tables-nasbench201")),
    "tables-nasbench101": Target(make_tables_101, imported("tables-nasbench101")),
    "tables-nasbench301": Target(make_tables_301, imported("tables-nasbench301")),
    "tables-naap440": Target(make_tables_naap440, imported("tables-naap440")),
    "benchmark": Target(make_benchmark, read_benchmark),
}
