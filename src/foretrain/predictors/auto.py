"""The default for a user: candidates that are judged by inner cross-validation and mixed by how well they do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.forecast import Forecast
from foretrain.predictors.base import FloatArray, Predictor, PredictorFactory
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.targets import Target
from foretrain.predictors.trees import BoostedTrees, RandomForest
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.base import Architectures, SearchSpace

_FOLDS = 5
_FEWEST_TO_CHOOSE = 10
_STEPS = 25
_PRIOR = 60
_LEVEL = 0.9
_BOTH = ("path_features", "graph_features")

CANDIDATES: dict[str, PredictorFactory] = {
    "process on both": partial(GaussianProcessRegressor, encodings=_BOTH),
    "process on path features": partial(GaussianProcessRegressor, encodings=("path_features",)),
    "process on logarithms of both": partial(GaussianProcessRegressor, encodings=_BOTH, logarithms=True),
    "boosting on both": partial(BoostedTrees, encodings=_BOTH, transform="log_error"),
    "random trees on both": partial(RandomForest, encodings=_BOTH, transform="log_error", random_cuts=True, share=0.5),
}
"""What ``auto`` chooses among, in the order in which they are tried: path and graph features, and given scores."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Fitted predictors, what each counts, and how that was decided.

    Attributes:
        names: The candidates that count.
        predictors: They, fitted on all networks.
        weights: What each counts; they sum to 1.
        target: The unit in which they are mixed.
        margin: Nine of ten forecasts of the cross-validation were closer than that, in this unit; NaN without one.
        errors: Cross-validated mean absolute error in points of every candidate tried; of the mixture under ``auto``.
        reason: The choice in words.
    """

    names: tuple[str, ...]
    predictors: tuple[Predictor, ...]
    weights: FloatArray
    target: Target
    margin: float
    errors: dict[str, float]
    reason: str


class Auto(Regressor[Mixture]):
    """Tries candidates by inner cross-validation and mixes those that help each other.

    The mixture is chosen greedily: again and again the candidate is added that lowers the cross-validated absolute
    error of the mean most (Caruana et al., "Ensemble selection from libraries of models", ICML 2004). With less than
    ten networks there is nothing to judge by: all candidates count alike.

    Args:
        space: The space of all architectures.
        seed: Seed of the folds and of the candidates.
        candidates: The candidates by name; None takes :data:`CANDIDATES`.
        budget_seconds: A candidate is tried only while less than half of this has passed, so that there is time left
            to fit what was chosen. The first is tried always. Where the budget leaves candidates out, the result
            depends on the speed of the machine; ``choice`` says so.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        candidates: dict[str, PredictorFactory] | None = None,
        budget_seconds: Annotated[float, Field(gt=0)] = 60.0,
    ) -> None:
        super().__init__(space, seed)
        if candidates is not None and not candidates:
            raise ConfigError("candidates", "none are given", candidates, "at least one, or null for the default")
        self.candidates = candidates
        self.budget_seconds = budget_seconds

    @property
    def interval_from(self) -> int:
        """The margin is that of held-out forecasts, which need enough networks."""
        return _FEWEST_TO_CHOOSE

    @property
    def choice(self) -> str:
        """What was chosen and why, in a few sentences."""
        return self.learned.reason

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> Mixture:
        candidates: Mapping[str, PredictorFactory] = self.candidates or CANDIDATES
        target = Target.of(known.accuracies, "log_error")
        if len(known) < _FEWEST_TO_CHOOSE:
            weights = dict.fromkeys(candidates, 1 / len(candidates))
            reason = f"{len(known)} networks are too few to judge candidates by: all of them count alike."
            return self._fit_chosen(candidates, weights, known, unlabeled, target, np.nan, {}, reason)
        foreseen, left_out = self._cross_validate(candidates, known, unlabeled, target)
        truth = target.forward(known.accuracies)
        weights = mix_greedily(foreseen, truth)
        mixed = sum((share * foreseen[name] for name, share in weights.items()), np.zeros(len(truth)))
        errors = {name: _points(target, values, known.accuracies) for name, values in foreseen.items()}
        errors["auto"] = _points(target, mixed, known.accuracies)
        margin = float(np.quantile(np.abs(mixed - truth), _LEVEL))
        reason = _reason(weights, errors, left_out, self.budget_seconds)
        return self._fit_chosen(candidates, weights, known, unlabeled, target, margin, errors, reason)

    def _cross_validate(
        self,
        candidates: Mapping[str, PredictorFactory],
        known: Labelled,
        unlabeled: Architectures | None,
        target: Target,
    ) -> tuple[dict[str, FloatArray], list[str]]:
        """The out-of-fold forecasts of every candidate tried, and the names of the others."""
        started = time.perf_counter()
        order = np.random.default_rng(derive_seed(self.seed, "folds")).permutation(len(known))
        foreseen: dict[str, FloatArray] = {}
        for name, make in candidates.items():
            if foreseen and time.perf_counter() - started > self.budget_seconds / 2:
                break
            values = np.empty(len(known))
            for test in np.array_split(order, _FOLDS):
                train = np.setdiff1d(order, test)
                predictor = self._fit(make, known[train], unlabeled)
                values[test] = _in_unit(target, predictor.predict(known[test].archs, known[test].scores))
            foreseen[name] = values
        return foreseen, [name for name in candidates if name not in foreseen]

    def _fit(self, make: PredictorFactory, known: Labelled, unlabeled: Architectures | None) -> Predictor:
        predictor = make(space=self.space, seed=self.seed)
        return predictor.fit(known.archs, known.accuracies, known.scores or None, unlabeled)

    def _fit_chosen(
        self,
        candidates: Mapping[str, PredictorFactory],
        weights: Mapping[str, float],
        known: Labelled,
        unlabeled: Architectures | None,
        target: Target,
        margin: float,
        errors: dict[str, float],
        reason: str,
    ) -> Mixture:
        predictors = tuple(self._fit(candidates[name], known, unlabeled) for name in weights)
        return Mixture(tuple(weights), predictors, np.array([*weights.values()]), target, margin, errors, reason)

    def _foresee(self, learned: Mixture, archs: Architectures, scores: Scores) -> Forecast:
        said = [_in_unit(learned.target, member.predict(archs, scores or None)) for member in learned.predictors]
        mean = learned.weights @ np.stack(said)
        back = learned.target.backward
        if np.isnan(learned.margin):
            return Forecast(score=mean, mean=back(mean))
        return Forecast(mean, back(mean), lower=back(mean - learned.margin), upper=back(mean + learned.margin))


def mix_greedily(foreseen: Mapping[str, FloatArray], truth: FloatArray) -> dict[str, float]:
    """Returns weights that sum to 1, one for each candidate.

    Few networks cannot tell candidates apart: the greedy weights are drawn towards equal ones as if by sixty more
    networks, for which all candidates did equally well. With twenty networks the mixture is thus nearly the plain
    mean, of which processes make up more than half.

    Args:
        foreseen: ``float64[n]`` by candidate.
        truth: ``float64[n]``.
    """
    names = list(foreseen)
    values = np.stack([foreseen[name] for name in names])
    total, counts = np.zeros(len(truth)), np.zeros(len(names))
    for step in range(1, _STEPS + 1):
        errors = np.abs((total + values) / step - truth).mean(axis=1)
        best = int(errors.argmin())
        total += values[best]
        counts[best] += 1
    weights = (len(truth) * counts / _STEPS + _PRIOR / len(names)) / (len(truth) + _PRIOR)
    return dict(zip(names, weights.tolist(), strict=True))


def _in_unit(target: Target, forecast: Forecast) -> FloatArray:
    """The foreseen accuracies in the unit in which they are mixed.

    Raises:
        ConfigError: A candidate only ranks.
    """
    if forecast.mean is None:
        raise ConfigError("candidates", "one of them foresees no accuracy but only ranks", allowed="regressors")
    return target.forward(forecast.mean)


def _points(target: Target, values: FloatArray, accuracies: FloatArray) -> float:
    return float(np.abs(target.backward(values) - accuracies).mean())


def _reason(weights: Mapping[str, float], errors: Mapping[str, float], left_out: list[str], budget: float) -> str:
    shares = ", ".join(f"{share:.0%} {name}" for name, share in sorted(weights.items(), key=lambda item: -item[1]))
    tried = ", ".join(f"{name} {error:.2f}" for name, error in errors.items() if name != "auto")
    found = f"Mean absolute error over {_FOLDS} folds, points: {tried}; the mixture {errors['auto']:.2f}."
    text = f"Mixed of {shares}. {found}"
    if left_out:
        text += f" Not tried within {budget:g} s: {', '.join(left_out)}."
    return text
