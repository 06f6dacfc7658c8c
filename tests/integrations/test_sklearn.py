"""The estimators inside scikit-learn's own tools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scripted import rising
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import foretrain as ft
from foretrain.errors import ConfigError, DataError
from foretrain.integrations.sklearn import ArchitectureRegressor, CurveRegressor
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.linear import BayesianLinear
from foretrain.spaces.nasbench201 import NASBench201

CURVES = np.random.default_rng(0).permutation(100 * rising(np.linspace(0.5, 0.95, 24), seed=4))
BEGUN, FINAL = CURVES[:, :8], CURVES[:, -1]


def test_curves_in_pipelines_and_searches():
    shares = make_pipeline(FunctionTransformer(lambda values: 100 * values), CurveRegressor(horizon=20))
    assert cross_val_score(shares, BEGUN / 100, FINAL, cv=4).min() > 0.8
    search = GridSearchCV(CurveRegressor(), {"horizon": [20, 40]}, cv=3).fit(BEGUN, FINAL)
    assert search.best_params_["horizon"] in (20, 40)


def test_curves_have_the_numbers_of_extrapolate():
    model = CurveRegressor(horizon=20, level=0.8).fit(BEGUN[:20], FINAL[:20])
    expected = ft.extrapolate(BEGUN[20:], 20, finished=CURVES[:20], level=0.8)
    np.testing.assert_array_equal(model.predict(BEGUN[20:]), expected.mean)
    np.testing.assert_array_equal(model.forecast(BEGUN[20:]).upper, expected.upper)


def test_curves_refuse_what_they_cannot_learn_from():
    with pytest.raises(NotFittedError):
        CurveRegressor().predict(BEGUN)
    with pytest.raises(ConfigError, match="horizon: does not lie behind"):
        CurveRegressor(horizon=8).fit(BEGUN, FINAL)
    with pytest.raises(DataError, match="for 24 curves"):
        CurveRegressor().fit(BEGUN, FINAL[:3])


def test_architectures_are_cloned_searched_and_foreseen():
    space = NASBench201()
    archs = space.sample(40, torch.Generator().manual_seed(0))
    names = np.array(space.format(archs))
    accuracies = 60 + 5.0 * (archs.ops > 1).sum(dim=1).numpy()
    model = ArchitectureRegressor(space)
    assert clone(model).get_params()["predictor"] is GaussianProcessRegressor
    choices = {"predictor": [GaussianProcessRegressor, BayesianLinear]}
    search = GridSearchCV(model, choices, cv=2).fit(names[:30], accuracies[:30])
    direct = search.best_params_["predictor"](space).fit(archs[:30], accuracies[:30]).predict(archs[30:])
    np.testing.assert_allclose(search.predict(names[30:, None]), direct.mean)
    with pytest.raises(NotFittedError):
        model.predict(names)
