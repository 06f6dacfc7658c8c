from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from foretrain.errors import DataError
from foretrain.runtime.files import read_json, write_json
from foretrain.runtime.parallel import ParallelMap, Record
from foretrain.snapshots.recorder import Snapshots
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS
from foretrain.snapshots.storage import FORMAT_VERSION, SnapshotFolder, compress, read_snapshots, signed_exp, signed_log

SIZES = {"a": (3, 2), "b": (2, 4), "c": (1, 1)}
POPULATION = {
    "every_n_steps": 10,
    "max_snapshots": 3,
    "space": {"name": "nasbench101", "channels": 16},
    "images": "digits",
    "plan": {"epochs": 2, "sizes": (1, 2)},
}


def snapshots_of(key: str) -> Snapshots:
    steps, layers = SIZES[key]
    generator = torch.Generator().manual_seed(ord(key))
    features = torch.randn(steps, 2, layers, ROWS, len(STATISTICS), generator=generator)
    rows = torch.arange(layers) + 5
    features[:, :, torch.arange(ROWS) >= rows[:, None]] = 0
    return Snapshots(features, rows, 10 * (torch.arange(steps) + 1), [f"layer{index}" for index in range(layers)])


def record_of(key: str) -> Record:
    steps = SIZES[key][0]
    return {
        "architecture": f"cell {key}",
        "hyperparameters": {"optimizer": "sgd", "learning_rate": 0.1},
        "train_loss": [1.0] * steps,
        "train_accuracy": [50.0] * steps,
        "val_loss": [float("nan")] * steps,
        "val_accuracy": [40] * steps,
        "final_val_accuracy": 60,
        "test_accuracy": 61.5,
        "seconds": 1.25,
        "parameters": 1000,
    }


class Recording:
    """One job of the recording, as the parallel map runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, key: str) -> Record:
        return SnapshotFolder(self.folder).write(key, snapshots_of(key), record_of(key))


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    folder = SnapshotFolder(tmp_path / "population")
    folder.create(**POPULATION)
    records = ParallelMap(workers=1)(Recording(folder.path), {key: key for key in SIZES}, folder.records_path, "")
    folder.write_index(records)
    return folder


def change_index(folder: SnapshotFolder, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(folder.index()).to_parquet(folder.index_path, index=False)


def test_the_index_gives_back_what_was_recorded(folder: SnapshotFolder):
    index = folder.index()
    assert index["key"].to_list() == list(SIZES)
    for _, row in index.iterrows():
        record, recorded = record_of(row["key"]), snapshots_of(row["key"])
        assert json.loads(row["hyperparameters"]) == record["hyperparameters"]
        assert row["layers"].tolist() == recorded.layers
        assert row["rows"].tolist() == recorded.rows.tolist()
        assert row["step"].tolist() == recorded.steps.tolist()
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            np.testing.assert_array_equal(row[name], record[name])
        for name in ("architecture", "final_val_accuracy", "test_accuracy", "seconds", "parameters"):
            assert row[name] == record[name]


def test_a_network_is_a_memory_map_of_the_signed_logarithm(folder: SnapshotFolder):
    maps = folder.load("b")
    assert isinstance(maps, np.memmap)
    assert maps.dtype == np.float16
    np.testing.assert_array_equal(maps, compress(snapshots_of("b").features).numpy())


@pytest.mark.parametrize("max_layers", [None, 4, 3, 1])
@pytest.mark.parametrize("keys", [["a", "b", "c"], ["c", "a"], ["c"]])
def test_load_all_pads_each_network_and_keeps_the_order(
    folder: SnapshotFolder, keys: list[str], max_layers: int | None
):
    maps, rows, lengths = folder.load_all(keys, max_layers)
    steps = max(SIZES[key][0] for key in keys)
    layers = min(max(SIZES[key][1] for key in keys), max_layers or MAX_LAYERS)
    assert maps.shape == (len(keys), steps, 2, layers, ROWS, len(STATISTICS))
    assert (maps.dtype, rows.dtype, lengths.dtype) == (np.float16, np.int64, np.int64)
    for position, key in enumerate(keys):
        t, kept = SIZES[key][0], min(SIZES[key][1], layers)
        np.testing.assert_array_equal(maps[position, :t, :, :kept], folder.load(key)[:, :, :kept])
        assert not maps[position, t:].any()
        assert not maps[position, :, :, kept:].any()
        assert rows[position].tolist() == snapshots_of(key).rows[:kept].tolist() + [0] * (layers - kept)
        assert lengths[position] == t


def test_read_snapshots_takes_a_folder_or_one_file(folder: SnapshotFolder):
    keys, arrays = read_snapshots(folder.path)
    assert keys == list(SIZES)
    for found, expected in zip(arrays, folder.load_all(keys), strict=True):
        np.testing.assert_array_equal(found, expected)
    keys, arrays = read_snapshots(folder.network_path("b"))
    assert keys == ["b"]
    for found, expected in zip(arrays, folder.load_all(keys), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_recording_that_was_interrupted_goes_on_with_the_missing_networks(folder: SnapshotFolder):
    index, untouched = folder.index(), folder.network_path("a").stat().st_mtime_ns
    (folder.records_path / "b.json").unlink()
    records = ParallelMap(workers=1)(Recording(folder.path), {key: key for key in SIZES}, folder.records_path, "")
    folder.write_index(records)
    pd.testing.assert_frame_equal(folder.index(), index)
    assert folder.network_path("a").stat().st_mtime_ns == untouched


def test_the_description_says_what_the_files_hold(folder: SnapshotFolder):
    content = folder.population()
    assert content["format_version"] == FORMAT_VERSION
    assert content["statistics"] == list(STATISTICS)
    assert content["units"]["accuracy"] == "percent"
    assert content["plan"] == {"epochs": 2, "sizes": [1, 2]}
    folder.create(**POPULATION)
    assert folder.population() == content


@pytest.mark.parametrize("name", POPULATION)
def test_a_folder_of_another_population_is_refused(folder: SnapshotFolder, name: str):
    with pytest.raises(DataError, match=rf"population\.json: is another population: {name} is .* Record into another"):
        folder.create(**POPULATION | {name: 99})


def test_signed_exp_inverts_signed_log():
    values = torch.logspace(-12, 30, 200)
    values = torch.cat([-values, torch.zeros(1), values])
    torch.testing.assert_close(signed_exp(signed_log(values)), values, rtol=2e-5, atol=1e-14)
    torch.testing.assert_close(signed_exp(signed_log(values.double())), values.double(), rtol=1e-12, atol=1e-20)
    assert torch.equal(signed_log(values).sign(), values.sign())
    assert torch.equal(signed_log(torch.tensor([1e-8])), torch.tensor([2.0]).log())


@pytest.mark.parametrize(("smallest", "largest", "bound"), [(-14, 5.89, 0.008), (5.89, 19.7, 0.016)])
def test_what_float16_loses_stays_within_the_documented_bound(smallest: float, largest: float, bound: float):
    values = torch.logspace(smallest, largest, 100_001, dtype=torch.float64)
    error = (signed_exp(compress(values).double()) - values).abs() / (values + 1e-8)
    assert 0.9 * bound < error.max() <= bound


def test_the_largest_float32_is_stored_as_a_finite_number():
    assert compress(torch.tensor([torch.finfo(torch.float32).max])).isfinite().all()


def test_no_snapshot_is_an_error_and_leaves_no_file(folder: SnapshotFolder):
    nothing = Snapshots(torch.zeros(0, 2, 1, ROWS, 12), torch.ones(1), torch.zeros(0), ["layer"])
    with pytest.raises(DataError, match=r"d: training ended before the first snapshot\. Train longer"):
        folder.write("d", nothing, record_of("a"))
    assert not folder.network_path("d").exists()


def test_an_incomplete_record_is_an_error_and_leaves_no_file(folder: SnapshotFolder):
    record = record_of("a")
    del record["test_accuracy"]
    with pytest.raises(DataError, match="record of network 'd': lacks test_accuracy"):
        folder.write("d", snapshots_of("a"), record)
    with pytest.raises(DataError, match="record of network 'd': val_loss has 2 values for 3 snapshots"):
        folder.write("d", snapshots_of("a"), record_of("a") | {"val_loss": [1.0, 2.0]})
    assert not folder.network_path("d").exists()


def test_records_that_make_no_table_are_an_error_and_leave_the_index(folder: SnapshotFolder):
    records = {key: read_json(folder.records_path / f"{key}.json") for key in SIZES}
    index = folder.index_path.read_bytes()
    changes = [
        ({"seconds": "long"}, "the records make no table"),
        ({"layers": None}, "column 'layers' has empty cells"),
        ({"test_accuracy": -1.0}, "network 'b': test_accuracy is not in 0 to 100 percent"),
    ]
    for change, message in changes:
        with pytest.raises(DataError, match=message):
            folder.write_index(records | {"b": records["b"] | change})
    del records["b"]["sha256"]
    with pytest.raises(DataError, match="record of network 'b': lacks sha256"):
        folder.write_index(records)
    assert folder.index_path.read_bytes() == index


def test_a_folder_that_is_no_population(tmp_path: Path):
    with pytest.raises(DataError, match=r"has no population\.json"):
        SnapshotFolder(tmp_path).index()
    with pytest.raises(DataError, match=r"nowhere\.npy: no such file"):
        read_snapshots(tmp_path / "nowhere.npy")


def test_another_format_version(folder: SnapshotFolder):
    write_json(folder.population_path, folder.population() | {"format_version": 99})
    for use in (folder.index, lambda: folder.create(**POPULATION), lambda: folder.load_all(["a"])):
        with pytest.raises(DataError, match=r"population\.json: format version 99, this version of foretrain reads 1"):
            use()


def test_a_missing_or_damaged_index(folder: SnapshotFolder):
    content = folder.index_path.read_bytes()
    folder.index_path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"index\.parquet: not a readable Parquet file"):
        folder.index()
    folder.index_path.unlink()
    with pytest.raises(DataError, match=r"index\.parquet: no index: the recording was not finished"):
        folder.index()


def with_value(name: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Puts a value into the row of network b."""

    def change(index: pd.DataFrame) -> pd.DataFrame:
        column = index[name].to_list()
        column[1] = value
        return index.assign(**{name: pd.Series(column, dtype=object)})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.drop(columns="val_loss"), "has no column 'val_loss'"),
        (lambda index: index.iloc[:0], "has no networks"),
        (lambda index: index.assign(step=1.5), r"column 'step' is double, not list<"),
        (lambda index: index.assign(seconds="long"), "column 'seconds' is .*string, not double"),
        (with_value("seconds", None), "column 'seconds' has empty cells"),
        (with_value("key", "a"), "row 1, network 'a': its key occurs before"),
        (with_value("key", "../a"), "row 1, network '../a': its key is no plain file name"),
        (with_value("rows", [1, 2]), "row 1, network 'b': rows and layers differ in number"),
        (with_value("rows", [1, 2, 3, 101]), "row 1, network 'b': its rows are not 1 to 100"),
        (with_value("layers", []), "row 1, network 'b': it has not 1 to 65 layers"),
        (with_value("step", []), "row 1, network 'b': it has no snapshots"),
        (with_value("val_accuracy", [1.0]), "row 1, network 'b': val_accuracy has not one value per snapshot"),
        (with_value("test_accuracy", 101.0), "row 1, network 'b': test_accuracy is not in 0 to 100 percent"),
        (with_value("test_accuracy", float("nan")), "test_accuracy"),
    ],
)
def test_an_index_with_impossible_content(folder: SnapshotFolder, change: Callable, message: str):
    change_index(folder, change)
    with pytest.raises(DataError, match=rf"index\.parquet: .*{message}.*\. Restore it"):
        folder.index()


GOOD = np.ones((3, 2, 2, ROWS, 12), dtype=np.float16)
NAN, INFINITE = GOOD.copy(), GOOD.copy()
NAN[2, 1, 0, 7, 5] = np.nan
INFINITE[2, 1, 0, 7, 5] = -np.inf


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (GOOD.astype(np.float32), "holds float32, not float16"),
        (GOOD[0], r"has shape \[2, 2, 100, 12\], not \[snapshots, 2, layers \(at most 65\), 100, 12\]"),
        (GOOD[:, :1], r"has shape \[3, 1, 2, 100, 12\]"),
        (GOOD[..., :99, :], r"has shape \[3, 2, 2, 99, 12\]"),
        (GOOD[..., :11], r"has shape \[3, 2, 2, 100, 11\]"),
        (np.repeat(GOOD, 33, axis=2), r"has shape \[3, 2, 66, 100, 12\]"),
        (GOOD[:0], "holds no snapshots"),
        (NAN, r"NaN or infinite at \[.*\] = \[2, 1, 0, 7, 5\]"),
        (INFINITE, r"NaN or infinite at \[.*\] = \[2, 1, 0, 7, 5\]"),
        (np.array([{"a": 1}]), "not a readable .npy file"),
    ],
)
def test_a_file_with_impossible_content(folder: SnapshotFolder, array: np.ndarray, message: str):
    path = folder.network_path("a")
    np.save(path, array, allow_pickle=True)
    for use in (lambda: folder.load("a"), lambda: folder.load_all(["b", "a"]), lambda: read_snapshots(path)):
        with pytest.raises(DataError, match=rf"a\.npy: .*{message}"):
            use()


@pytest.mark.parametrize("kept", [0, 40, 1000])
def test_a_truncated_file(folder: SnapshotFolder, kept: int):
    path = folder.network_path("a")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.npy: not a readable \.npy file"):
        folder.load("a")


def test_an_archive_in_place_of_an_array(folder: SnapshotFolder):
    with folder.network_path("a").open("wb") as file:
        np.savez(file, GOOD)
    with pytest.raises(DataError, match=r"a\.npy: holds an archive, not float16"):
        folder.load("a")


def test_a_file_that_is_not_the_recorded_one(folder: SnapshotFolder):
    path = folder.network_path("a")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy: is not the file that was recorded"):
        folder.load_all(["a"])
    np.save(path, GOOD[:2])
    with pytest.raises(DataError, match=r"a\.npy: holds 2 snapshots of 2 layers, the index 3 of 2"):
        folder.load_all(["a"])


def test_networks_that_are_not_there(folder: SnapshotFolder):
    folder.network_path("b").unlink()
    with pytest.raises(DataError, match=r"b\.npy: no such file"):
        folder.load_all(["a", "b"])
    with pytest.raises(DataError, match=r"index\.parquet: has no network 'z'"):
        folder.load_all(["a", "z"])


def test_the_folder_above_populations_names_them(folder: SnapshotFolder):
    with pytest.raises(DataError, match=rf"no population\.json.* Give one of those in it: {folder.path}"):
        SnapshotFolder(folder.path.parent).population()
