"""Reduced precision and compilation change the digits of a fit, not its ranking."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from test_modules import TEST, TRAINER, fit, make_batch, make_population

from foretrain.runtime.compiling import Compile
from foretrain.runtime.study import TrainerFactory


def forecasts(trainer: TrainerFactory, folder) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(folder, trainer)(make_batch(make_population(), TEST))[:, 2]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> torch.Tensor:
    return forecasts(TRAINER, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_ranks_as_full_precision(precision: str, plain: torch.Tensor, tmp_path):
    """On the CPU Lightning takes bfloat16 for both."""
    mixed = forecasts(replace(TRAINER, make=functools.partial(TRAINER.make, precision=precision)), tmp_path)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, plain)
    assert spearmanr(mixed, plain).statistic > 0.9


def test_compiled_steps_rank_as_plain_ones(plain: torch.Tensor, tmp_path):
    """Traced and differentiated by the compiler, run by PyTorch itself: making machine code takes a minute."""
    callbacks = {"compile": functools.partial(Compile, backend="aot_eager", dynamic=True)}
    compiled = forecasts(replace(TRAINER, callbacks=callbacks), tmp_path)
    assert spearmanr(compiled, plain).statistic > 0.9
