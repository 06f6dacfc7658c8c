"""People's own tables of curves: layouts, units, and rows that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretrain.errors import ConfigError, DataError
from foretrain.evaluation.curves.prediction import PredictCurves
from foretrain.evaluation.curves.reading import Columns, read_runs
from foretrain.evaluation.curves.units import choose_unit
from foretrain.evaluation.tables import read_table, require_column

CURVES = np.array([[50.0, 60, 65], [40, 55, np.nan]])
LAYOUTS = {
    "long": "run,epoch,value\na,1,50\na,2,60\na,3,65\nb,1,40\nb,2,55\n",
    "other names": "Trial,Step,val_acc,lr\na,0,50,1\na,1,60,1\na,2,65,1\nb,0,40,1\nb,1,55,1\n",
    "wide": "name,epoch_1,epoch_2,epoch_3\na,50,60,65\nb,40,55,\n",
    "wandb": (
        '"Step","a - val/acc","a - val/acc__MIN","a - val/acc__MAX","b - val/acc","b - loss"\n'
        "100,50,50,50,40,3\n200,60,60,60,55,2\n300,65,65,65,,\n"
    ),
    "mlflow": (
        "run_id,key,value,step,timestamp\na,val_acc,50,0,1\na,val_acc,60,1,2\na,loss,9,0,1\na,val_acc,65,2,3\n"
        "b,val_acc,40,0,1\nb,val_acc,55,1,2\n"
    ),
}


def write(folder: Path, text: str, name: str = "curves.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_curves(layout: str, tmp_path: Path) -> None:
    runs = read_runs(write(tmp_path, LAYOUTS[layout]), Columns())
    assert runs.names == ["a", "b"]
    np.testing.assert_array_equal(runs.curves, CURVES)
    assert runs.said


def test_single_runs_are_named_after_their_file(tmp_path: Path) -> None:
    board = write(tmp_path, "Wall time,Step,Value\n1.5,0,50\n2.5,10,60\n3.5,20,65\n", "board.csv")
    log = write(tmp_path, "epoch,step,train_loss,val_acc\n0,9,1,\n0,9,,50\n1,19,,60\n2,29,,65\n", "log.csv")
    for path in (board, log):
        runs = read_runs(path, Columns())
        assert runs.names == [path.stem]
        np.testing.assert_array_equal(runs.curves, CURVES[:1])


def test_parquet_and_named_columns(tmp_path: Path) -> None:
    table = pd.DataFrame({"who": ["a", "a"], "when": [1, 2], "noise": [0.1, 0.2], "score": [50.0, 60.0]})
    table.to_parquet(tmp_path / "t.parquet")
    runs = read_runs(tmp_path / "t.parquet", Columns("who", "when", "score"))
    np.testing.assert_array_equal(runs.curves, [[50, 60]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,epoch,value\na,1,50\na,2,good\n", r"line 3 \(run a, epoch 2\) has 'good' as value"),
        ("run,epoch,value\na,1,50\na,2,\na,3,60\n", r"line 3 \(run a, epoch 2\) has no value in the middle"),
        ("run,epoch,value\na,1,50\nb,1,50\na,1,60\n", r"line 4 \(run a, epoch 1\) has an epoch of its run that came"),
        ("run,epoch,value\na,,50\n", "line 2 .* has no epoch"),
        ("run,epoch,value\na,1,inf\n", "line 2 .* has 'inf' as value"),
        ("name,1,2,3\na,50,,60\n", r"line 2 \(run a, epoch 2\) has no value in the middle"),
        ("run,what\na,b\n", "cannot tell which of the columns run, what are epoch and value"),
        ("only\n1\n", "no known layout has the columns only"),
        ("run,epoch,value\na,1,50\na,1.5,55\na,2,60\na,4,70\n", r"line 3 \(run a, epoch 1.5\) has a fraction"),
        ("run,epoch,value\na,one,50\n", r"line 2 .* has 'one' as epoch"),
        ("name,1,2,2\na,50,55,60\n", r"line 1 has the column '2\.1'"),
        ("name,1,1.5,2\na,50,55,60\n", r"line 1 has the column '1\.5'"),
        ("name,1,2\na,50,fine\n", r"line 2 \(run a, epoch 2\) has 'fine' as value"),
        ("Step,a - acc\n0,50\n1,low\n", r"line 3 \(run a, epoch 1\) has 'low' as value"),
        ("Step,a - acc\n0,50\n1.5,55\n2,60\n", r"line 3 \(run a, epoch 1.5\) has a fraction of an epoch"),
        ("Step,a - acc\n0,50\n10,55\n17,60\n23,70\n", r"line 3 \(run a, epoch 10\) is no whole number of epochs"),
        ("Step,a - acc\n0,50\n1,nan\n2,60\n", r"line 3 \(run a, epoch 1\) has no value in the middle"),
        ("Step,a - acc\n0,50\n0,60\n", r"line 3 \(run a, epoch 0\) has an epoch of its run that came before"),
        ("Wall time,Step,Value\n1,0,50\n2,1,oh\n", r"line 3 \(run curves, epoch 1\) has 'oh' as value"),
        ("Wall time,Step,Value\n1,0,50\n2,1,\n3,2,60\n", r"line 3 .* has no value in the middle"),
        ("Wall time,Step,Value\n1,0,50\n2,0,60\n", r"line 3 .* has an epoch of its run that came before"),
        ("run_id,key,value,step\na,acc,50,0\na,loss,x,0\na,acc,y,1\n", r"line 4 .* has 'y' as value"),
        ("run_id,key,value,step\na,acc,50,0\na,acc,60,0\n", r"line 3 .* has an epoch of its run that came before"),
        ("epoch,step,val_acc\n0,9,50\n1,19,bad\n", r"line 3 \(run curves, epoch 1\) has 'bad' as value"),
        ("epoch,step,val_acc\n0,9,50\n0.5,14,55\n2,19,60\n", r"line 3 .* has a fraction of an epoch"),
        ("epoch,step,val_acc\n0,9,50\n1,19,nan\n2,29,60\n", r"line 3 .* has no value in the middle"),
    ],
)
def test_a_bad_row_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_runs(write(tmp_path, text), Columns())


@pytest.mark.parametrize("layout", ["wandb", "mlflow", "lightning"])
def test_an_unknown_metric_is_named(layout: str, tmp_path: Path) -> None:
    text = LAYOUTS.get(layout, "epoch,step,val_acc\n0,9,50\n")
    with pytest.raises(DataError, match=r"has no metric 'f1'\. There are: .*acc"):
        read_runs(write(tmp_path, text), Columns(value="f1"))


def test_evaluations_within_epochs_and_runs_of_other_batch_sizes_are_counted(tmp_path: Path) -> None:
    halves = "run,epoch,value\na,0.5,50\na,1,60\na,1.5,65\nb,0.5,40\nb,1,55\n"
    sizes = "run,step,value\na,99,50\na,199,60\na,299,65\nb,116,40\nb,233,55\n"
    for text in (halves, sizes):
        np.testing.assert_array_equal(read_runs(write(tmp_path, text), Columns()).curves, CURVES)


LAYOUTS_OF_120 = {
    "long": ("run,epoch,value\na,1,50\na,2,120\n", 3, 2),
    "wide": ("name,1,2\na,50,120\n", 2, 2),
    "wandb": ("Step,a - acc\n0,50\n1,120\n", 3, 2),
    "tensorboard": ("Wall time,Step,Value\n1,0,50\n2,1,120\n", 3, 2),
    "mlflow": ("run_id,key,value,step\na,acc,50,0\na,loss,7,0\na,acc,120,1\n", 4, 2),
    "lightning": ("epoch,step,val_acc\n0,9,50\n1,19,\n1,19,120\n", 4, 2),
}


def test_units_map_there_and_back() -> None:
    values = np.array([[2.5, 1.2, np.nan, 0.7]])
    for mode, unit in (("min", "guess"), ("max", "free"), ("min", "free"), ("max", "percent")):
        found = choose_unit(values, mode, unit)
        percent = found.to_percent(values)
        assert np.nanmin(percent) >= 0
        assert np.nanmax(percent) <= 100
        np.testing.assert_allclose(found.from_percent(percent), values)
        assert (percent[0, 3] > percent[0, 0]) == (mode == "min")
    assert choose_unit(values / 3, "max", "guess").best == 1
    assert choose_unit(values, "min", "guess").best == 0


def long_table(folder: Path, runs: int, scale: float = 1.0, falling: bool = False) -> Path:
    rng = np.random.default_rng(0)
    rows = ["run,epoch,value"]
    for run in range(runs):
        rise = 1 - np.arange(1, 21) ** -0.6 * rng.uniform(0.6, 1)
        values = scale * (3 * (1.05 - rise) if falling else 90 * rise)
        rows += [f"r{run},{epoch + 1},{values[epoch]}" for epoch in range(20 if run < runs - 3 else 6)]
    return write(folder, "\n".join(rows))


@pytest.mark.parametrize(("runs", "falling"), [(12, False), (12, True), (5, False)])
def test_forecasts_are_written_in_the_users_unit(runs: int, falling: bool, tmp_path: Path) -> None:
    source = long_table(tmp_path, runs, falling=falling)
    mode = "min" if falling else "max"
    output, plot = tmp_path / "out.csv", tmp_path / "out.png"
    PredictCurves(str(source), str(output), plot=str(plot), mode=mode, backtest=True).run()
    table = pd.read_csv(output)
    assert list(table["run"]) == [f"r{run}" for run in range(runs)]
    assert sorted(table["rank"]) == list(range(1, runs + 1))
    best = table.loc[table["rank"] == 1, "mean"].item()
    assert best == (table["mean"].min() if falling else table["mean"].max())
    assert (table["lower"] <= table["mean"] + 1e-9).all()
    assert (table["mean"] <= table["upper"] + 1e-9).all()
    partial = table[table["epochs"] == 6]
    assert ((partial["mean"] < partial["last"]) == falling).all()
    assert plot.stat().st_size > 10_000


def test_fractions_stay_fractions(tmp_path: Path) -> None:
    PredictCurves(str(long_table(tmp_path, 9, scale=0.01)), str(tmp_path / "out.parquet")).run()
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["upper"].max() <= 1


@pytest.mark.parametrize("layout", LAYOUTS_OF_120)
def test_an_accuracy_of_120_is_named_with_its_file_and_line(layout: str, tmp_path: Path) -> None:
    text, line, epoch = LAYOUTS_OF_120[layout]
    source, target = write(tmp_path, text), tmp_path / "out.csv"
    message = rf"curves.csv: line {line} \(run \w+, epoch {epoch}\) has the value 120, outside 0 to 100"
    with pytest.raises(DataError, match=message):
        PredictCurves(str(source), str(target)).run()
    assert not target.exists()
    PredictCurves(str(source), str(target), unit="free", horizon=9).run()


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="output"):
        PredictCurves("in.csv", "out.xlsx")
    with pytest.raises(ConfigError, match="plot"):
        PredictCurves("in.csv", "out.csv", plot="out.doc")
    source = long_table(tmp_path, 9)
    with pytest.raises(ConfigError, match="horizon"):
        PredictCurves(str(source), str(tmp_path / "out.csv"), horizon=10).run()


def test_what_is_no_table_of_networks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="has no rows"):
        require_column(pd.DataFrame({"arch": []}), "arch", "table.csv")
    with pytest.raises(DataError, match="has no column 'arch', only model"):
        require_column(pd.DataFrame({"model": ["a"]}), "arch", "table.csv")
