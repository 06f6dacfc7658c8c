"""The comparison on the networks of DARTS, a space of two cells each."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from foretrain.evaluation.predictors.comparison import Draw, evaluate
from foretrain.evaluation.predictors.judging import judge_trials, summarise
from foretrain.predictors.emprox import EmProx
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.training import FitSettings
from foretrain.predictors.trees import RandomForest
from foretrain.runtime.config import build, to_plain
from foretrain.runtime.parallel import ParallelMap

CONFIG = Path(__file__).parents[2] / "conf" / "benchmark" / "nasbench301.yaml"
MAKES = {
    "process": partial(GaussianProcessRegressor, encodings=["path_features"]),
    "forest": RandomForest,
    "emprox": partial(EmProx, neighbours=3, settings=FitSettings(epochs=2)),
}


@pytest.mark.skipif("FORETRAIN_DATA" not in os.environ, reason="needs the real tables")
def test_predictors_learn_from_networks_of_darts(tmp_path: Path):
    task = build(to_plain(OmegaConf.load(CONFIG)))
    draw = Draw(60, 50, 2, scores=("synflow", "params"))
    summary = summarise(judge_trials(evaluate(MAKES, task, draw, ParallelMap(1), tmp_path)), seed=0)
    found = summary.set_index("predictor")
    assert found["mae"].notna().all()
    assert found.loc["process", "spearman"] > 0.3
    assert found.loc["process", "mae"] < 2
