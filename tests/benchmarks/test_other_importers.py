"""Syne Tune's copy, NAS-Bench-Suite-Zero's scores and plain long tables."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from foretrain.benchmarks.conversion import import_benchmark
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import ConfigError, DataError

OPERATIONS = ["avg_pool_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none"]
TASKS = ["cifar10", "cifar100"]
OBJECTIVES = ["valid_error", "train_error", "runtime", "elapsed_time", "latency", "flops", "params"]


def syne_tune_folder(folder, values=None, names=None):
    """The folder as Syne Tune's ``serialize`` writes it: missing seeds filled with the mean of the others (float32)."""
    rng = np.random.default_rng(0)
    if values is None:
        values = rng.uniform(0.05, 0.9, (2, 5, 3, 200, 7)).astype(np.float32)
        values[..., 5], values[..., 6] = np.float32(15.64737), np.float32(0.129306)
        values[:, 1, 2] = values[:, 1, :2].mean(axis=1)
        values[:, 2, 0] = values[:, 2, 1:].mean(axis=1)
        values[:, 3, 1:] = np.nan
        values[:, 4, :, :, :2] = np.float32(0.9)
    folder.mkdir()
    cells = names or [[OPERATIONS[(row + edge) % 5] for edge in range(6)] for row in range(5)]
    table = pd.DataFrame(cells, columns=[f"hp_x{edge}" for edge in range(6)])
    table.to_parquet(folder / "hyperparameters.parquet", index=False, compression="gzip")
    np.save(folder / "objectives_evaluations.npy", values, allow_pickle=False)
    np.save(folder / "fidelities_values.npy", np.arange(1, 201), allow_pickle=False)
    metadata = {"objectives_names": [f"metric_{name}" for name in OBJECTIVES], "task_names": TASKS}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return values


def test_syne_tune_is_read_back_to_the_last_digit(tmp_path):
    values = syne_tune_folder(tmp_path / "nasbench201").astype(np.float64)
    benchmark = Benchmark(import_benchmark("synetune", tmp_path / "nasbench201", tmp_path / "out"))
    assert benchmark.names[1] == (
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    )
    for task, dataset in enumerate(TASKS):
        for place, split in enumerate(("test", "train")):
            published = 100 * (1 - values[task, 0, :, :, place])
            for seed, curve in zip((777, 888, 999), published, strict=True):
                assert benchmark.accuracy([0], dataset, split, seed) == curve[-1]
                np.testing.assert_array_equal(benchmark.curves([0], dataset, split, seed)[0], curve.astype(np.float32))
        assert benchmark.cost([0], "training_seconds", dataset, 888) == values[task, 0, 1, -1, 3]
        assert benchmark.cost([0], "latency_seconds", dataset) == values[task, 0, 0, 0, 4]
    assert benchmark.cost([0], "parameters", "cifar10") == 129306
    assert benchmark.cost([0], "flops", "cifar10") == 15647370


def test_seeds_that_syne_tune_invented_are_left_out(tmp_path):
    values = syne_tune_folder(tmp_path / "nasbench201")
    benchmark = Benchmark(import_benchmark("synetune", tmp_path / "nasbench201", tmp_path / "out"))
    known = np.stack([~np.isnan(benchmark.accuracy(None, "cifar10", "test", seed)) for seed in (777, 888, 999)], axis=1)
    assert known.tolist() == [[True] * 3, [True, True, False], [False, True, True], [True, False, False], [True] * 3]
    mean = 100 * (1 - values[0, 1, :2, -1, 0].astype(np.float64).mean())
    assert benchmark.accuracy([1], "cifar10", "test")[0] == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (
            lambda f: np.save(f / "objectives_evaluations.npy", np.zeros((2, 4, 3, 200, 7))),
            r"not \[2, 5, 3\] x epochs x 7",
        ),
        (lambda f: np.save(f / "objectives_evaluations.npy", np.array([{}])), "not a readable array of numbers"),
        (lambda f: (f / "objectives_evaluations.npy").write_bytes(b"\x93NUMPY\x01"), "not a readable array of numbers"),
        (
            lambda f: (f / "hyperparameters.parquet").write_bytes(b"PAR1"),
            "hyperparameters.parquet: not a readable table",
        ),
        (lambda f: (f / "metadata.json").write_text("{}"), "metadata.json: lacks 'task_names' or 'objectives_names'"),
        (lambda f: (f / "metadata.json").write_text("{"), "metadata.json: not a JSON file"),
        (
            lambda f: (f / "metadata.json").unlink(),
            r"metadata.json: no such file. The format synetune reads Syne Tune's",
        ),
    ],
)
def test_bad_syne_tune_folders_are_refused(tmp_path, spoil, match):
    syne_tune_folder(tmp_path / "nasbench201")
    spoil(tmp_path / "nasbench201")
    with pytest.raises(DataError, match=match):
        import_benchmark("synetune", tmp_path / "nasbench201", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_impossible_errors_and_twins_are_refused(tmp_path):
    values = np.full((2, 5, 3, 200, 7), 0.5, dtype=np.float32)
    values[1, 3, 2, 11, 0] = 1.5
    syne_tune_folder(tmp_path / "a", values)
    with pytest.raises(
        DataError, match=r"architecture 3 .*curve/cifar100/test/accuracy/200, seed 999, epoch 12: -50.0"
    ):
        import_benchmark("synetune", tmp_path / "a", tmp_path / "out")
    syne_tune_folder(tmp_path / "b", names=[["none"] * 6] * 5)
    with pytest.raises(DataError, match=r"is there twice, in rows 0 and 1"):
        import_benchmark("synetune", tmp_path / "b", tmp_path / "out")


# Three entries of NASLib's own zc_nasbench201.json, and one each of zc_nasbench101.json and zc_nasbench301.json.
PUBLISHED_201 = {
    "(4, 3, 3, 3, 2, 3)": {"params": 0.434196, "synflow": 68.21482965949316, "val_accuracy": 68.33999986572266},
    "(3, 3, 2, 1, 3, 2)": {"params": 0.649236, "synflow": 73.82878348989233, "val_accuracy": 69.92000006103515},
    "(2, 0, 2, 2, 2, 0)": {"params": 1.051316, "synflow": 93.18812318286083, "val_accuracy": 72.20000001220703},
}
PUBLISHED_101 = (
    "(0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, "
    "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 4, 4, 4, 1)"
)
PUBLISHED_DARTS = (
    "[[(0, 4), (1, 3), (0, 2), (2, 3), (2, 3), (0, 3), (2, 6), (3, 5)], "
    "[(0, 3), (1, 3), (1, 1), (0, 5), (2, 3), (0, 2), (4, 4), (3, 1)]]"
)


def with_times(entries: dict) -> dict:
    """The later form: a score and its seconds."""
    return {
        cell: {
            name: value if name == "val_accuracy" else {"score": value, "time": 0.25} for name, value in entry.items()
        }
        for cell, entry in entries.items()
    }


def suite_zero(tmp_path, content, name="zc_nasbench201.json") -> Benchmark:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Benchmark(import_benchmark("suite-zero", path, tmp_path / "out"))


@pytest.mark.parametrize(
    ("content", "timed"),
    [({"nasbench201": {"cifar100": PUBLISHED_201}}, False), ({"cifar100": with_times(PUBLISHED_201)}, True)],
)
def test_suite_zero_is_read_back_to_the_last_digit(tmp_path, content, timed):
    benchmark = suite_zero(tmp_path, content)
    cells = benchmark.space.parse_naslib([json.loads(f"[{cell[1:-1]}]") for cell in PUBLISHED_201])
    for name in ("params", "synflow"):
        published = [entry[name] for entry in PUBLISHED_201.values()]
        np.testing.assert_array_equal(benchmark.scores(name, cells), published)
        if timed:
            np.testing.assert_array_equal(benchmark.cost(cells, f"{name}_seconds"), 0.25)
    published = [entry["val_accuracy"] for entry in PUBLISHED_201.values()]
    np.testing.assert_array_equal(benchmark.accuracy(cells, "cifar100", "valid", epochs=200), published)


def test_suite_zero_names_the_networks_that_the_published_table_has(tmp_path, foretrain_data):
    """NASLib's validation accuracy and the parameters agree only where edges and operations are read rightly."""
    benchmark = suite_zero(tmp_path, {"nasbench201": {"cifar100": PUBLISHED_201}})
    table = pd.read_parquet(foretrain_data / "nasbench201" / "accuracies.parquet").set_index("arch_str")
    rows = table.loc[benchmark.names]
    np.testing.assert_array_equal(rows["naslib_val_c100"], benchmark.accuracy().astype(np.float32))
    np.testing.assert_array_equal(rows["params_c100"], benchmark.scores("params").astype(np.float32))


def test_suite_zero_of_the_other_spaces(tmp_path, foretrain_data):
    cells = suite_zero(tmp_path, {"cifar10": {PUBLISHED_101: {"params": 4.095778}}}, "zc_nasbench101.json")
    table = pd.read_parquet(
        foretrain_data / "nasbench101" / "cells_test_accuracy.parquet", columns=["hash16", "params"]
    )
    known = table.set_index(table["hash16"].map(bytes.hex))["params"]
    assert known[cells.space.canonical(cells.architectures)[0]] == 4_095_778
    (tmp_path / "darts").mkdir()
    darts = suite_zero(tmp_path / "darts", {"cifar10": {PUBLISHED_DARTS: {"jacov": -1e8}}}, "zc_nasbench301.json")
    assert darts.space.format_compact(darts.architectures)[0].replace(" ", "") == (
        PUBLISHED_DARTS.replace("[", "(").replace("]", ")").replace(" ", "")
    )
    assert np.isnan(darts.scores("jacov")).all()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "holds no table of data sets"),
        ({"cifar10": [1]}, "holds no table of data sets"),
        ('{"cifar10": {"(0, 0, 0, 0, 0, 0)": {}, "(0, 0, 0, 0, 0, 0)": {}}}', r"\(0, 0, 0, 0, 0, 0\) is there twice"),
        (
            {"cifar10": {"(0, 0, 0)": {"nwot": 1}}},
            "zc_nasbench201.json: NASLib tuple.*six codes of 0 to 4",
        ),
        ({"cifar10": {"__import__('os')": {"nwot": 1}}}, "an architecture is no tuple of NASLib"),
        ({"cifar10": {"(0, 0, 0, 0, 0, 0)": {"val_accuracy": 100.5}}}, "val_accuracy 100.5 is not between 0 and 100"),
        ('{"cifar10": {"(0, 0, 0, 0, 0, 0)": {"val_accuracy": NaN}}}', "val_accuracy nan is not between 0 and 100"),
        ({"cifar10": {"(0, 0, 0, 0, 0, 0)": {"nwot": {"time": 1}}}}, r"cifar10, architecture \(0, .*'score'"),
        ({"cifar10": {"(0, 0, 0, 0, 0, 0)": {"nwot": "high"}}}, r"cifar10, architecture \(0, .*could not convert"),
        ({"../../evil": {"(0, 0, 0, 0, 0, 0)": {"nwot": 1}}}, "'../../evil' cannot be part of a file name"),
        ({"cifar10": {"(0, 1, 2, 3, 4, 0)": {"params": 10**400}}}, "cifar10, architecture .*too large"),
    ],
)
def test_bad_suite_zero_files_are_refused(tmp_path, content, match):
    with pytest.raises(DataError, match=match):
        suite_zero(tmp_path, content)
    assert [path.name for path in tmp_path.iterdir()] == ["zc_nasbench201.json"]


def test_suite_zero_of_an_unknown_space_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'transbench101_micro' is no space that is read.*zc_nasbench201.json"):
        suite_zero(tmp_path, {}, "zc_transbench101_micro.json")


ROWS = [
    ("a", "digits", seed, epoch, split, {"valid": 50, "test": 40}[split] + 10 * seed + epoch + 0.125)
    for seed in (1, 2)
    for epoch in (1, 2, 3)
    for split in ("valid", "test")
    if (seed, epoch) != (2, 3) and (split, epoch) != ("test", 1)
] + [("b", "digits", 1, 3, "valid", 12.5), ("b", "other", 7, 9, "valid", 99.0)]
COLUMNS = ["arch", "dataset", "seed", "epoch", "split", "accuracy"]
nan = np.nan


def long_table(tmp_path, rows, form="csv", **options) -> Benchmark:
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=COLUMNS)
    path = tmp_path / f"mine.{form}"
    table.to_csv(path, index=False) if form == "csv" else table.to_parquet(path)
    return Benchmark(import_benchmark("long-table", path, tmp_path / "out", **options))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_long_table_is_read_back_to_the_last_digit(tmp_path, form):
    mine = long_table(tmp_path, ROWS, form)
    assert (mine.names, mine.description.name) == (["a", "b"], "mine")
    np.testing.assert_array_equal(mine.accuracy(None, "digits", "valid", 1), [63.125, 12.5])
    np.testing.assert_array_equal(mine.accuracy(None, "digits", "valid", 2), [nan, nan])
    np.testing.assert_array_equal(mine.curves(None, "digits", "valid", 2), [[71.125, 72.125, nan], [nan] * 3])
    np.testing.assert_array_equal(mine.curves(["a"], "digits", "test", 1), [[nan, 52.125, 53.125]])
    np.testing.assert_array_equal(mine.accuracy(None, "other", "valid", 7, 9), [nan, 99.0])


def test_numbers_may_name_the_networks(tmp_path):
    rows = [(12, "digits", 1, 1, "valid", 10.0), (7, "digits", 1, 1, "valid", 20.0)]
    mine = long_table(tmp_path, rows, "parquet")
    assert mine.names == ["12", "7"]
    assert mine.accuracy(["7"]).tolist() == [20.0]


def test_the_order_of_the_rows_does_not_matter_for_the_numbers(tmp_path):
    shuffled = pd.DataFrame(ROWS, columns=COLUMNS).sample(frac=1, random_state=1)
    (tmp_path / "x").mkdir()
    mine, other = long_table(tmp_path, ROWS), long_table(tmp_path / "x", shuffled)
    np.testing.assert_array_equal(
        mine.curves(["a", "b"], "digits", "valid"), other.curves(["a", "b"], "digits", "valid")
    )


def test_a_long_table_of_a_space_has_architectures(tmp_path):
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
    rows = [(cell, "digits", 1, 1, "valid", 10.0)]
    mine = long_table(tmp_path, rows, space="foretrain.spaces.nasbench201.NASBench201", name="cells")
    assert mine.description.name == "cells"
    assert mine.space.format(mine.architectures) == [cell]


def replaced(row: int, **values) -> pd.DataFrame:
    table = pd.DataFrame(ROWS, columns=COLUMNS).astype(object)
    for name, value in values.items():
        table.loc[row, name] = value
    return table


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (
            replaced(2, accuracy=100.01),
            r"row 3 \(arch a, dataset digits, .*accuracy 100.01\): the accuracy is not between",
        ),
        (replaced(2, accuracy=-1), "row 3 .*the accuracy is not between 0 and 100"),
        (replaced(0, accuracy=np.nan), "row 1 .*the accuracy is not between 0 and 100"),
        (replaced(0, accuracy="high"), "row 1 .*accuracy high.: the accuracy is not between 0 and 100"),
        (replaced(1, epoch=0), "row 2 .*epochs count from 1"),
        (replaced(1, epoch=1.5), "row 2 .*epoch is no whole number"),
        (replaced(1, seed="x"), "row 2 .*seed is no whole number"),
        (replaced(1, dataset="../evil"), "'../evil' cannot be part of a file name"),
        (replaced(1, arch=None), "row 2 .*a name is missing"),
        ([*ROWS, ROWS[3]], rf"row {len(ROWS) + 1} \(arch a, .*is there twice"),
        (
            pd.DataFrame({"arch": ["a"], "accuracy": [1]}),
            "lacks the columns dataset, seed, epoch, split. It needs arch",
        ),
        (pd.DataFrame(columns=COLUMNS), "holds no architecture"),
    ],
)
def test_bad_long_tables_are_refused_with_their_row(tmp_path, rows, match):
    with pytest.raises(DataError, match=match):
        long_table(tmp_path, rows)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


@pytest.mark.parametrize(("name", "content"), [("x.parquet", b"PAR1"), ("x.csv", b""), ("x.csv", b'a\n"\xff')])
def test_unreadable_long_tables_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: not a readable"):
        import_benchmark("long-table", tmp_path / name, tmp_path / "out")


def test_an_unknown_format_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean 'natsbench'.*Allowed: long-table"):
        import_benchmark("nats-bench", tmp_path)


def test_a_missing_file_says_what_the_format_reads(tmp_path):
    with pytest.raises(DataError, match=r"x.csv: no such file. The format long-table reads a CSV or Parquet file"):
        import_benchmark("long-table", tmp_path / "x.csv")


def test_a_name_cannot_lead_out_of_the_home(tmp_path):
    path = tmp_path / "mine.csv"
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"'../../evil' cannot be part of a file name"):
        import_benchmark("long-table", path, name="../../evil")
    assert import_benchmark("long-table", path).relative_to(tmp_path).as_posix() == "home/benchmarks/mine"


def test_the_manifest_says_what_was_read(tmp_path):
    mine = long_table(tmp_path, ROWS)
    assert mine.description.source_file == "mine.csv"
    assert mine.description.source_sha256 == sha256((tmp_path / "mine.csv").read_bytes()).hexdigest()
