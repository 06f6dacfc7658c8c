"""Gradient boosting by the libraries of the extra ``baselines``: XGBoost and LightGBM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from foretrain.predictors.base import FloatArray
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.tabular import Guess, TabularRegressor
from foretrain.predictors.targets import Transform
from foretrain.predictors.trees import Count, Share, numpy_seed
from foretrain.runtime.extras import import_extra
from foretrain.spaces.base import SearchSpace

_EXTRA = "baselines"


@dataclass(frozen=True, eq=False)
class XGBoostTrees:
    """Trees of XGBoost.

    Attributes:
        text: The model as XGBoost's JSON.
    """

    text: str

    @cached_property
    def _booster(self) -> Any:  # noqa: ANN401 - the library is optional
        booster = import_extra("xgboost", _EXTRA).Booster({"nthread": 1})
        booster.load_model(bytearray(self.text, "utf-8"))
        return booster

    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` columns."""
        return Guess(self._booster.inplace_predict(columns.astype(np.float32)).astype(np.float64))


@dataclass(frozen=True, eq=False)
class LightGBMTrees:
    """Trees of LightGBM.

    Attributes:
        text: The model as LightGBM's text.
    """

    text: str

    @cached_property
    def _booster(self) -> Any:  # noqa: ANN401 - the library is optional
        return import_extra("lightgbm", _EXTRA).Booster(model_str=self.text)

    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` columns."""
        if not len(columns):
            return Guess(np.empty(0))
        return Guess(np.asarray(self._booster.predict(columns, num_threads=1), dtype=np.float64))


class XGBoost(TabularRegressor[XGBoostTrees]):
    """Gradient boosting by XGBoost (Chen and Guestrin 2016).

    Args:
        space: The space of all architectures.
        seed: Seed of the parts that trees learn from.
        encodings: Encodings whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        trees: Number of steps, each of one tree or several.
        learning_rate: What each tree's answer is multiplied by.
        depth: Depth of the trees.
        rows: Share of the networks that a tree learns from.
        share: Share of the columns that a tree sees.
        grown_at_once: Trees that are grown in each step, each on its own networks and columns; their mean is a step.

    Raises:
        ConfigError: XGBoost is not installed.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        encodings: tuple[str, ...] | list[str] = ("graph_features",),
        use_scores: bool = True,
        transform: Transform = "accuracy",
        trees: Count = 300,
        learning_rate: Share = 0.1,
        depth: Count = 4,
        rows: Share = 0.8,
        share: Share = 0.5,
        grown_at_once: Count = 1,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.trees = trees
        self.learning_rate = learning_rate
        self.depth = depth
        self.rows = rows
        self.share = share
        self.grown_at_once = grown_at_once
        self._library = import_extra("xgboost", _EXTRA)

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> XGBoostTrees:
        options = {
            "learning_rate": self.learning_rate,
            "max_depth": self.depth,
            "subsample": self.rows,
            "colsample_bytree": self.share,
            "num_parallel_tree": self.grown_at_once,
            "tree_method": "exact" if len(columns) < 2000 else "hist",
            "seed": numpy_seed(self.seed) % 2**31,
            "nthread": 1,
        }
        data = self._library.DMatrix(columns.astype(np.float32), label=values)
        booster = self._library.train(options, data, self.trees)
        return XGBoostTrees(bytes(booster.save_raw("json")).decode())


class LightGBM(TabularRegressor[LightGBMTrees]):
    """Gradient boosting by LightGBM (Ke et al. 2017).

    Args:
        space: The space of all architectures.
        seed: Seed of the parts that trees learn from.
        encodings: Encodings whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        trees: Number of trees.
        learning_rate: What each tree's answer is multiplied by.
        leaves: Leaves of a tree.
        in_leaf: Fewest networks in a leaf.
        share: Share of the columns that a tree sees.

    Raises:
        ConfigError: LightGBM is not installed.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        encodings: tuple[str, ...] | list[str] = ("graph_features",),
        use_scores: bool = True,
        transform: Transform = "accuracy",
        trees: Count = 300,
        learning_rate: Share = 0.05,
        leaves: Annotated[int, Field(ge=2)] = 8,
        in_leaf: Count = 3,
        share: Share = 0.5,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.trees = trees
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.in_leaf = in_leaf
        self.share = share
        self._library = import_extra("lightgbm", _EXTRA)

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> LightGBMTrees:
        options = {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.in_leaf,
            "feature_fraction": self.share,
            "seed": numpy_seed(self.seed) % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        booster = self._library.train(options, self._library.Dataset(columns, label=values), self.trees)
        return LightGBMTrees(booster.model_to_string())
