"""``predict.py`` on people's own tables: every format gives the same cells, and the numbers are those of Python."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import foretrain as ft
from foretrain.errors import CheckpointError, ConfigError, DataError
from foretrain.evaluation.curves.prediction import PredictCurves
from foretrain.evaluation.predictors.prediction import PredictArchitectures
from foretrain.evaluation.tables import read_table
from foretrain.predictors.linear import BayesianLinear
from foretrain.predictors.persistence import load_predictor, save_predictor
from foretrain.spaces.nasbench201 import NASBench201

EPOCHS = np.arange(1, 11)
CURVES = 90 - np.array([[60.0], [40.0], [50.0]]) * EPOCHS**-0.7


class Stdin:
    """Bytes where the standard input was."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.fixture(params=["csv", "parquet", "npz", "float32.parquet"])
def table_file(request, tmp_path) -> Path:
    """A table with text, numbers and a gap, in each format."""
    path = tmp_path / f"table.{request.param}"
    columns = {"arch": np.array(["a", "b"]), "one": np.array([0.1, 1 / 3]), "two": np.array([np.nan, 1e-9])}
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.name.endswith("float32.parquet"):
        pd.DataFrame(columns | {"one": np.array([0.1, 1 / 3], dtype=np.float32)}).to_parquet(path)
    elif path.suffix == ".parquet":
        pd.DataFrame(columns).to_parquet(path)
    else:
        pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_no_format_loses_a_digit(table_file, monkeypatch):
    found = read_table(table_file)
    assert found["arch"].tolist() == ["a", "b"]
    narrow = "float32" in table_file.name
    expected = np.array([0.1, 1 / 3], dtype=np.float32 if narrow else np.float64)
    assert found["one"].astype(float).tolist() == expected.astype(np.float64).tolist()
    assert found["two"].tolist()[0] == ""
    assert float(found["two"][1]) == 1e-9
    monkeypatch.setattr(sys, "stdin", Stdin(table_file.read_bytes()))
    pd.testing.assert_frame_equal(read_table("-"), found)


@pytest.mark.parametrize("content", [b"", b"PAR1 not", b"PK not", b'"open'], ids=str)
def test_what_is_no_table_is_named(content, tmp_path):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.csv: not a readable table"):
        read_table(tmp_path / "x.csv")


def test_an_archive_of_other_shapes_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones((2, 3)), b=np.ones(3))
    with pytest.raises(DataError, match=r"makes no table: a \[2, 3\], b \[3\]"):
        read_table(tmp_path / "x.npz")


def test_curves_come_from_arrays_and_go_to_standard_output(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", run=np.array(["a", "b", "c"]), curves=CURVES)
    PredictCurves(input=str(tmp_path / "x.npz"), output="-", horizon=50).run()
    printed = capsys.readouterr()
    table = pd.read_csv(io.StringIO(printed.out))
    expected = ft.extrapolate(CURVES, horizon=50)
    assert table["run"].tolist() == ["a", "b", "c"]
    for name in ("mean", "lower", "upper"):
        np.testing.assert_array_equal(table[name], getattr(expected, name))
    assert "3 runs, 0 finished" in printed.err  # not among the numbers


class TestArchitectures:
    """A saved predictor serves a table of architectures."""

    @pytest.fixture
    def space(self):
        return NASBench201(channels=8)

    @pytest.fixture
    def networks(self, space):
        return space.sample(30, torch.Generator().manual_seed(0))

    @pytest.fixture
    def scores(self):
        return {"synflow": np.linspace(0, 1, 30) ** 2}

    @pytest.fixture
    def checkpoint(self, space, networks, scores, tmp_path):
        predictor = BayesianLinear(space, encodings=["one_hot"])
        accuracies = 60 + 5.0 * (networks.ops > 1).sum(dim=1).numpy()
        predictor.fit(networks[:20], accuracies[:20], {"synflow": scores["synflow"][:20]})
        save_predictor(tmp_path / "p.ckpt", predictor)
        return tmp_path / "p.ckpt"

    @pytest.fixture
    def table(self, space, networks, scores, tmp_path):
        rows = {"arch": space.format(networks[20:]), "synflow": scores["synflow"][20:], "note": "x"}
        pd.DataFrame(rows).to_parquet(tmp_path / "in.parquet")
        return tmp_path / "in.parquet"

    def test_the_numbers_are_those_of_python(self, checkpoint, table, networks, scores, tmp_path):
        for name in ("a.csv", "b.csv"):
            PredictArchitectures(str(checkpoint), str(table), str(tmp_path / name)).run()
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
        found = pd.read_csv(tmp_path / "a.csv")
        loaded = load_predictor(checkpoint)
        assert loaded.space.channels == 8  # the skeleton that it was fitted on
        expected = loaded.predict(networks[20:], {"synflow": scores["synflow"][20:]})
        np.testing.assert_array_equal(found["mean"], expected.mean)
        np.testing.assert_array_equal(found["upper"], expected.upper)
        assert found["rank"][int(expected.score.argmax())] == 1

    def test_what_is_missing_is_named(self, checkpoint, table, tmp_path):
        out = str(tmp_path / "out.csv")
        with pytest.raises(DataError, match="has no column 'cell', only arch, synflow, note"):
            PredictArchitectures(str(checkpoint), str(table), out, arch_column="cell").run()
        pd.read_parquet(table).drop(columns="synflow").to_parquet(table)
        with pytest.raises(DataError, match="lack the column synflow"):
            PredictArchitectures(str(checkpoint), str(table), out).run()
        pd.read_parquet(table).assign(synflow=["1"] * 9 + ["many"]).to_parquet(table)
        with pytest.raises(DataError, match="row 10 has 'many' as synflow"):
            PredictArchitectures(str(checkpoint), str(table), out).run()
        with pytest.raises(ConfigError, match=r"output: unknown file ending.*standard output"):
            PredictArchitectures(str(checkpoint), str(table), "out.xlsx")
        assert not (tmp_path / "out.csv").exists()

    def test_a_file_of_something_else_is_refused(self, checkpoint, table, tmp_path):
        content = torch.load(checkpoint, weights_only=True)
        torch.save(content | {"space": "os.path"}, tmp_path / "evil.ckpt")
        with pytest.raises(CheckpointError, match=r"its space os\.path is none of foretrain"):
            PredictArchitectures(str(tmp_path / "evil.ckpt"), str(table), "-").run()
        torch.save({"schema_version": 1}, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match="holds no predictor: it lacks predictor, skeleton, space"):
            PredictArchitectures(str(tmp_path / "other.ckpt"), str(table), "-").run()
