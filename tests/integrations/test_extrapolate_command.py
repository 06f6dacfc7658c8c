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


def test_a_missing_file_is_named(tmp_path, monkeypatch, capsys):
    code, _, error = run(monkeypatch, capsys, tmp_path / "none.csv")
    assert code == 1
    assert "none.csv" in error
