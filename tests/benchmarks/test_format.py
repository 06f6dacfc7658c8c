"""The on-disk form: what is written is read back, and nothing damaged is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.format import check_sums, map_curves, read_manifest, write_benchmark
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import DataError


def rewrite_manifest(folder: Path, change: dict) -> None:
    path = folder / "benchmark.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def test_every_number_is_read_back_to_the_last_digit(contents, small):
    manifest = read_manifest(small.folder)
    assert manifest.description == contents.description
    assert list(manifest.series) == list(contents.series)
    for series, values in contents.series.items():
        if series.kind == "curve":
            np.testing.assert_array_equal(map_curves(small.folder, series, 4), values)
        else:
            table = pd.read_parquet(small.folder / "table.parquet")
            np.testing.assert_array_equal(table[series.columns].to_numpy(), values)


def test_same_contents_give_the_same_bytes(contents, small, tmp_path):
    write_benchmark(contents, tmp_path / "again")
    assert Benchmark(tmp_path / "again").sha256 == small.sha256


def test_a_name_with_a_dot_is_no_nested_column(contents, tmp_path):
    series = {Series("score", "v1.2", "data.set"): np.arange(4.0)[:, None]}
    write_benchmark(replace(contents, series=series), tmp_path / "dots")
    assert Benchmark(tmp_path / "dots").scores("v1.2").tolist() == [0, 1, 2, 3]


def test_an_existing_folder_is_not_touched(contents, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"is there already"):
        write_benchmark(contents, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("step", ["pyarrow.parquet.ParquetWriter.write_table", "numpy.save", "pathlib.Path.rename"])
def test_a_failure_leaves_nothing(contents, tmp_path, monkeypatch, step):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(step, fail)
    with pytest.raises(KeyboardInterrupt):
        write_benchmark(contents, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


ACCURACY = Series("final", "accuracy", "cifar10", "valid", 200, (1,))
CURVE = Series("curve", "accuracy", "cifar10", "valid", 4, (1,), (2, 4))


@pytest.mark.parametrize(
    ("series", "values", "match"),
    [
        (ACCURACY, [[1.0], [2.0], [100.5], [3.0]], r"architecture 2 \(.*\), final/cifar10.*, seed 1: 100.5 is outside"),
        (ACCURACY, [[1.0], [-0.1], [1.0], [3.0]], r"architecture 1 .* -0.1 is outside 0..100"),
        (ACCURACY, [[1.0], [2.0], [np.inf], [3.0]], "inf is outside"),
        (ACCURACY, [[1.0], [2.0]], r"has the shape \(2, 1\), not \(4, 1\)"),
        (CURVE, np.full((4, 1, 2), [1, 101]), "architecture 0 .* seed 1, epoch 4: 101.0 is outside"),
        (Series("cost", "parameters", "cifar10"), [[1.0], [2.0], [-3.0], [4.0]], "-3.0 is negative"),
    ],
)
def test_impossible_values_are_refused_with_their_place(contents, tmp_path, series, values, match):
    bad = replace(contents, series={series: np.array(values)})
    with pytest.raises(DataError, match=match):
        write_benchmark(bad, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_that_is_there_twice_is_refused(contents, tmp_path):
    names = [*contents.architectures[:3], contents.architectures[1]]
    with pytest.raises(DataError, match=r"is there twice, in rows 1 and 3"):
        write_benchmark(replace(contents, architectures=names), tmp_path / "out")


def test_a_series_that_is_there_twice_is_refused(contents, tmp_path):
    values = np.zeros((4, 1))
    series = {ACCURACY: values, replace(ACCURACY, seeds=(2,)): values}
    with pytest.raises(DataError, match=r"series final/cifar10/valid/accuracy/200 is there twice"):
        write_benchmark(replace(contents, series=series), tmp_path / "out")


def test_an_architecture_outside_the_space_is_refused(contents, tmp_path):
    names = [*contents.architectures[:3], "|conv_9x9~0|"]
    with pytest.raises(DataError, match=r"file: NAS-Bench-201 string: item 3 .*conv_9x9"):
        write_benchmark(replace(contents, architectures=names), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_benchmark_is_refused(contents, tmp_path):
    with pytest.raises(DataError, match=r"holds no architecture"):
        write_benchmark(Contents(contents.description, [], {}), tmp_path / "out")


@pytest.mark.parametrize("label", ["../evil", "a/b", "", ".hidden", "a\\b"])
def test_names_cannot_lead_out_of_the_folder(label):
    with pytest.raises(DataError, match=r"cannot be part of a file name"):
        Series("curve", "accuracy", label, "valid", 4)
    with pytest.raises(DataError, match=r"cannot be part of a file name"):
        Description(label, "", None, "", "")


@pytest.mark.parametrize(("epochs", "observed"), [(None, None), (0, None), (4, (0, 1)), (4, (5,)), (4, ())])
def test_the_epochs_of_a_curve_lie_within_its_training(epochs, observed):
    with pytest.raises(DataError, match=r"counted from 1 to the length of the training"):
        Series("curve", "accuracy", "cifar10", "valid", epochs, (1,), observed)


def test_a_truncated_file_is_refused_on_opening(small):
    path = small.folder / "curve/cifar10/train/loss/3.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"3.npy: has \d+ bytes instead of"):
        Benchmark(small.folder)


def test_a_missing_file_is_refused_on_opening(small):
    (small.folder / "table.parquet").unlink()
    with pytest.raises(DataError, match=r"table.parquet: is missing"):
        Benchmark(small.folder)


def test_a_changed_byte_is_found_by_the_checksums(small):
    path = small.folder / "curve/cifar10/train/loss/3.npy"
    small.verify()
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match=r"3.npy: its SHA-256 differs"):
        check_sums(small.folder, read_manifest(small.folder))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 99}, "format version 99, this foretrain reads 1"),
        ({"architectures": None}, "lacks a field or has a wrong one"),
        ({"series": [{"kind": "final"}]}, "lacks a field or has a wrong one"),
        ({"description": {"name": "x", "evil": 1}}, "lacks a field or has a wrong one"),
        ({"files": {"../outside": {"bytes": 1, "sha256": ""}}}, "'../outside', which lies outside the folder"),
        ({"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, "lies outside the folder"),
    ],
)
def test_a_wrong_manifest_is_refused(small, change, match):
    rewrite_manifest(small.folder, change)
    with pytest.raises(DataError, match=match):
        Benchmark(small.folder)


def test_a_curve_path_in_the_manifest_cannot_lead_out(small):
    manifest = json.loads((small.folder / "benchmark.json").read_text())
    manifest["series"][3]["dataset"] = "../.."
    rewrite_manifest(small.folder, manifest)
    with pytest.raises(DataError, match=r"cannot be part of a file name"):
        Benchmark(small.folder)


@pytest.mark.parametrize("space", ["os.path", "foretrain.spaces.base.Architectures", "foretrain.spaces.none.None"])
def test_only_search_spaces_are_imported(small, space):
    manifest = json.loads((small.folder / "benchmark.json").read_text())
    rewrite_manifest(small.folder, {"description": {**manifest["description"], "space": space}})
    with pytest.raises(DataError, match=r"outside foretrain.spaces|is no search space|has no foretrain"):
        _ = Benchmark(small.folder).space


def with_skeleton(contents: Contents, **skeleton) -> Contents:
    return replace(contents, description=replace(contents.description, skeleton=skeleton))


def test_the_space_builds_the_skeleton_that_was_measured(contents, small, tmp_path):
    write_benchmark(with_skeleton(contents, channels=4, stages=2), tmp_path / "out")
    spaces = {"measured": Benchmark(tmp_path / "out").space, "published": small.space}
    assert {name: (space.channels, space.stages) for name, space in spaces.items()} == {
        "measured": (4, 2),
        "published": (16, 3),
    }


@pytest.mark.parametrize(
    ("skeleton", "match"),
    [
        ({"chanels": 4}, r"file: has an impossible skeleton.*did you mean 'channels'"),
        ({"channels": 0}, "greater than or equal to 1"),
        ({"channels": "4"}, "does not consist of numbers"),
    ],
)
def test_an_impossible_skeleton_is_refused(contents, tmp_path, skeleton, match):
    with pytest.raises(DataError, match=match):
        write_benchmark(with_skeleton(contents, **skeleton), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "values", "match"),
    [
        ("curve/cifar10/train/loss/3.npy", np.zeros((4, 1, 3)), r"holds float64\[4, 1, 3\], not what is listed"),
        ("curve/cifar10/train/loss/3.npy", np.zeros((3, 1, 4), np.float32), r"holds float32\[3, 1, 4\], not what"),
        ("curve/cifar10/train/loss/3.npy", None, "not a readable array"),
        ("table.parquet", None, "damaged, or lacks one of its columns"),
        ("architectures/ops.npy", np.zeros((3, 6), np.int8), "holds 3, not 4"),
        ("architectures/ops.npy", np.zeros((4, 6)), r"float64\[4, 6\], which nasbench201 has not"),
    ],
)
def test_a_file_with_other_content_than_the_manifest_says_is_named(small, path, values, match):
    file = small.folder / path
    if values is None:
        file.write_bytes(b"x" * file.stat().st_size)
    else:
        np.save(file, values)
        manifest = json.loads((small.folder / "benchmark.json").read_text())
        manifest["files"][path]["bytes"] = file.stat().st_size
        rewrite_manifest(small.folder, manifest)
    benchmark = Benchmark(small.folder)
    with pytest.raises(DataError, match=match):
        _ = benchmark.architectures, benchmark.curves(None, "cifar10", "train", metric="loss"), benchmark.accuracy()


def test_a_series_of_no_kind_or_without_seeds_is_refused():
    with pytest.raises(DataError, match="unknown kind 'guess'"):
        Series("guess", "accuracy")
    with pytest.raises(DataError, match="has no seeds"):
        Series("final", "accuracy", "digits", seeds=())
    with pytest.raises(DataError, match="too long for a file name"):
        Series("final", "a" * 300, "digits")


@pytest.mark.parametrize("epochs", [-1, 10**7, 10**400])
@pytest.mark.parametrize("kind", ["final", "curve"])
def test_trainings_of_impossible_length_are_refused(kind, epochs):
    with pytest.raises(DataError, match=r"accuracy of -?1\d* epochs.*Trainings have 0 to"):
        Series(kind, "accuracy", "digits", epochs=epochs)


def test_a_table_with_other_rows_than_the_manifest_says_is_named(small):
    path = small.folder / "table.parquet"
    pd.read_parquet(path).iloc[:3].to_parquet(path, index=False)
    manifest = json.loads((small.folder / "benchmark.json").read_text())
    manifest["files"]["table.parquet"]["bytes"] = path.stat().st_size
    rewrite_manifest(small.folder, manifest)
    with pytest.raises(DataError, match=r"table\.parquet: has 3 rows of .* for 4 architectures"):
        Benchmark(small.folder).accuracy(None, "cifar10", "valid")
