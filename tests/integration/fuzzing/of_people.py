"""What people give: curves, tables, samples, names of models, architectures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.image import imsave
from target import Target

from foretrain.errors import ForetrainError
from foretrain.evaluation.curves.reading import Columns, read_runs
from foretrain.evaluation.tables import numbers, read_table
from foretrain.integrations.histories import read_histories
from foretrain.integrations.models import find_models
from foretrain.integrations.samples import read_batch
from foretrain.spaces.base import SearchSpace
from foretrain.spaces.darts import DARTS
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.training.images import open_images


def make_histories(folder: Path) -> Path:
    pd.DataFrame({"epoch": [1, 2, 3], "val/accuracy": [50.0, 60.0, 65.0]}).to_csv(folder / "run.csv", index=False)
    return folder / "run.csv"


def make_histories_parquet(folder: Path) -> Path:
    frame = pd.DataFrame({"Step": [1, 2], "first - val/accuracy": [50.0, 60.0], "second - val/accuracy": [51.0, None]})
    frame.to_parquet(folder / "export.parquet", index=False)
    return folder / "export.parquet"


CURVES = {
    "wandb": pd.DataFrame({"Step": [1, 2], "a - val_acc": [50.0, 60.0], "b - val_acc": [51.0, None]}),
    "tensorboard": pd.DataFrame({"Wall time": [1.0, 2.0], "Step": [10, 20], "Value": [0.5, 0.6]}),
    "mlflow": pd.DataFrame({"run_id": ["a", "a", "b"], "key": "acc", "value": [0.5, 0.6, 0.5], "step": [1, 2, 1]}),
    "lightning": pd.DataFrame({"epoch": [0, 0, 1], "step": [3, 4, 8], "val_acc": [None, 0.5, 0.6]}),
    "wide": pd.DataFrame({"run": ["a", "b"], "1": [50.0, 51.0], "2": [60.0, None]}),
    "long": pd.DataFrame({"run": ["a", "a", "b"], "epoch": [1, 2, 1], "value": [50.0, 60.0, 51.0]}),
}


def each(read: Callable[[Path], object]) -> Callable[[Path], None]:
    """Reads every file of a folder: one that is refused must not hide the next."""

    def read_all(folder: Path) -> None:
        refusals = []
        for path in sorted(folder.iterdir()):
            try:
                read(path)
            except ForetrainError as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]

    return read_all


def make_curves(folder: Path) -> Path:
    for name, frame in CURVES.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    CURVES["long"].to_parquet(folder / "long.parquet", index=False)
    np.savez(folder / "curves.npz", curves=np.array([[50.0, 60.0, 61.0], [51.0, 52.0, np.nan]]))
    return folder


def make_tables(folder: Path) -> Path:
    frame = pd.DataFrame({"arch": ["a", "b"], "synflow": [1.5, None], "nwot": [3, 4]})
    frame.to_csv(folder / "table.csv", index=False)
    frame.to_parquet(folder / "table.parquet", index=False)
    np.savez(folder / "table.npz", nwot=np.arange(3), synflow=np.ones(3))
    return folder


def read_numbers(path: Path) -> None:
    table = read_table(path)
    for name in {"synflow", "nwot"} & {*table.columns}:
        numbers(table, name, path)


def make_samples(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(4, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "bytes.npz", x=pixels, y=np.arange(4))
    np.savez(folder / "floats.npz", inputs=draw.random((4, 3)), targets=draw.random(4))
    for label, image in enumerate(pixels[:2]):
        (folder / "images" / str(label)).mkdir(parents=True)
        imsave(folder / "images" / str(label) / "one.png", image)
        imsave(folder / "images" / str(label) / "two.jpg", image)
    return folder


def make_cifar(folder: Path) -> Path:
    rows = np.random.default_rng(0).integers(10, size=(10, 1 + 3 * 32 * 32), dtype=np.uint8)
    for file in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        rows.tofile(folder / file)
    return folder


def make_models(folder: Path) -> Path:
    lines = "# mine\nfile.py:Net(3, name='x')\n\nfile.py:other\n"
    (folder / "models.txt").write_text(lines)
    (folder / "file.py").write_text("raise SystemExit\n")
    return folder / "models.txt"


def read_models(path: Path) -> None:
    with contextlib.chdir(path.parent):
        find_models([str(path)])


SPACES: dict[str, SearchSpace[Any]] = {"101": NASBench101(), "201": NASBench201(), "darts": DARTS()}


def make_strings(folder: Path) -> Path:
    for name, space in SPACES.items():
        archs = space.sample(3, torch.Generator().manual_seed(0))
        (folder / name).write_text("\n".join(space.format(archs)))
    compact = DARTS().format_compact(DARTS().sample(3, torch.Generator().manual_seed(0)))
    (folder / "compact").write_text("\n".join(compact))
    return folder


def read_strings(path: Path) -> None:
    strings = path.read_bytes().decode(errors="replace").splitlines()
    if path.name == "compact":
        DARTS().parse_compact(strings)
    else:
        space = SPACES[path.name]
        archs = space.parse(strings)
        assert space.format(space.parse(space.format(archs))) == space.format(archs)
        space.canonical(archs)


TARGETS = {
    "histories": Target(make_histories, lambda path: read_histories(path, "val/accuracy")),
    "histories-parquet": Target(make_histories_parquet, lambda path: read_histories(path, "val/accuracy")),
    "curves": Target(make_curves, each(lambda path: read_runs(path, Columns()))),
    "tables": Target(make_tables, each(read_numbers)),
    "samples": Target(make_samples, each(lambda path: read_batch(path, 3, seed=0))),
    "cifar": Target(make_cifar, lambda path: open_images("cifar10", path)),
    "models": Target(make_models, read_models),
    "architectures": Target(make_strings, each(read_strings)),
}
