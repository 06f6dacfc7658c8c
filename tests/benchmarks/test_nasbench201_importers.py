"""NAS-Bench-201 and NATS-Bench: files written by the classes of the official package and compared with its reader."""

from __future__ import annotations

import bz2
import contextlib
import copy
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from nats_bench import create
from nats_bench.api_utils import ArchResults, ResultsCount, pickle_save

from foretrain.benchmarks.conversion import import_benchmark
from foretrain.benchmarks.importers import natsbench
from foretrain.benchmarks.importers.unpickling import load_bz2_pickle, load_torch_file
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import DataError

CELLS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    "|avg_pool_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
]
EVALUATED = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["x-valid", "x-test", "ori-test"],
    "ImageNet16-120": ["x-valid", "x-test", "ori-test"],
}
OUR_SPLIT = {"x-valid": "valid", "x-test": "test", "ori-test": "test"}
SEEDS = {0: [777, 888, 999], 1: [777, 888], 2: [777]}


def training(rng, row: int, dataset: str, seed: int, epochs: int) -> ResultsCount:
    """One training as the authors' code records it."""
    by_epoch = [dict(enumerate(rng.uniform(0, 100, epochs).tolist())) for _ in range(3)]
    result = ResultsCount(
        dataset, None, by_epoch[0], by_epoch[1], row + 0.129306, 15.64737, {"arch_str": CELLS[row]}, seed, epochs, None
    )
    result.update_train_info(by_epoch[0], by_epoch[0], by_epoch[1], by_epoch[2])
    for name in EVALUATED[dataset]:
        keys = [f"{name}@{epoch}" for epoch in range(epochs)]
        result.update_eval(*(dict(zip(keys, rng.uniform(0, 100, epochs).tolist(), strict=True)) for _ in range(3)))
    result.update_latency([0.013, 0.0141, 0.02])
    return result


def arch_results(row: int, epochs: int) -> dict:
    rng = np.random.default_rng([row, epochs])
    results = ArchResults(row, CELLS[row])
    for dataset in EVALUATED:
        for seed in SEEDS[row] if epochs == 200 else [777]:
            results.update(dataset, seed, training(rng, row, dataset, seed, epochs))
    return results.state_dict()


RESULTS = [{"12": arch_results(row, 12), "200": arch_results(row, 200)} for row in range(len(CELLS))]


def nats_folder(folder: Path, results=RESULTS, names=CELLS) -> Path:
    """The folder ``-simple``, written by the official ``pickle_save``."""
    folder.mkdir()
    meta = {"meta_archs": names, "total_archs": len(names), "evaluated_indexes": set(range(len(names)))}
    pickle_save(meta, folder / "meta.pickle")
    for row, result in enumerate(results):
        pickle_save(result, folder / f"{row:06d}.pickle")
    return folder


def pth_content(results=RESULTS, names=CELLS) -> dict:
    infos = {row: {"less": result["12"], "full": result["200"]} for row, result in enumerate(results)}
    return {"meta_archs": names, "arch2infos": infos, "evaluated_indexes": list(range(len(names)))}


@pytest.fixture(params=["natsbench", "nasbench201", "nasbench201-legacy"])
def benchmark(request, tmp_path) -> Benchmark:
    if request.param == "natsbench":
        source, form = nats_folder(tmp_path / "simple"), "natsbench"
    else:
        source, form = tmp_path / "NAS-Bench-201.pth", "nasbench201"
        torch.save(pth_content(), source, _use_new_zipfile_serialization="legacy" not in request.param)
    return Benchmark(import_benchmark(form, source, tmp_path / "out"))


def test_every_value_is_read_back_to_the_last_digit(benchmark):
    assert benchmark.names == CELLS
    for row, by_length in enumerate(RESULTS):
        for results in by_length.values():
            for (dataset, seed), record in results["all_results"].items():
                check_training(benchmark, row, dataset, seed, record)


def check_training(benchmark: Benchmark, row: int, dataset: str, seed: int, record: dict) -> None:
    epochs = record["epochs"]
    where = (dataset, "train", seed, epochs)
    assert benchmark.accuracy([row], *where) == record["train_acc1es"][epochs - 1]
    check_curve(benchmark.curves([row], *where)[0], record["train_acc1es"].values())
    check_curve(benchmark.curves([row], *where, metric="loss")[0], record["train_losses"].values())
    for name in EVALUATED[dataset]:
        split = "ori-test" if name == "ori-test" and "x-test" in EVALUATED[dataset] else OUR_SPLIT[name]
        where = (dataset, split, seed, epochs)
        assert benchmark.accuracy([row], *where) == record["eval_acc1es"][f"{name}@{epochs - 1}"]
        for metric, values in (("accuracy", record["eval_acc1es"]), ("loss", record["eval_losses"])):
            published = [values[f"{name}@{epoch}"] for epoch in range(epochs)]
            check_curve(benchmark.curves([row], *where, metric=metric)[0], published)
    seconds = benchmark.cost([row], "training_seconds", dataset, seed, epochs)
    assert seconds == sum(record["train_times"].values())
    assert benchmark.cost([row], "latency_seconds", dataset, seed, epochs) == sum(record["latency"]) / 3
    assert benchmark.cost([row], "parameters", dataset) == round(record["params"] * 1e6)
    assert benchmark.cost([row], "flops", dataset) == 15647370


def check_curve(curve, published) -> None:
    np.testing.assert_array_equal(curve, np.array(list(published), dtype=np.float32))


def test_seeds_that_were_never_trained_are_nan(benchmark):
    accuracy = [benchmark.accuracy(None, "cifar100", "test", seed, 200) for seed in (777, 888, 999)]
    assert np.isnan(accuracy).tolist() == [[False] * 3, [False, False, True], [False, True, True]]


def test_the_official_reader_says_the_same(tmp_path):
    folder = nats_folder(tmp_path / "simple")
    benchmark = Benchmark(import_benchmark("natsbench", folder, tmp_path / "out"))
    with contextlib.redirect_stdout(io.StringIO()):
        official = create(str(folder), "tss", fast_mode=True, verbose=False)
        for row in range(len(CELLS)):
            for dataset, keys in {
                "cifar10": ["test"],
                "cifar10-valid": ["valid", "test"],
                "cifar100": ["valid", "test"],
            }.items():
                info = official.get_more_info(row, dataset, hp="200", is_random=False)
                for key in ["train", *keys]:
                    assert benchmark.accuracy([row], dataset, key)[0] == pytest.approx(
                        info[f"{key}-accuracy"], rel=1e-14
                    )
                cost = official.get_cost_info(row, dataset, hp="200")
                assert benchmark.cost([row], "latency_seconds", dataset)[0] == pytest.approx(cost["latency"], rel=1e-14)
                assert benchmark.cost([row], "parameters", dataset)[0] == round(cost["params"] * 1e6)


def test_an_old_record_with_the_last_epoch_only_has_no_curve_there(tmp_path):
    results = copy.deepcopy(RESULTS[:1])
    record = results[0]["200"]["all_results"]["cifar10", 777]
    last = record["eval_acc1es"]["ori-test@199"]
    results[0]["200"]["all_results"] = {("cifar10", 777): record}
    record["eval_acc1es"], record["train_times"] = {"ori-test@199": last}, None
    folder = nats_folder(tmp_path / "simple", results, CELLS[:1])
    benchmark = Benchmark(import_benchmark("natsbench", folder, tmp_path / "out"))
    assert benchmark.accuracy(None, "cifar10", "test", epochs=200) == last
    with pytest.raises(DataError, match=r"no series fits curve/cifar10/test/accuracy/200"):
        benchmark.curves(None, "cifar10", "test", epochs=200)
    with pytest.raises(DataError, match=r"no series fits cost/cifar10/training_seconds/200"):
        benchmark.cost(None, "training_seconds", "cifar10", epochs=200)


def test_where_seeds_differ_in_parameters_888_is_believed(tmp_path):
    results = copy.deepcopy(RESULTS)
    results[0]["200"]["all_results"]["cifar10", 777]["params"] = 9.0
    folder = nats_folder(tmp_path / "simple", results)
    benchmark = Benchmark(import_benchmark("natsbench", folder, tmp_path / "out"))
    with contextlib.redirect_stdout(io.StringIO()):
        cost = create(str(folder), "tss", fast_mode=True, verbose=False).get_cost_info(0, "cifar10", hp="200")
    assert benchmark.cost([0], "parameters", "cifar10") == round(cost["params"] * 1e6) == 129306


def changed(field: str, key, value) -> list[dict]:
    results = copy.deepcopy(RESULTS)
    results[1]["200"]["all_results"]["cifar100", 888][field][key] = value
    return results


def changed_field(field: str, value) -> list[dict]:
    results = copy.deepcopy(RESULTS)
    results[1]["200"]["all_results"]["cifar100", 888][field] = value
    return results


@pytest.mark.parametrize(
    ("results", "match"),
    [
        (
            changed("eval_acc1es", "x-test@17", 100.1),
            r"architecture 1, cifar100, seed 888, 200 epochs, 'x-test@17'.*100.1",
        ),
        (changed("train_acc1es", 3, -1.0), "architecture 1, cifar100, seed 888, 200 epochs, 3: accuracy -1.0 is not"),
        (changed("eval_acc1es", "x-valid@199", float("nan")), "'x-valid@199': accuracy nan is not between 0 and 100"),
        (changed("eval_acc1es", "x-valid@199", "high"), "architecture 1 lacks a field or has a wrong one"),
        (changed_field("epochs", 10**12), "architecture 1 lacks a field.*training for 1000000000000 epochs"),
        (changed_field("params", float("inf")), "architecture 1 lacks a field or has a wrong one .OverflowError"),
        ([{"200": {}}, *RESULTS[1:]], "architecture 0 lacks a field or has a wrong one .KeyError: 'all_results'"),
        (RESULTS[:2], "000002.pickle.pbz2: no such file"),
        ([1, 2, 3], "000000.pickle.pbz2: holds a int, not a dictionary"),
    ],
)
def test_bad_records_are_refused_with_their_place(tmp_path, results, match):
    folder = nats_folder(tmp_path / "simple", results)
    with pytest.raises(DataError, match=match):
        import_benchmark("natsbench", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cell_that_is_there_twice_is_refused(tmp_path):
    folder = nats_folder(tmp_path / "simple", names=[CELLS[0], CELLS[1], CELLS[0]])
    with pytest.raises(DataError, match=r"is there twice, in rows 0 and 2"):
        import_benchmark("natsbench", folder, tmp_path / "out")


def test_a_folder_without_meta_is_refused(tmp_path):
    folder = nats_folder(tmp_path / "simple")
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(DataError, match=r"meta.pickle.pbz2: no such file"):
        import_benchmark("natsbench", folder, tmp_path / "out")


@pytest.mark.parametrize("content", [{"state_dict": {}}, 5, {"meta_archs": CELLS, "arch2infos": 5}])
def test_another_pth_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(DataError, match=r"lacks 'meta_archs' or 'arch2infos'"):
        import_benchmark("nasbench201", tmp_path / "model.pth", tmp_path / "out")


@pytest.mark.parametrize("row", [3, -1, "x"])
def test_results_of_an_architecture_that_is_not_listed_are_refused(tmp_path, row):
    torch.save({**pth_content(), "arch2infos": {row: {}}}, tmp_path / "x.pth")
    with pytest.raises(DataError, match=rf"has results of architecture {row}, which is none of the 3 listed"):
        import_benchmark("nasbench201", tmp_path / "x.pth", tmp_path / "out")


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/foretrain-evil",)


@pytest.mark.parametrize("new_form", [True, False])
@pytest.mark.parametrize("content", [Evil(), {"meta_archs": [Evil()]}, np.array([Evil()], dtype=object)])
def test_a_class_outside_the_list_is_named_and_not_run(tmp_path, content, new_form):
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=new_form)
    with pytest.raises(DataError, match=r"evil.pth: wants posix.system, which is not among the plain data types"):
        load_torch_file(tmp_path / "evil.pth")
    assert not Path("/tmp/foretrain-evil").exists()


@pytest.mark.parametrize("content", [print, np.load, torch.load, torch.nn.Linear(1, 1), Path("x"), getattr])
def test_callables_and_objects_are_refused(tmp_path, content):
    path = tmp_path / "x.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps(content)))
    with pytest.raises(DataError, match=r"which is not among the plain data types"):
        load_bz2_pickle(path, 1 << 20)


PLAIN = {
    "list": [1, 2.5, None, True, "x", b"\xff", (1, 2), {3}, frozenset({4})],
    "array": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6).reshape(2, 3).T,
    "big_endian": np.arange(3, dtype=">i2"),
    "strings": np.array(["ab", "c"]),
    "scalar": np.float32(1.5),
}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_data_and_arrays_are_read_as_pickle_reads_them(tmp_path, protocol):
    path = tmp_path / "x.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps(PLAIN, protocol)))
    loaded = load_bz2_pickle(path, 1 << 20)
    assert loaded["list"] == PLAIN["list"]
    for name in ("array", "transposed", "big_endian", "strings", "scalar"):
        np.testing.assert_array_equal(loaded[name], PLAIN[name])


@pytest.mark.parametrize("new_form", [True, False])
def test_tensors_are_read_as_torch_reads_them(tmp_path, new_form):
    tensor = torch.arange(12.0).reshape(3, 4)
    content = {
        "view": tensor[1:, ::2],
        "same": tensor.T,
        "half": torch.ones(2, dtype=torch.float16),
        "none": torch.empty(0),
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=new_form)
    loaded = load_torch_file(tmp_path / "x.pth")
    for name, value in torch.load(tmp_path / "x.pth", weights_only=True).items():
        assert loaded[name].dtype == value.dtype
        assert loaded[name].equal(value)


@pytest.mark.parametrize("new_form", [True, False])
def test_damaged_torch_files_give_data_errors_only(tmp_path, new_form):
    """Whatever byte is wrong, nothing but a DataError is raised."""
    path = tmp_path / "x.pth"
    torch.save({**PLAIN, "tensor": torch.arange(4.0)}, path, _use_new_zipfile_serialization=new_form)
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for length in rng.integers(1, len(sound), 200):
        damaged = bytearray(sound)
        damaged[length] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged[:length] if length % 2 else damaged)
        try:
            load_torch_file(path)
        except DataError:
            refused += 1
    assert refused > 100


def test_a_truncated_pth_is_refused(tmp_path):
    for new_form in (True, False):
        path = tmp_path / f"{new_form}.pth"
        torch.save(pth_content(), path, _use_new_zipfile_serialization=new_form)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match=r"not a readable pickle.*download it again"):
            import_benchmark("nasbench201", path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"x" * 100, pickle.dumps(5), pickle.dumps({}, 2)])
def test_wrong_magic_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"x.pth: (has not the magic number|not a readable pickle)"):
        load_torch_file(tmp_path / "x.pth")


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * (64 << 20))
    with pytest.raises(DataError, match=r"bomb/data.pkl is compressed, which torch never does"):
        load_torch_file(tmp_path / "bomb.pth")


def test_a_member_that_leads_out_of_the_archive_is_never_written(tmp_path):
    source = tmp_path / "in" / "x.pth"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"a": 1}, 2))
        archive.writestr("x/../../evil", "evil")
    assert load_torch_file(source) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_bz2_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(natsbench, "_LIMIT", 1 << 20)
    folder = nats_folder(tmp_path / "simple")
    (folder / "000001.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(b"\0" * (2 << 20))))
    with pytest.raises(DataError, match=r"000001.pickle.pbz2: holds more than 1048576 bytes when decompressed"):
        import_benchmark("natsbench", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_bz2_is_refused(tmp_path):
    folder = nats_folder(tmp_path / "simple")
    path = folder / "000002.pickle.pbz2"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"000002.pickle.pbz2: not a readable bz2 file"):
        import_benchmark("natsbench", folder, tmp_path / "out")


def test_a_storage_larger_than_its_file_is_refused(tmp_path):
    """A short legacy file that announces a tensor of a terabyte must not take that memory."""
    path = tmp_path / "x.pth"
    torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    wanted = content.index(b"FloatStorage")
    place = content.index(b"K\x03", wanted)
    path.write_bytes(content[:place] + b"J\xff\xff\xff\x7f" + content[place + 2 :])
    with pytest.raises(DataError, match=r"a tensor of 2147483647 numbers in a file of"):
        load_torch_file(path)
