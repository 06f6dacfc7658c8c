"""The search that a predictor guides."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from foretrain.errors import ConfigError, ForetrainWarning
from foretrain.forecast import Z90, Forecast
from foretrain.predictors.base import Predictor, PredictorFactory
from foretrain.search.history import FloatArray, History
from foretrain.search.samplers import Sampler
from foretrain.search.strategy import Proposal, Strategy, draw_uniformly
from foretrain.spaces.base import Architectures, SearchSpace

_FEWEST = 2

Acquisition = Literal["score", "thompson", "upper"]


@runtime_checkable
class WarmStarting(Protocol):
    """A predictor that can learn on from where it stands."""

    def update(self, archs: Architectures, accuracies: ArrayLike) -> Self:
        """Learns on, with all networks that are known by now."""

    def state(self) -> Mapping[str, Any]:
        """Returns what it has learned."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` returned."""


@runtime_checkable
class Drawing(Protocol):
    """A predictor that knows what else the truth may be."""

    def draw(self, archs: Architectures, generator: torch.Generator) -> FloatArray:
        """Draws a function from what was learned and returns its values ``float64[n]``; higher is better."""


class PredictorSearch(Strategy):
    """Trains a predictor on what was evaluated and evaluates what it ranks highest (algorithm 1).

    Mauch et al., "Efficient Sampling for Predictor-Based Neural Architecture Search", 2020. It stands for any search of
    this kind: BANANAS is an ensemble with independent Thompson sampling over mutations of the best networks.

    Args:
        space: The space that is searched.
        seed: Seed of the predictor.
        predictor: Makes the predictor.
        sampler: Gives the networks among which the predictor chooses.
        initial: T_0, networks drawn at random in the beginning.
        batch: K, networks evaluated in a round.
        growth: Where it is more, this share of what was evaluated is the size of a round.
        acquisition: What is maximised: the forecast's ``score``; a draw between its limits of 90% (``thompson``:
            normal, for each network apart); or its ``upper`` limit.
        warm_start: Whether the predictor learns on from the round before, where it can.
        explore: Share of a round, rounded up, that Thompson sampling chooses: each of these networks is the best one of
            a function of its own, drawn from what the predictor learned. A search that only ever takes what it ranks
            highest can stay with what its first networks taught. Predictors that draw no functions (all but
            ``weisfeiler_lehman``) explore nothing, with a warning.

    Raises:
        ConfigError: The predictor cannot learn on, or its forecasts have no interval for the acquisition.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        *,
        predictor: PredictorFactory,
        sampler: Sampler,
        initial: Annotated[int, Field(ge=2)] = 4,
        batch: Annotated[int, Field(ge=1)] = 4,
        growth: Annotated[float, Field(ge=0)] = 0.0,
        acquisition: Acquisition = "score",
        warm_start: bool = False,
        explore: Annotated[float, Field(ge=0, le=1)] = 0.0,
    ) -> None:
        super().__init__(space, seed)
        self.predictor: Predictor = predictor(space=space, seed=seed)
        self.sampler = sampler
        self.initial = initial
        self.batch = batch
        self.growth = growth
        self.acquisition: Acquisition = acquisition
        self._warm = self.predictor if warm_start and isinstance(self.predictor, WarmStarting) else None
        if acquisition != "score":
            _require_interval(self.predictor, acquisition, initial)
        name = type(self.predictor).__name__
        self._drawing = self.predictor if isinstance(self.predictor, Drawing) else None
        self.explore = explore if self._drawing is not None else 0.0
        if explore and not self.explore:
            message = f"{name} draws no functions, so the search explores nothing; search.explore=0 says so too"
            warnings.warn(message, ForetrainWarning, stacklevel=2)
        if warm_start and self._warm is None:
            raise ConfigError("search.warm_start", "this predictor cannot learn on", name, "false, or a GCN ranker")

    def propose(self, history: History, generator: torch.Generator) -> Proposal:
        """Draws at random in the first round; then learns, samples, foresees and chooses."""
        known = history.succeeded
        if len(known) < max(_FEWEST, self.initial):
            missing = max(_FEWEST, self.initial) - len(known)
            return Proposal(draw_uniformly(self.space, history, missing, generator))
        teacher = self.predictor.fit if self._warm is None else self._warm.update
        teacher(history.at(known), history.accuracy[known])
        sampled = self.sampler.sample(self.space, history, self.predictor, generator)
        if len(sampled) == 0:
            return Proposal(draw_uniformly(self.space, history, self.batch, generator))
        utility = _ACQUISITIONS[self.acquisition](self.predictor.predict(sampled), generator)
        known_already = torch.isin(self.space.codes(sampled), history.codes).numpy()
        size = max(self.batch, int(self.growth * len(history)))
        chosen = self._choose(sampled, utility, known_already, size, generator)
        return Proposal(sampled[torch.from_numpy(chosen)], sampled)

    def _choose(
        self,
        sampled: Architectures,
        utility: FloatArray,
        taken: NDArray[np.bool_],
        size: int,
        generator: torch.Generator,
    ) -> NDArray[np.int64]:
        """Places of the networks of a round: the best by utility, then the best of drawn functions."""
        explored = math.ceil(self.explore * size)
        chosen = _best(np.where(taken, -np.inf, utility), size - explored, generator)
        taken = taken.copy()
        for drawn in self._functions(sampled, explored, generator):
            taken[chosen] = True
            chosen = np.append(chosen, _best(np.where(taken, -np.inf, drawn), 1, generator))
        return chosen

    def _functions(self, sampled: Architectures, count: int, generator: torch.Generator) -> Iterator[FloatArray]:
        """So many draws of what the truth may be."""
        if self._drawing is not None:
            for _ in range(count):
                yield self._drawing.draw(sampled, generator)

    def state(self) -> Mapping[str, Any]:
        """Returns what the predictor has learned, where the next round starts from it."""
        return {} if self._warm is None else dict(self._warm.state())

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` returned."""
        if self._warm is not None:
            self._warm.set_state(state)


def _require_interval(predictor: Predictor, acquisition: Acquisition, initial: int) -> None:
    name, needed = type(predictor).__name__, predictor.interval_from
    if needed is None:
        allowed = "score, or with another predictor: auto, bananas, bayesian_linear, gaussian_process"
        raise ConfigError("search.acquisition", f"forecasts of {name} have no interval", acquisition, allowed)
    if initial < needed:
        problem = f"forecasts of {name} have an interval from {needed} known networks on"
        raise ConfigError("search.initial", problem, initial, f">= {needed}, or search.acquisition=score")


def _best(utility: FloatArray, count: int, generator: torch.Generator) -> NDArray[np.int64]:
    """Places of the largest finite values, largest first; of equal ones, those that a random order puts first."""
    count = min(count, int((utility > -np.inf).sum()))
    if count == 0:
        return np.empty(0, dtype=np.int64)
    candidates = np.flatnonzero(utility >= np.partition(utility, -count)[-count])
    lot = torch.rand(len(candidates), generator=generator).numpy()
    return candidates[np.lexsort((lot, -utility[candidates]))[:count]]


def _by_score(forecast: Forecast, _: torch.Generator) -> FloatArray:
    return forecast.score.copy()


def _by_thompson(forecast: Forecast, generator: torch.Generator) -> FloatArray:
    lower, upper = _limits(forecast)
    noise = torch.randn(len(forecast), generator=generator, dtype=torch.float64).numpy()
    drawn: FloatArray = (lower + upper) / 2 + noise * (upper - lower) / (2 * Z90)
    return drawn


def _by_upper(forecast: Forecast, _: torch.Generator) -> FloatArray:
    return _limits(forecast)[1].copy()


def _limits(forecast: Forecast) -> tuple[FloatArray, FloatArray]:
    if forecast.lower is None or forecast.upper is None:  # less than its ``interval_from`` promised
        raise ConfigError("search.acquisition", "this predictor's forecasts have no interval", allowed="score")
    return forecast.lower, forecast.upper


_ACQUISITIONS: dict[Acquisition, Callable[[Forecast, torch.Generator], FloatArray]] = {
    "score": _by_score,
    "thompson": _by_thompson,
    "upper": _by_upper,
}
