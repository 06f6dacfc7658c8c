"""Cells of tables that may come from anybody."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretrain.runtime.reading import to_numbers


def test_cells_become_numbers_and_what_is_none_becomes_nan():
    cells = pd.Series(["1", " 2.5", "x", None, "1e3"])
    np.testing.assert_array_equal(to_numbers(cells), [1, 2.5, np.nan, np.nan, 1000])


def test_integers_beyond_float64_become_infinite():
    cells = pd.Series(["9" * 400, "-" + "9" * 400, "3", "x", None], dtype=object)
    np.testing.assert_array_equal(to_numbers(cells), [np.inf, -np.inf, 3, np.nan, np.nan])
