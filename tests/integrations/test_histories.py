"""Histories of other tools: what they hold, and rows that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretrain.errors import DataError
from foretrain.integrations.histories import read_histories


def write(folder: Path, text: str) -> Path:
    path = folder / "metrics.csv"
    path.write_text(text)
    return path


def test_the_last_value_of_an_epoch_counts_and_gaps_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "epoch,step,acc,loss\n0,1,,3\n0,2,50,\n0,3,51,\n2,9,70,\n3,9,nan,2\n")
    np.testing.assert_array_equal(read_histories(path, "acc"), [[51, np.nan, 70]])


def test_the_chart_of_many_runs_has_one_a_column(tmp_path: Path) -> None:
    path = write(tmp_path, "Step,a - acc,b - acc,a - acc__MIN\n10,50,40,1\n20,60,,1\n")
    np.testing.assert_array_equal(read_histories(path, "acc"), [[50, 60], [40, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,acc\n0,50\n1,good\n", r"metrics.csv: line 3 has good as acc\. Give a number"),
        ("Step,a - acc\n0,50\n1,good\n", r"line 3 has good as a - acc"),
        ("epoch,acc\n0,50\none,60\n", r"line 3 has one as epoch"),
        ("epoch,acc\n0,50\n1.5,60\n", r"line 3 has 1\.5 as epoch\. Count epochs 0, 1, 2"),
        ("epoch,acc\n-1,50\n", r"line 2 has -1 as epoch"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_histories(write(tmp_path, text), "acc")


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="neither CSV nor Parquet"):
        read_histories(tmp_path / "run.json", "loss")
