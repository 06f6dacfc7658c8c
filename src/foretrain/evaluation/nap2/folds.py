"""Cross-validation over networks: no network is on two sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, train_test_split

from foretrain.runtime.seeding import derive_seed

IndexArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Fold:
    """Positions of the networks of one fold.

    Attributes:
        name: ``fold0``, ``fold1``, ..., or ``final`` for the predictor that is fitted on the whole population.
        train: Networks that everything learned is fitted on, normalisation included.
        validation: Networks that early stopping looks at.
        test: Networks that the fold's predictor is judged on; empty for ``final``.
    """

    name: str
    train: IndexArray
    validation: IndexArray
    test: IndexArray


def split_folds(n: int, folds: int, validation_share: float, seed: int) -> list[Fold]:
    """Splits n networks into folds of nearly equal size, each the test set once.

    Args:
        n: Number of networks.
        folds: Number of folds.
        validation_share: Share of the networks outside the test set that early stopping looks at.
        seed: Seed of the splits.

    Returns:
        The folds, then ``final``, which tests on nothing.

    Raises:
        ValueError: There are too few networks for so many folds.
    """
    problem = f"{n} networks are too few for {folds} folds with a validation share of {validation_share}"
    if n < 2 * folds:
        raise ValueError(problem)
    everyone = np.arange(n)
    splitter = KFold(folds, shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    pairs = [(f"fold{number}", rest, test) for number, (rest, test) in enumerate(splitter.split(everyone))]
    pairs.append(("final", everyone, everyone[:0]))
    result = []
    for name, rest, test in pairs:
        train, validation = train_test_split(
            rest, test_size=validation_share, random_state=derive_seed(seed, "validation", name) % 2**32
        )
        if len(train) < 2:
            raise ValueError(problem)
        result.append(Fold(name, np.sort(train), np.sort(validation), test))
    return result
