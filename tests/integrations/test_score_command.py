"""``foretrain score`` ranks one's own candidates; a broken one is a row, not the end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imsave

from foretrain.errors import ConfigError, DataError, ForetrainWarning
from foretrain.integrations.command import main
from foretrain.integrations.models import find_models
from foretrain.integrations.ranking import rank_models
from foretrain.integrations.samples import read_batch
from foretrain.integrations.score_prediction import PredictScores
from foretrain.proxies.scoring import score
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.nasbench201 import NASBench201

NETWORKS = """
from torch import nn

def plain(width=4, depth=1):
    layers = [nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))

class Narrow(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 36, 2), nn.Tanh(), nn.Linear(2, 2))

def broken():
    raise RuntimeError("cannot be built")

def unfit():
    return nn.Linear(5, 2)
"""
PROXIES = "snip,nwot,logsynflow,synflow,jacov,params"


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(NETWORKS)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    draw = np.random.default_rng(0)
    np.savez(path, x=draw.normal(size=(20, 3, 6, 6)).astype(np.float32), y=np.arange(20) % 2)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["foretrain", "score", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_candidates_are_ranked_and_broken_ones_are_rows(networks, archive, tmp_path, monkeypatch, capsys):
    names = tmp_path / "names.txt"
    calls = ["plain", "plain(16, depth=2)", "Narrow()", "broken", "unfit"]
    names.write_text("# mine\n" + "".join(f"{networks}:{call}\n" for call in calls))
    csv, plot = tmp_path / "out.csv", tmp_path / "out.png"
    code = run(monkeypatch, "--models", names, "--data", archive, "--proxies", PROXIES, "--csv", csv, "--plot", plot)
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "train from scratch" in printed
    table = pd.read_csv(csv)
    assert table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert table["model"][0].endswith("plain(16, depth=2)")
    reasons = {model.rpartition(":")[2]: reason for model, reason in table[["model", "reason"]].itertuples(index=False)}
    assert "RuntimeError: cannot be built" in reasons["broken"]
    assert "no_rectifier (nwot)" in reasons["Narrow()"]
    assert reasons["unfit"].startswith("failed")
    assert table.set_index("model")["combined"].isna().sum() == 1
    assert plot.stat().st_size > 1000


def test_the_same_seed_gives_the_same_table(networks, archive, tmp_path, monkeypatch):
    tables = []
    for name in ("a", "b"):
        csv = tmp_path / f"{name}.csv"
        assert run(monkeypatch, "--models", f"{networks}:plain", "--data", archive, "--csv", csv) == 0
        tables.append(pd.read_csv(csv).drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--models", "nothing", "--data", "data.npz"], "is neither a file nor a spec"),
        (["--models", "mine.py:plain(", "--data", "data.npz"], "is no call of a name"),
        (["--models", "other.py:plain", "--data", "data.npz"], "there is no file other.py"),
        (["--models", "mine.py:plain", "--data", "nowhere"], "no such file or folder"),
        (["--models", "mine.py:plain", "--data", "data.npz", "--proxies", "zico"], "no such proxy of one batch"),
        (["--models", "mine.py:plain", "--data", "data.npz", "--device", "cude"], "--device: cannot be used"),
        (["--models", "mine.py:plain", "--data", "data.npz", "--plot", "x.xyz"], "--plot: unknown file ending"),
        (["--models", "mine.py:plain", "--data", "data.npz", "--csv", "data.npz/x.csv"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_line(networks, archive, tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) != 0
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error


def test_libraries_are_asked_for_only_when_they_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match="timm is not installed"):
        find_models(["timm:resnet*"])


def test_a_library_of_models(monkeypatch):
    from types import SimpleNamespace

    from torch import nn

    library = SimpleNamespace(
        list_models=lambda: ["resnet18", "resnet50", "vit"],
        create_model=lambda name, pretrained, in_chans, num_classes: nn.Linear(in_chans, num_classes),
    )
    monkeypatch.setitem(sys.modules, "timm", library)
    models = find_models(["timm:resnet*"])
    assert [model.name for model in models] == ["timm:resnet18", "timm:resnet50"]
    assert models[0].build(3, 7).out_features == 7
    with pytest.raises(ConfigError, match="no such model"):
        find_models(["timm:nothing"])


def test_folders_of_images_and_archives_of_bytes(tmp_path):
    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 255, (5, 4, 3), dtype=np.uint8)
            imsave(tmp_path / "images" / label / f"{number}.png", pixels)
    x, y = read_batch(tmp_path / "images", 4, seed=0)
    assert x.shape == (4, 3, 5, 4)
    assert set(y.tolist()) <= {0, 1}
    assert float(x.mean()) == pytest.approx(0, abs=1e-6)
    np.savez(tmp_path / "a.npz", images=draw.integers(0, 255, (9, 5, 4, 3), dtype=np.uint8), labels=np.arange(9))
    assert read_batch(tmp_path / "a.npz", 64, seed=0)[0].shape == (9, 3, 5, 4)
    np.savez(tmp_path / "b.npz", images=np.zeros((3, 2)))
    for path, text in (("b.npz", "has the arrays images, and none of y, labels, targets"), ("", "no PNG or JPEG")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=text):
            read_batch(tmp_path / (path or "empty"), 4, seed=0)
    np.savez(tmp_path / "c.npz", x=np.zeros((3, 2)), y=np.zeros(2))
    (tmp_path / "d.npz").write_bytes(b"PK")
    for path, text in (("c.npz", "has 3 inputs and 2 labels"), ("d.npz", "is no archive with inputs and labels")):
        with pytest.raises(DataError, match=text):
            read_batch(tmp_path / path, 4, seed=0)
    imsave(tmp_path / "images" / "cat" / "large.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="images of different sizes"):
        read_batch(tmp_path / "images", 7, seed=0)
    (tmp_path / "images" / "cat" / "large.png").write_bytes(b"PNG")
    with pytest.raises(DataError, match=r"large\.png: is no readable image"):
        read_batch(tmp_path / "images", 7, seed=0)


def test_a_model_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "nets.py").write_text("")
    with pytest.raises(ConfigError, match="is named twice"):
        find_models([f"{tmp_path / 'nets.py'}:Net"] * 2)


def test_the_official_files_of_cifar_are_samples(tmp_path):
    rows = np.random.default_rng(0).integers(10, size=(20, 1 + 3 * 32 * 32), dtype=np.uint8)
    for file in ("data_batch_1.bin", "test_batch.bin"):
        rows.tofile(tmp_path / file)
    with pytest.warns(ForetrainWarning, match="1 of 5 training files"):
        x, y = read_batch(tmp_path, 4, seed=0)
    assert x.shape == (4, 3, 32, 32)
    assert y.dtype == torch.int64


def test_the_table_fits_the_terminal(networks, archive, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(networks.parent)
    assert run(monkeypatch, "--models", "mine.py:plain", "--models", "mine.py:Narrow", "--data", archive) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if "no_rectifier" not in line) <= 80
    assert {"rank", "model", "combined", "synflow", "params"} <= set(lines[0].split())
    assert "mine.py:Narrow: no_rectifier (nwot)" in "\n".join(lines)
    assert "Not shown here: " in "\n".join(lines)


FIXED = """
import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(108, 2))
    def forward(self, x):
        return x.flatten(1) @ self.weight
"""


def test_repeats_draw_all_weights_again(archive, tmp_path, monkeypatch):
    """Networks are built anew: a layer that cannot draw its weights itself counts in the error too."""
    (tmp_path / "fixed.py").write_text(FIXED)
    model = find_models([f"{tmp_path}/fixed.py:Gate"])[0]
    batch = read_batch(archive, 8, 0)
    table = rank_models([model], batch, ["l2_norm"], repeats=4, seed=0, device="cpu")
    single = [rank_models([model], batch, ["l2_norm"], 1, seed, "cpu")["l2_norm"][0] for seed in range(3)]
    assert len({*single, table["l2_norm"][0]}) == 4
    with pytest.warns(ForetrainWarning, match="Gate have weights but no reset_parameters"):
        score(model.build(3, 2), batch, proxies=["params"], repeats=2)


class TestPrediction:
    """``predict.py task=proxies`` ranks what a table names."""

    def test_architectures_of_a_space(self, archive, tmp_path):
        space = NASBench201(channels=4, cells_per_stage=1)
        strings = space.format(space.sample(3, torch.Generator().manual_seed(0)))
        pd.DataFrame({"arch": strings, "note": 1}).to_csv(tmp_path / "in.csv", index=False)
        for name in ("a.csv", "b.csv"):
            PredictScores(str(tmp_path / "in.csv"), str(tmp_path / name), str(archive), space, ["snip", "params"]).run()
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
        found = pd.read_csv(tmp_path / "a.csv").set_index("arch")
        assert sorted(found["rank"]) == [1, 2, 3]
        for name in strings:
            seed = derive_seed(0, name)
            torch.manual_seed(seed)
            expected = score(space.build(space.parse([name]), 3, 2), read_batch(archive, 64, 0), seed=seed)
            assert found.loc[name, "snip"] == expected["snip"].value

    def test_networks_of_files(self, networks, archive, tmp_path):
        pd.DataFrame({"model": [f"{networks}:plain", f"{networks}:broken"]}).to_csv(tmp_path / "in.csv", index=False)
        options = (str(archive), NASBench201(), ["snip", "params"])
        PredictScores(str(tmp_path / "in.csv"), str(tmp_path / "out.parquet"), *options).run()
        found = pd.read_parquet(tmp_path / "out.parquet")
        assert found["model"].str.endswith("plain").tolist() == [True, False]
        assert "cannot be built" in found["reason"][1]
        (tmp_path / "in.csv").write_text("name\nx\n")
        with pytest.raises(DataError, match="has 1 rows and the columns name"):
            PredictScores(str(tmp_path / "in.csv"), "-", *options).run()
        with pytest.raises(ConfigError, match="no such proxy of one batch"):
            PredictScores("-", "-", str(archive), NASBench201(), ["zico"])
