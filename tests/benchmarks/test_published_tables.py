"""The real tables: the best networks of the literature, and numbers that several tables must agree on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretrain.benchmarks import conversion
from foretrain.benchmarks.catalog import CATALOG
from foretrain.benchmarks.conversion import convert_tables
from foretrain.benchmarks.table import Benchmark, open_benchmark
from foretrain.errors import DataError

DARTS = "nasbench301_surrogate_1218.parquet"


@pytest.fixture(scope="module")
def tables(foretrain_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Benchmark]]:
    """All benchmarks of FORETRAIN_DATA, converted once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETRAIN_HOME", str(tmp_path_factory.mktemp("home")))
        names = [name for name, entry in CATALOG.items() if entry.tables]
        yield {name: Benchmark(convert_tables(name, foretrain_data)) for name in names}


@pytest.mark.parametrize(
    ("name", "dataset", "split", "epochs", "best"),
    [
        ("nasbench201", "cifar10", "test", 200, 94.37),
        ("nasbench201", "cifar10-valid", "valid", 200, 91.61),
        ("nasbench201", "cifar100", "test", 200, 73.51),
        ("nasbench201", "cifar100", "valid", 200, 73.49),
        ("nasbench101", "cifar10", "test", 108, 94.32),
    ],
)
def test_the_best_accuracies_are_those_of_the_literature(tables, name, dataset, split, epochs, best):
    """Dong & Yang 2020, table 4 (optimal); Ying et al. 2019, section 3.2."""
    assert round(float(np.nanmax(tables[name].accuracy(None, dataset, split, epochs=epochs))), 2) == best


def test_the_tables_have_the_published_sizes(tables):
    sizes = {name: len(benchmark) for name, benchmark in tables.items()}
    assert sizes == {"nasbench101": 423_624, "nasbench201": 15_625, "nasbench301": 1_218, "naap440": 440}


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "nasbench301"])
def test_architectures_are_what_their_names_say(tables, name):
    benchmark = tables[name]
    rows = benchmark.split(200, 100, seed=0).train
    assert benchmark.space.format(benchmark.architectures[rows.tolist()]) == [benchmark.names[row] for row in rows]
    np.testing.assert_array_equal(benchmark.rows(benchmark.architectures[rows.tolist()]), rows)


def test_official_order_and_numbers_of_nasbench201(tables, foretrain_data):
    table = pd.read_parquet(foretrain_data / "nasbench201" / "accuracies.parquet")
    benchmark = tables["nasbench201"]
    assert benchmark.names == table["arch_str"].tolist()
    for dataset, ending in (("cifar10-valid", "c10"), ("cifar100", "c100")):
        for seed in range(3):
            np.testing.assert_array_equal(
                benchmark.accuracy(None, dataset, "valid", seed), table[f"val_{ending}_s{seed}"]
            )
        np.testing.assert_allclose(benchmark.accuracy(None, dataset, "valid"), table[f"val_{ending}"], atol=2e-5)


def test_the_last_epoch_of_a_curve_is_the_final_accuracy(tables):
    benchmark = tables["nasbench201"]
    curves = benchmark.curves(None, "cifar10-valid", "valid")
    known = ~np.isnan(curves[:, 0])
    assert curves.shape == (15_625, 200)
    assert np.flatnonzero(known).tolist() == list(range(100))
    np.testing.assert_allclose(curves[known, -1], benchmark.accuracy(known, "cifar10-valid", "valid"), atol=1e-3)
    plain = tables["naap440"]
    np.testing.assert_array_equal(plain.curves(split="test")[:, -1], plain.accuracy().astype(np.float32))


def test_scores_belong_to_the_networks_they_stand_at(tables):
    """The proxy that counts parameters, and the published parameters, come from different sources.

    Of the published ones some are known to be wrong by one convolution, which the score counts rightly.
    """
    benchmark = tables["nasbench201"]
    counted = benchmark.scores("params")
    known = ~np.isnan(counted)
    assert known.sum() == 9_445
    difference = (counted[known] * 1e6).round() - benchmark.cost(known, "parameters", "cifar10")
    assert (difference != 0).sum() == 88
    assert set(np.abs(difference)) == {0, 28_000, 243_040}


@pytest.mark.parametrize(("name", "failed"), [("jacov", True), ("zen", True), ("nwot", True), ("synflow", False)])
def test_a_failed_score_is_nan(tables, foretrain_data, name, failed):
    published = pd.read_parquet(foretrain_data / "nasbench201" / "proxies_suite_zero_c10.parquet")[name]
    scores = tables["nasbench201"].scores(name, dataset="cifar10")
    assert np.isnan(scores).sum() == 15_625 - 9_445 + (published == -1e8).sum()
    assert (published == -1e8).any() == failed
    assert np.nanmin(scores) > -1e7


def test_both_tables_of_nasbench101_speak_of_the_same_cells(tables, foretrain_data):
    part = pd.read_parquet(foretrain_data / "nasbench101" / "cells_30k_val_accuracy.parquet")
    benchmark = tables["nasbench101"]
    rows = part["full_row"].to_numpy()
    assert [benchmark.keys[row] for row in rows[:500]] == part["hash"].tolist()[:500]
    np.testing.assert_allclose(benchmark.accuracy(rows, split="test"), 100 * part["test_acc_108"], atol=1e-4)
    np.testing.assert_array_equal(benchmark.cost(rows, "parameters"), part["params"])
    for epochs in (4, 12, 36, 108):
        accuracy = benchmark.accuracy(None, "cifar10", "valid", epochs=epochs)
        assert (~np.isnan(accuracy)).sum() == len(part) == 30_001
        np.testing.assert_array_equal(accuracy[rows], 100 * part[f"val_acc_{epochs}"].astype(np.float64))


def test_keys_of_nasbench101_are_the_canonical_ones(tables):
    benchmark = tables["nasbench101"]
    rows = benchmark.split(200, 100, seed=1).test
    assert [benchmark.keys[row] for row in rows] == benchmark.space.canonical(benchmark.architectures[rows.tolist()])


def test_a_name_opens_the_tables_and_finds_the_conversion_again(foretrain_data):
    first = open_benchmark("naap440")
    written = (first.folder / "benchmark.json").stat().st_mtime_ns
    again = open_benchmark("naap440")
    assert again.folder == first.folder
    assert (again.folder / "benchmark.json").stat().st_mtime_ns == written


def test_of_two_processes_that_convert_at_once_both_get_the_folder(foretrain_data, monkeypatch):
    """The other one is done while this one still works: its folder is there when this one's takes the name."""
    convert = conversion.import_benchmark

    def overtaken(*arguments):
        convert(*arguments)
        return convert(*arguments)

    monkeypatch.setattr(conversion, "import_benchmark", overtaken)
    assert len(open_benchmark("naap440")) == 440


def test_without_the_tables_a_name_says_how_to_get_it(monkeypatch):
    monkeypatch.delenv("FORETRAIN_DATA", raising=False)
    with pytest.raises(DataError, match=r"nasbench201: is not on this machine"):
        open_benchmark("nasbench201")


def test_missing_and_damaged_tables_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FORETRAIN_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match=r"naap440_cifar10.npz: no such file"):
        open_benchmark("naap440")
    (tmp_path / "data" / "curves").mkdir(parents=True)
    (tmp_path / "data" / "curves" / "naap440_cifar10.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"naap440_cifar10.npz: not a readable file of arrays"):
        open_benchmark("naap440")
    pd.DataFrame({"arch": ["x"], "val_acc": [1.0]}).to_parquet(_made(tmp_path / "data/darts") / DARTS)
    with pytest.raises(DataError, match=rf"{DARTS}: lacks the columns params"):
        open_benchmark("nasbench301")
    table = pd.DataFrame({"arch": ["x"], "val_acc": [1.0], "params": [1.0]})
    table.to_parquet(tmp_path / "data/darts" / DARTS)
    with pytest.raises(DataError, match=rf"{DARTS}: DARTS tuple: item 0"):
        open_benchmark("nasbench301")
    assert not (tmp_path / "home").exists()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
