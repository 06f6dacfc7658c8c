"""Random forests and boosted trees, kept as plain arrays that any machine can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from foretrain.predictors.base import FloatArray
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.tabular import Guess, TabularRegressor
from foretrain.predictors.targets import Transform
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.base import SearchSpace

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of regression trees: ``base + weight * sum of the leaves' values``.

    The nodes of all trees stand in one table; a leaf is its own child.

    Attributes:
        feature: ``int64[nodes]``, the column that a node looks at.
        threshold: ``float64[nodes]``, values up to it go left.
        left: ``int64[nodes]``, the node to the left.
        right: ``int64[nodes]``, the node to the right.
        value: ``float64[nodes]``, what a leaf says.
        roots: ``int64[trees]``.
        depth: Of the deepest tree.
        base: What is added to the sum.
        weight: What the sum is multiplied by.
    """

    feature: NDArray[np.int64]
    threshold: FloatArray
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: FloatArray
    roots: NDArray[np.int64]
    depth: int
    base: float
    weight: float

    @classmethod
    def of(cls, trees: Sequence[DecisionTreeRegressor], base: float, weight: float) -> Trees:
        """Copies scikit-learn's trees."""
        parts = [tree.tree_ for tree in trees]
        sizes = np.array([part.node_count for part in parts])
        roots = np.cumsum(sizes) - sizes
        here = np.arange(sizes.sum())
        first = np.repeat(roots, sizes)
        left, right = (
            np.concatenate([getattr(part, side) for part in parts]) for side in ("children_left", "children_right")
        )
        leaf = left < 0
        return cls(
            feature=np.where(leaf, 0, np.concatenate([part.feature for part in parts])),
            threshold=np.concatenate([part.threshold for part in parts]),
            left=np.where(leaf, here, left + first),
            right=np.where(leaf, here, right + first),
            value=np.concatenate([part.value[:, 0, 0] for part in parts]),
            roots=roots,
            depth=max(part.max_depth for part in parts),
            base=base,
            weight=weight,
        )

    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` columns, all networks and trees one level at a time."""
        # scikit-learn compares in single precision, and a value at a threshold must go the same way
        rounded = columns.astype(np.float32).astype(np.float64)
        node = np.tile(self.roots, (len(columns), 1))
        for _ in range(self.depth):
            goes_left = np.take_along_axis(rounded, self.feature[node], axis=1) <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return Guess(self.base + self.weight * self.value[node].sum(axis=1))


class RandomForest(TabularRegressor[Trees]):
    """The mean of trees that were grown on bootstrap samples (Breiman 2001), or on all with random cuts.

    Args:
        space: The space of all architectures.
        seed: Seed of the samples and the choices of columns.
        encodings: Encodings whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        trees: Number of trees.
        share: Share of the columns that a node chooses among.
        random_cuts: Whether the thresholds are drawn (extremely randomised trees, Geurts 2006) instead of chosen.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        encodings: tuple[str, ...] | list[str] = ("graph_features",),
        use_scores: bool = True,
        transform: Transform = "accuracy",
        trees: Count = 100,
        share: Share = 1.0,
        random_cuts: bool = False,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.trees = trees
        self.share = share
        self.random_cuts = random_cuts

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> Trees:
        kind = ExtraTreesRegressor if self.random_cuts else RandomForestRegressor
        model = kind(self.trees, max_features=self.share, random_state=numpy_seed(self.seed), n_jobs=1)
        model.fit(columns, values)
        return Trees.of(model.estimators_, base=0.0, weight=1 / self.trees)


class BoostedTrees(TabularRegressor[Trees]):
    """Gradient boosting (Friedman 2001) by scikit-learn, each tree on a part of the networks and columns.

    Args:
        space: The space of all architectures.
        seed: Seed of the parts.
        encodings: Encodings whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        trees: Number of trees.
        learning_rate: What each tree's answer is multiplied by.
        depth: Depth of the trees.
        rows: Share of the networks that a tree learns from.
        share: Share of the columns that a node chooses among.
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
        depth: Count = 3,
        rows: Share = 0.5,
        share: Share = 0.2,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.trees = trees
        self.learning_rate = learning_rate
        self.depth = depth
        self.rows = rows
        self.share = share

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> Trees:
        model = GradientBoostingRegressor(
            n_estimators=self.trees,
            learning_rate=self.learning_rate,
            max_depth=self.depth,
            subsample=max(self.rows, min(1.0, 2 / len(values))),
            max_features=self.share,
            init="zero",
            random_state=numpy_seed(self.seed),
        ).fit(columns, values)
        return Trees.of(list(model.estimators_[:, 0]), base=0.0, weight=self.learning_rate)


def numpy_seed(seed: int) -> int:
    """Returns a seed that scikit-learn and its kin accept."""
    return derive_seed(seed, "trees") % 2**32
