"""The command ``foretrain extrapolate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class _Mode(StrEnum):
    MAX = "max"
    MIN = "min"


class _Unit(StrEnum):
    GUESS = "guess"
    PERCENT = "percent"
    FRACTION = "fraction"
    FREE = "free"


def extrapolate_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A table of runs, or a tool's export: CSV, Parquet, npz, or - for standard input."
        ),
    ],
    horizon: Annotated[
        int | None, typer.Option(min=1, help="The final epoch; without it, the last epoch of the longest run.")
    ] = None,
    mode: Annotated[_Mode, typer.Option(help="Whether higher or lower values are better.")] = _Mode.MAX,
    unit: Annotated[_Unit, typer.Option(help="What the values are; free: a metric without bounds.")] = _Unit.GUESS,
    level: Annotated[float, typer.Option(help="Probability of the intervals, between 0 and 1.")] = 0.9,
    backtest: Annotated[bool, typer.Option("--backtest", help="Tell the error on the finished runs.")] = False,
    run_column: Annotated[str | None, typer.Option(help="Column of the runs, where the guess is wrong.")] = None,
    epoch_column: Annotated[str | None, typer.Option(help="Column of the epochs.")] = None,
    value_column: Annotated[str | None, typer.Option(help="Column, or name, of the metric.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table: .csv, .parquet, or - for stdout.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves and their forecasts into this file.")] = None,
) -> None:
    """Foresees where unfinished runs will end. Finished runs in the same file teach how curves go on."""
    from foretrain.errors import ConfigError  # noqa: PLC0415 - keeps --help quick
    from foretrain.evaluation.curves.prediction import PredictCurves  # noqa: PLC0415

    if not 0 < level < 1:
        raise ConfigError("level", "is impossible", level, "between 0 and 1")
    PredictCurves(
        input=str(file),
        output=None if out is None else str(out),
        horizon=horizon,
        plot=None if plot is None else str(plot),
        mode=mode.value,
        unit=unit.value,
        level=level,
        backtest=backtest,
        run_column=run_column,
        epoch_column=epoch_column,
        value_column=value_column,
    ).run()
