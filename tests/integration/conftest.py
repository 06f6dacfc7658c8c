"""Fixtures of the experiments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.format import write_benchmark
from foretrain.proxies import PROXIES
from foretrain.runtime.seeding import make_generator
from foretrain.spaces.nasbench201 import NASBench201


@pytest.fixture
def scored_benchmark(tmp_path: Path) -> Path:
    """The folder of a benchmark of 30 cells in a tiny skeleton, with made-up accuracies and scores."""
    space = NASBench201(4, 1, 1)
    names = list(dict.fromkeys(space.format(space.sample(60, make_generator(0, "test")))))[:30]
    draw = np.random.default_rng(0)
    accuracy = draw.uniform(10, 90, (len(names), 1))
    series = {Series("final", "accuracy", "digits", split, 3): accuracy for split in ("valid", "test")}
    for name in PROXIES:
        series[Series("score", name, "digits")] = accuracy + draw.normal(0, 10, accuracy.shape) + 50
    description = Description(
        name="tiny",
        title="Tiny cells",
        space="foretrain.spaces.nasbench201.NASBench201",
        source="nowhere",
        licence="CC0-1.0",
        skeleton={"channels": 4, "cells_per_stage": 1, "stages": 1},
    )
    write_benchmark(Contents(description, names, series), tmp_path / "tiny")
    return tmp_path / "tiny"
