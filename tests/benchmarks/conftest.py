"""Fixtures of the benchmark tests: a home of their own and a small benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.table import Benchmark

CELLS = [
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
    "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|",
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
]
"""The first two are the same network: one 3x3 convolution from input to output."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's benchmarks."""
    home = tmp_path / "home"
    monkeypatch.setenv("FORETRAIN_HOME", str(home))
    return home


@pytest.fixture
def contents() -> Contents:
    """Four NAS-Bench-201 cells, three of them distinct networks, with every kind of series."""
    nan = np.nan
    return Contents(
        Description(
            "small", "Four cells", "foretrain.spaces.nasbench201.NASBench201", "nowhere", "CC0-1.0", "file", "0" * 64
        ),
        CELLS,
        {
            Series("final", "accuracy", "cifar10", "valid", 200, (777, 888)): np.array(
                [[90.1, 90.3], [90.2, nan], [80.0, 82.0], [nan, nan]]
            ),
            Series("final", "accuracy", "cifar10", "test", 200, ("mean",)): np.array([[91.0], [91.5], [81.0], [92.0]]),
            Series("final", "accuracy", "cifar10", "test", 12): np.array([[61.0], [61.5], [51.0], [62.0]]),
            Series("curve", "accuracy", "cifar10", "valid", 4, (777, 888), (2, 4)): np.array(
                [[[50, 90], [52, 91]], [[51, 90], [nan, nan]], [[40, 80], [nan, 82]], np.full((2, 2), nan)],
                dtype=np.float32,
            ),
            Series("curve", "loss", "cifar10", "train", 3): np.arange(12, dtype=np.float32).reshape(4, 1, 3),
            Series("score", "nwot", "cifar10"): np.array([[-1.0], [-np.inf], [nan], [2.0]]),
            Series("cost", "training_seconds", "cifar10", None, 200, (777, 888)): np.array(
                [[1.0, 3.0], [2.0, nan], [5.0, 5.0], [nan, nan]]
            ),
            Series("cost", "parameters", "cifar10"): np.array([[100.0], [100.0], [300.0], [400.0]]),
        },
    )


@pytest.fixture
def small(contents: Contents, tmp_path: Path) -> Benchmark:
    """The small benchmark, written and opened."""
    write_benchmark(contents, tmp_path / "small")
    return Benchmark(tmp_path / "small")
