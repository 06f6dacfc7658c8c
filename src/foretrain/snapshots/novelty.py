"""Do these snapshots look like those that a predictor learned from?"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from foretrain.runtime.seeding import derive_seed

FloatArray = NDArray[np.float64]

_CONSTANT = 1e-9


class NoveltyCheck:
    r"""Conformal test of whether networks come from the population that a predictor learned from.

    Summaries of snapshots are standardised and reduced to their first principal components. A network's strangeness is
    its mean distance to the nearest networks of one half of the known population; the other half, unseen by all that is
    fitted, tells how strange known networks are. With m of these, a network whose strangeness is reached by r of them
    has the p-value :math:`(1 + r) / (1 + m)`: of known networks a share of at most alpha falls below alpha.

    Many networks are judged together: they are foreign where more of them fall below alpha than chance allows, i.e.
    where that many or more would be found with a probability below ``level`` (binomial).

    Args:
        alpha: P-value from which down a single network looks strange.
        level: How often known populations may be called foreign, about.
        components: Principal components that distances are measured in.
        neighbours: Nearest networks that the distance is averaged over.
        seed: Seed of the split into halves.
    """

    def __init__(
        self, alpha: float = 0.1, level: float = 0.01, components: int = 8, neighbours: int = 3, seed: int = 0
    ) -> None:
        self.alpha = alpha
        self.level = level
        self._components = components
        self._neighbours = neighbours
        self._seed = seed

    def fit(self, known: FloatArray) -> Self:
        """Learns what is known.

        Args:
            known: ``[n, d]``, summaries of at least four networks.

        Raises:
            ValueError: There are too few networks.
        """
        if len(known) < 4:
            raise ValueError(f"{len(known)} networks cannot be split into two halves to compare. Give at least 4")
        order = np.random.default_rng(derive_seed(self._seed, "novelty")).permutation(len(known))
        first, second = known[order[: len(known) // 2]], known[order[len(known) // 2 :]]
        self._mean = first.mean(axis=0)
        spread = first.std(axis=0)
        self._spread = np.where(spread > _CONSTANT, spread, 1.0)
        components = min(self._components, len(first) - 1, first.shape[1])
        self._pca = PCA(components, whiten=True, random_state=0).fit(self._standardise(first))
        count = min(self._neighbours, len(first))
        self._near = NearestNeighbors(n_neighbors=count).fit(self._pca.transform(self._standardise(first)))
        self._known = np.sort(self._strangeness(second))
        return self

    def p_values(self, summaries: FloatArray) -> FloatArray:
        """Returns the p-value of each network, ``[m]``, for ``[m, d]``; small is strange."""
        reached = len(self._known) - np.searchsorted(self._known, self._strangeness(summaries), side="left")
        values: FloatArray = (1 + reached) / (1 + len(self._known))
        return values

    def is_foreign(self, summaries: FloatArray) -> bool:
        """Whether networks ``[m, d]``, taken together, do not come from the known population."""
        strange = int(np.count_nonzero(self.p_values(summaries) <= self.alpha))
        return bool(stats.binom.sf(strange - 1, len(summaries), self.alpha) < self.level)

    def _standardise(self, summaries: FloatArray) -> FloatArray:
        standardised: FloatArray = (summaries - self._mean) / self._spread
        return standardised

    def _strangeness(self, summaries: FloatArray) -> FloatArray:
        distances, _ = self._near.kneighbors(self._pca.transform(self._standardise(summaries)))
        mean: FloatArray = distances.mean(axis=1)
        return mean
