"""Machine code and half precision change the digits of every learned module, not its ranking."""

from __future__ import annotations

import functools
import os
import shutil

import pytest
import torch
from learned import LEARNED
from reduced import counted, forecast
from scipy.stats import spearmanr
from torch._inductor import config as inductor


@pytest.fixture(scope="module")
def plain():
    return functools.cache(forecast)


@pytest.mark.parametrize("way", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", LEARNED)
def test_half_precision_ranks_as_single_precision(name: str, way: str, plain):
    said = forecast(name, way)
    assert said.isfinite().all()
    assert spearmanr(said, plain(name)).statistic > 0.9
    if name != "curve fits":  # no matrices are multiplied there
        assert not torch.equal(said, plain(name))


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
@pytest.mark.parametrize(("name", "graphs"), [("perceptrons (MLP, BANANAS)", 1), ("candidate network", 1)])
def test_machine_code_ranks_as_pytorch_and_is_made_once(name: str, graphs: int, plain):
    expected = plain(name)
    counted()
    with inductor.patch(compile_threads=1):
        said = forecast(name, "compiled")
    assert spearmanr(said, expected).statistic > 0.99
    assert counted() == graphs
