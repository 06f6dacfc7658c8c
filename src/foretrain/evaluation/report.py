"""Reports for people: Markdown with tables and figures, and a short table on the console."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

_WIDTH_OF_FILES = 160  # so that little is cut off where the output goes to a file


def markdown_table(table: pd.DataFrame, digits: int = 3) -> str:
    """Returns a Markdown table; floats with so many digits after the point, NaN as a dash."""
    header = "| " + " | ".join(map(str, table.columns)) + " |"
    rule = "|" + "|".join(" ---: " if kind != "object" else " --- " for kind in _kinds(table)) + "|"
    rows = [
        "| " + " | ".join(format_cell(value, digits) for value in row) + " |" for row in table.itertuples(index=False)
    ]
    return "\n".join([header, rule, *rows])


def with_interval(value: float, lower: float, upper: float, digits: int = 3) -> str:
    """Returns ``value [lower, upper]``, or the value alone where there is no interval."""
    if math.isnan(lower) or math.isnan(upper):
        return format_cell(value, digits)
    return f"{format_cell(value, digits)} [{format_cell(lower, digits)}, {format_cell(upper, digits)}]"


def print_table(table: pd.DataFrame, title: str, digits: int = 3) -> None:
    """Prints a short table to standard output."""
    shown = Table(title=title, title_justify="left")
    for name, kind in zip(table.columns, _kinds(table), strict=True):
        shown.add_column(str(name), justify="left" if kind == "object" else "right")
    for row in table.itertuples(index=False):
        shown.add_row(*(format_cell(value, digits) for value in row))
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH_OF_FILES)).print(shown)


def format_cell(value: object, digits: int) -> str:
    """Returns a value as a table shows it: floats with so many digits after the point, NaN as a dash."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.{digits}f}"
    return str(value)


def _kinds(table: pd.DataFrame) -> Sequence[str]:
    return ["number" if pd.api.types.is_numeric_dtype(dtype) else "object" for dtype in table.dtypes]
