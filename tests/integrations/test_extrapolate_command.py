"""``foretrain extrapolate`` says in the terminal what ``ft.extrapolate`` says in Python."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

import foretrain as ft
from foretrain.integrations.command import main

EPOCHS = np.arange(1, 11)
PARTIAL = 90 - np.array([[60.0], [40.0]]) * EPOCHS**-0.7


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    rows = [(f"run-{n}", epoch, PARTIAL[n, epoch - 1]) for n in range(2) for epoch in EPOCHS]
    pd.DataFrame(rows, columns=["run", "epoch", "value"]).to_csv(path, index=False)
    return path


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["foretrain", "extrapolate", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    try:
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


def test_the_table_holds_the_numbers_of_python(table, tmp_path, monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, table, "--horizon", 50, "--out", tmp_path / "out.csv")
    assert code == 0
    assert "2 runs, 0 finished at epoch 50" in printed
    written = pd.read_csv(tmp_path / "out.csv")
    forecast = ft.extrapolate(PARTIAL, horizon=50)
    for name in ("mean", "lower", "upper"):
        np.testing.assert_allclose(written[name], getattr(forecast, name))
    np.testing.assert_allclose(written["last"], PARTIAL[:, -1])


def test_without_a_file_to_write_the_table_is_printed(table, monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, table, "--horizon", 50)
    assert code == 0
    assert "run-1" in printed
    assert f"{ft.extrapolate(PARTIAL, horizon=50).mean[1]:.3f}" in printed
    assert "Written" not in printed


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--horizon", "5"], 2, "error: --horizon: lies before the end of a run"),
        (["--level", "1"], 2, "error: --level: is impossible"),
        (["--mode", "up"], 2, "'up'"),
        (["--out", "x.xlsx"], 2, "unknown file ending"),
        (["--value-column", "loss"], 1, "loss"),
    ],
)
def test_wrong_options_and_wrong_data_have_their_exit_codes(table, monkeypatch, capsys, options, code, message):
    found, _, error = run(monkeypatch, capsys, table, *options)
    assert (found, message in error) == (code, True), error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("finished", "options", "said"),
    [
        (2, [], "too few finished"),
        (5, [], "an interval of 90% needs 9 of them: with fewer it is the whole scale"),
        (9, [], "taught by the finished ones.\n"),
        (5, ["--level", "0.8"], "taught by the finished ones.\n"),
    ],
)
def test_what_the_intervals_rest_on_is_said(tmp_path, monkeypatch, capsys, finished, options, said):
    finals = np.linspace(70, 90, finished + 1)
    curves = finals[:, None] - 40 * EPOCHS**-0.7
    rows = [(n, epoch, curves[n, epoch - 1]) for n in range(finished + 1) for epoch in EPOCHS if n or epoch < 6]
    pd.DataFrame(rows, columns=["run", "epoch", "value"]).to_csv(tmp_path / "runs.csv", index=False)
    out = tmp_path / "out.csv"
    code, printed, _ = run(monkeypatch, capsys, tmp_path / "runs.csv", "--out", out, *options)
    assert (code, said in printed.replace(f" Written: {out}", "")) == (0, True), printed
    first = pd.read_csv(out).iloc[0]
    assert ("whole scale" in printed) == (first.lower == 0 and first.upper == 100)


def test_runs_that_have_all_finished_leave_nothing_to_foresee(table, monkeypatch, capsys):
    _, printed, _ = run(monkeypatch, capsys, table)
    assert "2 runs, 2 finished at epoch 10; nothing is left to foresee" in printed


def test_a_loss_that_is_maximised_is_doubted(tmp_path, monkeypatch, capsys):
    (tmp_path / "losses.csv").write_text("epoch,val_loss\n1,2.3\n2,1.8\n3,1.5\n")
    _, printed, _ = run(monkeypatch, capsys, tmp_path / "losses.csv", "--horizon", 9)
    assert "lower values are better" in printed
    _, printed, _ = run(monkeypatch, capsys, tmp_path / "losses.csv", "--horizon", 9, "--mode", "min")
    assert "lower values are better" not in printed
    assert "1 run, 0 finished" in printed


def test_where_nothing_can_be_written_is_said_before_anything_is_read(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    for option, name, said in [
        ("--out", "file/out.csv", "cannot be written"),
        ("--out", "folder.csv", "it is a folder"),
        ("--plot", "file/plot.png", "cannot be written"),
    ]:
        code, _, error = run(monkeypatch, capsys, tmp_path / "none.csv", option, tmp_path / name)
        assert (code, said in error, "Traceback" in error) == (1, True, False), error


def test_a_missing_file_is_named(tmp_path, monkeypatch, capsys):
    code, _, error = run(monkeypatch, capsys, tmp_path / "none.csv")
    assert code == 1
    assert "none.csv" in error
