"""Learning curves of people's own runs, from the tables that their tools export.

Every layout becomes the same long table: run, epoch, value, and the line of the file that it stands on. What is guessed
is stated, what is wrong is named with its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.errors import DataError
from foretrain.evaluation.tables import name_of, read_table
from foretrain.runtime.reading import to_numbers

FloatArray = NDArray[np.float64]
_HEADER_LINES = 1
_OFF_GRID = 1e-3
_CELLS = 20_000_000
_RUN_NAMES = ("run", "run_id", "run_uuid", "run_name", "trial", "trial_id", "name", "id", "model")
_EPOCH_NAMES = ("epoch", "step", "iteration", "training_iteration", "trainer/global_step")
_VALUE_NAMES = ("value", "accuracy", "acc", "val_acc", "val_accuracy", "valid_acc", "valid_accuracy", "val/acc")
_VALUE_PATTERN = re.compile(r"val.*acc|acc.*val|val|acc|score|metric|loss", re.IGNORECASE)


@dataclass(frozen=True)
class Runs:
    """Curves of n runs in their own unit.

    Attributes:
        names: Their names.
        curves: ``float64[n, t]``, NaN for what was not observed.
        lines: ``int64[n, t]``, the line of each value in the file, 0 where there is none.
        said: What was guessed, in words.
    """

    names: list[str]
    curves: FloatArray
    lines: NDArray[np.int64]
    said: list[str]


@dataclass(frozen=True)
class Columns:
    """Names of columns as the user gives them; None where they are to be guessed."""

    run: str | None = None
    epoch: str | None = None
    value: str | None = None


def read_runs(source: str | Path, columns: Columns) -> Runs:
    """Reads a table of curves.

    Known are long tables (run, epoch, value), wide ones (a row for each run, a column for each epoch), and the tables
    that W&B, TensorBoard, MLflow and Lightning's CSV logger export; as :func:`~foretrain.evaluation.tables.read_table`
    reads them. An archive holds the columns of a long table, or an array ``[runs, epochs]``.

    Raises:
        DataError: The file cannot be read, no layout fits, or a row is wrong: text in place of a number, a value
            missing in the middle, an epoch that comes twice. The message names the line.
    """
    path = Path(name_of(source))
    table = read_table(source)
    lines = np.arange(len(table)) + 1 + _HEADER_LINES
    for layout, (fits, convert) in _LAYOUTS.items():
        if fits(list(table.columns)):
            long, said = convert(path, table.assign(**{_LINE: lines}), columns)
            runs = _pivot(path, long)
            return Runs(runs.names, runs.curves, runs.lines, [f"read as {layout}", *said, *runs.said])
    problem = f"no known layout has the columns {', '.join(map(str, table.columns[:8]))}"
    raise DataError(path, problem, "Name the columns of run, epoch and value, or call them so")


_LINE = "__line__"
_WHOLE = re.compile(r"(?:epoch|ep|e|step)?[ _-]?(\d+)", re.IGNORECASE)
_FRACTION = re.compile(_WHOLE.pattern + r"\.\d+", re.IGNORECASE)
_Converted = tuple[pd.DataFrame, list[str]]


def _is_wandb(names: list[str]) -> bool:
    return names[0].lower() in _EPOCH_NAMES and any(" - " in name for name in names)


def _from_wandb(path: Path, table: pd.DataFrame, columns: Columns) -> _Converted:
    """A column ``RUN - METRIC`` for each run, with ``__MIN`` and ``__MAX`` beside it."""
    chosen = [n for n in table.columns if " - " in n and not n.endswith(("__MIN", "__MAX"))]
    metrics = sorted({n.rsplit(" - ", 1)[1] for n in chosen})
    metric = _known(path, columns.value, metrics)
    parts = [
        _long(table, n.rsplit(" - ", 1)[0], table.columns[0], n)
        for n in chosen
        if n.endswith(f" - {metric}") and n != table.columns[0]
    ]
    return _without_gaps(pd.concat(parts)), [f"value: {metric}"]


def _is_tensorboard(names: list[str]) -> bool:
    return {"Wall time", "Step", "Value"} <= set(names)


def _from_tensorboard(path: Path, table: pd.DataFrame, _: Columns) -> _Converted:
    return _long(table, path.stem, "Step", "Value"), ["one run, named after the file"]


def _is_mlflow(names: list[str]) -> bool:
    return {"key", "value", "step"} <= set(names)


def _from_mlflow(path: Path, table: pd.DataFrame, columns: Columns) -> _Converted:
    metric = _known(path, columns.value, sorted(set(table["key"])))
    rows = table[table["key"] == metric]
    run = columns.run or next((n for n in ("run_id", "run_uuid", "run") if n in table.columns), None)
    return _long(rows, path.stem if run is None else rows[run], "step", "value"), [f"value: {metric}"]


def _is_lightning(names: list[str]) -> bool:
    return {"epoch", "step"} <= set(names) and not set(names) & set(_RUN_NAMES)


def _from_lightning(path: Path, table: pd.DataFrame, columns: Columns) -> _Converted:
    """Rows are half empty: each logger call has its own."""
    value = _known(path, columns.value, [n for n in table.columns if n not in ("epoch", "step", _LINE)])
    long = _without_gaps(_long(table, path.stem, columns.epoch or "epoch", value))
    return long.drop_duplicates("epoch", keep="last"), [f"value: {value}", "one run, named after the file"]


def _is_wide(names: list[str]) -> bool:
    return len(names) > 2 and sum(_epoch_of(name) is not None for name in names) >= max(2, len(names) - 2)


def _from_wide(path: Path, table: pd.DataFrame, columns: Columns) -> _Converted:
    broken = next((name for name in table.columns if _FRACTION.fullmatch(str(name))), None)
    if broken is not None:
        problem = f"line 1 has the column {broken!r}, a fraction of an epoch or one that comes twice"
        raise DataError(path, problem, "Give each whole epoch one column")
    epochs = [name for name in table.columns if _epoch_of(name) is not None]
    others = [name for name in table.columns if name not in (*epochs, _LINE)]
    run = columns.run or (others[0] if others else None)
    names = table[run] if run else pd.Series([f"run {row + 1}" for row in range(len(table))], index=table.index)
    parts = [
        pd.DataFrame({"run": names, "epoch": str(_epoch_of(n)), "value": table[n], "line": table[_LINE]})
        for n in epochs
    ]
    return pd.concat(parts), [f"run: {run or 'row number'}", f"{len(epochs)} epochs as columns"]


def _is_long(names: list[str]) -> bool:
    return len(names) >= 2


def _from_long(path: Path, table: pd.DataFrame, columns: Columns) -> _Converted:
    names = [name for name in table.columns if name != _LINE]
    by_lower = {name.lower(): name for name in reversed(names)}
    epoch = columns.epoch or next((by_lower[n] for n in _EPOCH_NAMES if n in by_lower), None)
    run = columns.run or next((by_lower[n] for n in _RUN_NAMES if n in by_lower and by_lower[n] != epoch), None)
    rest = [name for name in names if name not in (epoch, run)]
    for name in (epoch, run, columns.value):
        if name is not None and name not in names:
            raise DataError(path, f"has no column {name!r}", f"There are: {', '.join(names)}")
    if epoch is None or not rest:
        problem = f"cannot tell which of the columns {', '.join(names)} are epoch and value"
        raise DataError(path, problem, "Name the columns of epoch and value")
    value = columns.value or next((by_lower[n] for n in _VALUE_NAMES if n in by_lower), _best_name(rest))
    return _long(table, path.stem if run is None else table[run], epoch, value), [
        f"run: {run or 'the file'}, epoch: {epoch}, value: {value}"
    ]


_LAYOUTS: Mapping[str, tuple[Callable[[list[str]], bool], Callable[[Path, pd.DataFrame, Columns], _Converted]]] = {
    "a W&B export": (_is_wandb, _from_wandb),
    "a TensorBoard export": (_is_tensorboard, _from_tensorboard),
    "an MLflow metric history": (_is_mlflow, _from_mlflow),
    "a Lightning CSV log": (_is_lightning, _from_lightning),
    "a wide table": (_is_wide, _from_wide),
    "a long table": (_is_long, _from_long),
}


def _long(table: pd.DataFrame, run: object, epoch: str, value: str) -> pd.DataFrame:
    return pd.DataFrame({"run": run, "epoch": table[epoch], "value": table[value], "line": table[_LINE]})


def _without_gaps(long: pd.DataFrame) -> pd.DataFrame:
    """Leaves out rows without a value, where a layout has them by nature."""
    return long[long["value"].str.strip() != ""]


def _known(path: Path, wanted: str | None, names: list[str]) -> str:
    """The wanted metric, or the one that looks most like a validation accuracy."""
    if wanted is not None and wanted not in names:
        raise DataError(path, f"has no metric {wanted!r}", f"There are: {', '.join(names)}")
    return wanted or _best_name(names)


def _best_name(names: list[str]) -> str:
    """The name that looks most like a validation accuracy, else the first."""
    for pattern in _VALUE_PATTERN.pattern.split("|"):
        for name in names:
            if re.search(pattern, name, re.IGNORECASE):
                return name
    return names[0]


def _epoch_of(name: str) -> int | None:
    found = _WHOLE.fullmatch(str(name))
    return int(found.group(1)) if found else None


def _pivot(path: Path, long: pd.DataFrame) -> Runs:
    if long.empty:
        raise DataError(path, "has no values", "Give a row for each epoch of a run")
    values = _numbers(path, long, "value")
    steps = _numbers(path, long, "epoch")
    _refuse(path, long, np.isnan(steps), "has no epoch", "Give every row its epoch")
    epochs, said = _count_epochs(path, long, steps)
    names = list(dict.fromkeys(long["run"].astype(str)))
    rows = long["run"].astype(str).map({name: row for row, name in enumerate(names)}).to_numpy()
    table = pd.DataFrame({"row": rows, "epoch": epochs})
    _refuse(path, long, table.duplicated().to_numpy(), "has an epoch of its run that came before", "Keep one of them")
    if len(names) * int(epochs.max()) > _CELLS:
        problem = f"has {len(names)} runs of up to {epochs.max()} epochs"
        raise DataError(path, problem, f"Give at most {_CELLS} values at a time, and number the epochs 1, 2, 3, ...")
    curves = np.full((len(names), int(epochs.max())), np.nan)
    lines = np.zeros(curves.shape, dtype=np.int64)
    curves[rows, epochs - 1], lines[rows, epochs - 1] = values, long["line"]
    last = np.where(~np.isnan(curves), np.arange(1, curves.shape[1] + 1), 0).max(axis=1)
    inside = np.isnan(values) & (epochs < last[rows])
    _refuse(path, long, inside, "has no value in the middle of its curve", "Fill it in or delete the row")
    known = last > 0
    return Runs([n for n, k in zip(names, known, strict=True) if k], curves[known], lines[known], said)


def _numbers(path: Path, long: pd.DataFrame, column: str) -> FloatArray:
    """Numbers of a column, NaN for empty cells; text and infinities are refused."""
    texts = long[column].astype(str).str.strip()
    empty = texts.str.lower().isin(["", "nan", "none", "null"]).to_numpy()
    numbers = to_numbers(texts.where(~empty)).to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers) & ~empty
    if bad.any():
        place = int(bad.argmax())
        shown = f"has {texts.iloc[place]!r} as {column}"
        _refuse(path, long, bad, shown, "Give a number")
    return numbers


def _count_epochs(path: Path, long: pd.DataFrame, steps: FloatArray) -> tuple[NDArray[np.int64], list[str]]:
    """Epochs from 1: of steps that are not, the first is 1 and the smallest distance is one epoch.

    Runs whose steps do not lie on one grid (other batch sizes) are counted each on its own.
    """
    distinct = np.unique(steps)
    if distinct[0] >= 1 and (distinct == np.round(distinct)).all() and (len(distinct) == 1 or _stride(distinct) == 1):
        return _whole(steps), []
    fractional = steps != np.round(steps)
    epochs, off = _on_grid(steps)
    if not off.any() and not (fractional.any() and len(np.unique(epochs)) < epochs.max()):
        return epochs, [f"step {distinct[0]:g} is epoch 1, {_stride(distinct):g} steps are an epoch"]
    remedy = "Number the epochs 1, 2, 3, ..."
    _refuse(path, long, fractional, "has a fraction of an epoch", remedy)
    for places in long.reset_index(drop=True).groupby("run", sort=False).indices.values():
        epochs[places], off[places] = _on_grid(steps[places])
    _refuse(
        path, long, off, "is no whole number of epochs after the first of its run", "Number the epochs 1, 2, 3, ..."
    )
    return epochs, ["the first step of a run is its epoch 1, its smallest distance of two steps an epoch"]


def _stride(distinct: FloatArray) -> float:
    return float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0


def _on_grid(steps: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places from 1 on the grid of the first step and the smallest distance, and which steps lie beside it."""
    distinct = np.unique(steps)
    places = (steps - distinct[0]) / _stride(distinct)
    return _whole(places) + 1, np.abs(places - np.round(places)) > _OFF_GRID


def _whole(numbers: FloatArray) -> NDArray[np.int64]:
    """Rounded; what no integer can hold becomes one that is far too large."""
    return np.minimum(np.round(numbers), 2.0**53).astype(np.int64)


def _refuse(path: Path, long: pd.DataFrame, bad: NDArray[np.bool_], problem: str, remedy: str) -> None:
    if bad.any():
        row = long.iloc[int(bad.argmax())]
        raise DataError(path, f"line {row['line']} (run {row['run']}, epoch {row['epoch']}) {problem}", remedy)
