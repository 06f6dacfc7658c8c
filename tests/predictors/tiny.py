"""All predictors of accuracies with budgets for tests, and networks whose accuracies follow a simple rule."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from foretrain.predictors.auto import Auto
from foretrain.predictors.boosting import LightGBM, XGBoost
from foretrain.predictors.emprox import EmProx
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.gcn import GCNRanker, GCNRegressor
from foretrain.predictors.linear import BayesianLinear
from foretrain.predictors.mlp import MLPEnsemble
from foretrain.predictors.nao import NAO, SemiNAS
from foretrain.predictors.training import FitSettings
from foretrain.predictors.trees import BoostedTrees, RandomForest
from foretrain.predictors.weisfeiler_lehman import WeisfeilerLehmanLinear
from foretrain.spaces.darts.space import DARTS
from foretrain.spaces.nasbench101.space import NASBench101
from foretrain.spaces.nasbench201.space import NASBench201

SHORT = FitSettings(epochs=2, batch_size=16)
FACTORIES = {
    "linear": partial(BayesianLinear, encodings=["path_features"]),
    "forest": partial(RandomForest, trees=10),
    "random cuts": partial(RandomForest, trees=10, random_cuts=True, transform="log_error"),
    "boosting": partial(BoostedTrees, encodings=["path_features", "one_hot"], trees=20),
    "xgboost": partial(XGBoost, trees=10),
    "boosted forests": partial(XGBoost, trees=5, grown_at_once=3),
    "lightgbm": partial(LightGBM, trees=10),
    "process": partial(GaussianProcessRegressor, encodings=["path_features"]),
    "processes": partial(GaussianProcessRegressor, encodings=["path_features", "one_hot"], logarithms=True),
    "mlp": partial(MLPEnsemble, layers=2, settings=SHORT),
    "bananas": partial(MLPEnsemble, encodings=["path"], members=3, layers=3, settings=SHORT),
    "emprox": partial(EmProx, neighbours=2, width=8, settings=SHORT),
    "emprox shaped": partial(EmProx, neighbours=2, width=8, shaping=1.0, encodings=["path_features"], settings=SHORT),
    "nao": partial(NAO, width=8, hidden=4, settings=SHORT),
    "seminas": partial(SemiNAS, width=8, hidden=4, copies=2, settings=SHORT),
    "gcn": partial(GCNRegressor, width=8, layers=2, settings=SHORT),
    "ranker": partial(GCNRanker, widths=(8, 8), epochs=40, learning_rate=0.1),
    "neighbourhoods": WeisfeilerLehmanLinear,
    "auto": partial(
        Auto,
        candidates={
            "process": partial(GaussianProcessRegressor, encodings=["path_features"]),
            "forest": partial(RandomForest, trees=5),
        },
    ),
}
SPACES = {"nasbench101": NASBench101(), "nasbench201": NASBench201(), "darts": DARTS()}


def networks(space, n, seed=0):
    """n architectures and their accuracies: a saturating function of what lies on their ways, with noise."""
    generator = torch.Generator().manual_seed(seed)
    archs = space.sample(n, generator)
    features = space.encode(archs, "path_features").double()
    rule = torch.linspace(0.2, 1, features.shape[1], dtype=torch.float64)
    strength = (features / (1 + features) * rule).mean(1).numpy()
    return archs, 95 - 60 * np.exp(-6 * strength) + np.random.default_rng(seed).normal(0, 0.2, n)
