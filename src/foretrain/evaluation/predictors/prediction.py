"""What ``predict.py task=predictor`` does: forecasts of architectures by a saved predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from foretrain.evaluation.prediction import checkpoint_path
from foretrain.evaluation.tables import checked_target, numbers, read_table, require_column, write_table
from foretrain.forecast import Forecast
from foretrain.predictors.persistence import load_predictor
from foretrain.runtime.study import Prediction


class PredictArchitectures(Prediction):
    """Foresees the accuracies of architectures with a predictor that learned from others.

    Args:
        checkpoint: What :func:`~foretrain.predictors.persistence.save_predictor` wrote, or the folder of a run of
            ``experiment=fit_predictor``. The file says which space the architectures are of.
        input: A table as :func:`~foretrain.evaluation.tables.read_table` reads it, one row an architecture; ``-`` is
            standard input. Scores that the predictor was fitted with are columns of their names, with empty cells where
            there are none.
        output: The table to write, ``.csv``, ``.parquet`` or ``-`` for standard output: the architecture, ``score``
            (ranks), ``mean``, ``lower`` and ``upper`` (percent, as far as the predictor has them) and ``rank``, 1 for
            the best.
        arch_column: Column of the architectures, in the space's published string form.

    Raises:
        ConfigError: The output has an unknown ending.
    """

    def __init__(self, checkpoint: str, input: str, output: str, arch_column: str = "arch") -> None:  # noqa: A002
        self.checkpoint = checkpoint_path(Path(checkpoint))
        self.input = input
        self.output = checked_target(output)
        self.arch_column = arch_column

    def run(self) -> None:
        """Reads, forecasts and writes; see :class:`foretrain.runtime.study.Prediction`."""
        predictor = load_predictor(self.checkpoint)
        table = read_table(self.input)
        require_column(table, self.arch_column, self.input)
        strings = table[self.arch_column].to_list()
        scores = {name: numbers(table, name, self.input) for name in table.columns if name in predictor.score_names}
        forecast = predictor.predict(predictor.space.parse(strings), scores)
        write_table(forecast_table(strings, forecast, self.arch_column), self.output)


def forecast_table(names: list[str], forecast: Forecast, title: str) -> pd.DataFrame:
    """Returns one row a network, in the given order.

    Args:
        names: Names of the networks.
        forecast: What is foreseen of them.
        title: Name of the column of the names.
    """
    rank = np.empty(len(forecast), dtype=np.int64)
    rank[np.argsort(-forecast.score, kind="stable")] = np.arange(1, len(forecast) + 1)
    known = {name: getattr(forecast, name) for name in ("score", "mean", "lower", "upper")}
    values = {name: value for name, value in known.items() if value is not None}
    return pd.DataFrame({title: names, **values, "rank": rank})
