"""A table of predictions as the columns that the page's plot draws from."""

from __future__ import annotations

from typing import Any

import pandas as pd

MOST_ROWS = 20_000
_MOST_CHOICES = 60
_DIGITS = 6


def points_of(table: pd.DataFrame) -> dict[str, Any]:
    """Returns the numeric columns, the columns to choose rows by, and one that names the rows.

    Of a very large table a sample of :data:`MOST_ROWS` rows is taken, the same one every time. Whole numbers with few
    values (folds, snapshots seen) are both numbers and choices.

    Returns:
        ``rows`` of the whole table, ``shown`` of them; ``numbers`` by name, with six significant digits and None for
        NaN; ``choices`` by name, the text of each row; ``names``, the text of each row or None.
    """
    shown = table.sample(MOST_ROWS, random_state=0).sort_index() if len(table) > MOST_ROWS else table
    kinds = {str(name): shown[name] for name in shown.columns}
    numbers = {name: column for name, column in kinds.items() if _is_numeric(column)}
    choices = {name: column for name, column in kinds.items() if _is_choice(column)}
    named = [name for name in kinds if name not in numbers and name not in choices]
    return {
        "rows": len(table),
        "shown": len(shown),
        "numbers": {name: _rounded(column) for name, column in numbers.items()},
        "choices": {name: [str(value) for value in column] for name, column in choices.items()},
        "names": [str(value) for value in kinds[named[0]]] if named else None,
    }


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def _is_choice(column: pd.Series) -> bool:
    if pd.api.types.is_float_dtype(column.dtype):
        return False
    try:
        return bool(column.nunique() <= _MOST_CHOICES)
    except TypeError:  # cells that are lists
        return False


def _rounded(column: pd.Series) -> list[float | None]:
    values = column.astype("float64").tolist()
    return [float(f"{value:.{_DIGITS}g}") if abs(value) < float("inf") else None for value in values]
