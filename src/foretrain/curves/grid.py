"""The fast fit: a shared grid over the shapes, the linear part in closed form, one matrix product for all curves.

All curves of a batch share the epochs 1, 2, ..., so for a fixed shape every family is a line in its basis. With the
centred, normalised bases of all shapes of the grid as rows of Q and the centred curves as rows of Y,

    r = Y Q^T,    SSE = |Y|^2 - r^2,    A = r / |g|,

and the best shape of a curve is where r is largest: since A >= 0, a curve that falls gets A = 0 and its mean. There are
no starting points and nothing diverges. Values that are missing, or count less, enter as weights: three products.
Curves that end at different epochs are fitted in groups of the same length, each as if the others were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from foretrain.curves.families import DISTINCT, FAMILIES, LINEAR_BOUND, Family
from foretrain.curves.polish import polished

_CURVES_AT_ONCE = 2048  # keeps the products of one block in the cache
_HUBER = 1.345  # 95% efficiency for normal residuals
_MAD_TO_SIGMA = 1.4826
_RELATIVE_ZERO = 1e-9
_RELATIVE_SPREAD = 1e-5


@dataclass(frozen=True)
class CurveFits:
    """The fitted curves of n runs.

    Attributes:
        parameters: Family name to ``[n, parameters]`` in the order of ``Family.parameters``.
    """

    parameters: Mapping[str, Tensor]
    _problem: _Problem

    @cached_property
    def error(self) -> Mapping[str, Tensor]:
        """Family name to ``[n]``, root mean squared error on the observed values, points."""
        return {name: self._problem.error(FAMILIES[name], values) for name, values in self.parameters.items()}

    def at(self, epochs: Tensor | Sequence[float]) -> dict[str, Tensor]:
        """Returns the values ``[n, len(epochs)]`` of every family at any epochs, percent, not bounded to 0..100."""
        found = {}
        for name, parameters in self.parameters.items():
            x = torch.as_tensor(epochs, dtype=parameters.dtype, device=parameters.device)
            found[name] = FAMILIES[name].value(x, parameters)
        return found


class GridFitter:
    """Fits families to many curves at once.

    Args:
        families: Names in :data:`~foretrain.curves.families.FAMILIES`; families that share a fit are fitted once.
        reweightings: Rounds of Huber reweighting, against outliers; each costs about as much as three fits.
        polish_steps: Steps of damped Gauss-Newton from the best point of the grid.
    """

    def __init__(self, families: Sequence[str] = DISTINCT, reweightings: int = 0, polish_steps: int = 0) -> None:
        if unknown := [name for name in families if name not in FAMILIES]:
            raise ValueError(f"no curve family {unknown[0]!r}. There are: {', '.join(FAMILIES)}")
        self.families = tuple(families)
        self.reweightings = reweightings
        self.polish_steps = polish_steps

    def fit(self, curves: Tensor, weights: Tensor | None = None) -> CurveFits:
        """Fits all families to all curves.

        Args:
            curves: ``float[n, t]``, percent; column e - 1 is epoch e, NaN is what was not observed.
            weights: ``float[n, t]`` or ``[t]``, how much each value counts, at least 0; None: all the same.

        Returns:
            The fits, in the dtype and on the device of the curves. A curve without any value gets 0 everywhere.
        """
        problem = _Problem.of(curves, weights)
        parts = [(rows, self._fit_families(part)) for rows, part in problem.by_length()]
        parameters: dict[str, Tensor] = {}
        for name in self.families:
            source = FAMILIES[name].shares_fit_of or name
            if source not in parameters:
                parameters[source] = curves.new_empty(len(curves), len(FAMILIES[source].parameters))
                for rows, found in parts:
                    parameters[source][rows] = found[source]
            parameters[name] = parameters[source]
        return CurveFits({name: parameters[name] for name in self.families}, problem)

    def _fit_families(self, problem: _Problem) -> dict[str, Tensor]:
        sources = dict.fromkeys(FAMILIES[name].shares_fit_of or name for name in self.families)
        return {name: self._fit_family(FAMILIES[name], problem) for name in sources}

    def _fit_family(self, family: Family, problem: _Problem) -> Tensor:
        parameters = _best_on_grid(family, problem)
        given = problem
        for _ in range(self.reweightings):
            problem = given.reweighted(family.value(given.epochs, parameters))
            parameters = _best_on_grid(family, problem)
        if self.polish_steps:
            parameters = polished(
                family, problem.epochs, problem.curves, problem.full_weights, parameters, self.polish_steps
            )
        return parameters


@dataclass(frozen=True)
class _Problem:
    """Curves without NaN and what each value counts.

    Attributes:
        epochs: ``[t]``.
        curves: ``[n, t]``, 0 where nothing was observed.
        weights: ``[n, t]``, 0 where nothing was observed; None where all values count the same.
        observed: ``[n, t]``; None where all values were observed.
    """

    epochs: Tensor
    curves: Tensor
    weights: Tensor | None
    observed: Tensor | None

    @classmethod
    def of(cls, curves: Tensor, weights: Tensor | None) -> _Problem:
        epochs = torch.arange(1, curves.shape[1] + 1, dtype=curves.dtype, device=curves.device)
        observed = ~curves.isnan()
        if bool(observed.all()):
            full = None if weights is None else weights.to(curves).expand_as(curves)
            return cls(epochs, curves, full, None)
        counted = observed.to(curves.dtype) * (1 if weights is None else weights.to(curves))
        return cls(epochs, curves.nan_to_num(0.0), counted, observed)

    @property
    def full_weights(self) -> Tensor:
        return torch.ones_like(self.curves) if self.weights is None else self.weights

    def by_length(self) -> list[tuple[Tensor, _Problem]]:
        """Returns the rows of all curves that end at the same epoch, cut there, group by group.

        The grid of a shape depends on how long a curve is, and should not on how long others are.
        """
        if self.observed is None:
            return [(torch.arange(len(self.curves), device=self.curves.device), self)]
        lengths = (self.observed * self.epochs).amax(dim=1).clamp(min=1).long()
        groups = []
        for length in sorted(set(lengths.tolist())):
            rows = (lengths == length).nonzero()[:, 0]
            curves, weights, observed = (v[rows, :length] for v in (self.curves, self.full_weights, self.observed))
            is_plain = bool((weights == 1).all())
            whole = None if bool(observed.all()) else observed
            groups.append((rows, _Problem(self.epochs[:length], curves, None if is_plain else weights, whole)))
        return groups

    def reweighted(self, values: Tensor) -> _Problem:
        """Multiplies the weights by Huber's, in units of each curve's median absolute residual."""
        residuals = (self.curves - values).abs()
        if self.observed is not None:
            residuals = residuals.where(self.observed, torch.nan)
        scale = _MAD_TO_SIGMA * residuals.nanmedian(dim=1, keepdim=True).values
        limit = _HUBER * scale
        weights = torch.where(residuals > limit, limit / residuals.clamp(min=_RELATIVE_ZERO), 1)
        return _Problem(self.epochs, self.curves, weights * self.full_weights, self.observed)

    def error(self, family: Family, parameters: Tensor) -> Tensor:
        squares = (family.value(self.epochs, parameters) - self.curves).square()
        weights = self.full_weights
        return ((weights * squares).sum(1) / weights.sum(1).clamp(min=_RELATIVE_ZERO)).sqrt()


def _best_on_grid(family: Family, problem: _Problem) -> Tensor:
    """Returns ``[n, parameters]``: the best shape of the grid with its linear part, for every curve."""
    curves = problem.curves
    targets = family.link.inverse(curves)
    weights = problem.weights
    if family.link.is_curved:
        # to first order, an error of the value is slope times an error of the linear part
        weights = problem.full_weights * family.link.slope(targets).square()
    bases = _bases(family.name, len(problem.epochs), curves.dtype, curves.device)
    parts = []
    for start in range(0, len(curves), _CURVES_AT_ONCE):
        block = slice(start, start + _CURVES_AT_ONCE)
        if weights is None:
            parts.append(_solve_plain(bases, targets[block]))
        else:
            parts.append(_solve_weighted(bases, targets[block], weights[block]))
    return torch.cat(parts) if parts else curves.new_empty(0, len(family.parameters))


@dataclass(frozen=True)
class _Bases:
    """The bases of all shapes of a grid.

    Attributes:
        has_offset: Whether the mean of a curve is free.
        directions: ``[g, t]``, the bases, centred over the epochs where there is an offset, with norm 1; 0 where one
            is constant.
        norm: ``[g]``, what they were divided by.
        centre: ``[g]``, what was taken off before.
        shapes: ``[g, shape parameters]``.
    """

    has_offset: bool
    directions: Tensor
    norm: Tensor
    centre: Tensor
    shapes: Tensor

    def parameters(self, best: Tensor, mean: Tensor, length: Tensor, direction_mean: Tensor | float = 0.0) -> Tensor:
        """Puts together c (mean of the curve minus that of its basis), A and the shape.

        Args:
            best: ``[n]``, the row of each curve.
            mean: ``[n, 1]``, mean of each curve.
            length: ``[n]``, the factor of the direction.
            direction_mean: ``[n]``, mean of the direction over what was observed of a curve.
        """
        norm = self.norm[best]
        amplitude = (length / norm).clamp(0, LINEAR_BOUND)
        columns = [amplitude[:, None], self.shapes[best]]
        if self.has_offset:
            offset = mean[:, 0] - amplitude * (self.centre[best] + norm * direction_mean)
            columns.insert(0, offset.clamp(-LINEAR_BOUND, LINEAR_BOUND)[:, None])
        return torch.cat(columns, dim=1)


@lru_cache(maxsize=256)
def _bases(name: str, epochs: int, dtype: torch.dtype, device: torch.device) -> _Bases:
    """The bases of a family over epochs 1, 2, ...: the same for all curves that are as long, hence kept."""
    family = FAMILIES[name]
    grid = family.shape_grid(epochs)
    basis = family.grid_basis(torch.arange(1, epochs + 1, dtype=torch.float64), grid)
    centre = basis.mean(dim=1, keepdim=True) if family.has_offset else torch.zeros(len(grid), 1, dtype=basis.dtype)
    basis = basis - centre
    norm = basis.square().sum(dim=1)[:, None].sqrt()
    directions = torch.where(norm > _RELATIVE_ZERO, basis / norm.clamp(min=_RELATIVE_ZERO), 0)
    parts = (directions, norm[:, 0].clamp(min=_RELATIVE_ZERO), centre[:, 0], grid)
    return _Bases(family.has_offset, *(part.to(device=device, dtype=dtype) for part in parts))


def _solve_plain(bases: _Bases, targets: Tensor) -> Tensor:
    mean = targets.mean(dim=1, keepdim=True) * bases.has_offset
    length, best = ((targets - mean) @ bases.directions.T).max(dim=1)
    return bases.parameters(best, mean, length)


def _solve_weighted(bases: _Bases, targets: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(dim=1, keepdim=True).clamp(min=_RELATIVE_ZERO)
    mean = (weights * targets).sum(dim=1, keepdim=True) / total * bases.has_offset
    square = weights @ bases.directions.square().T
    direction_mean = weights @ bases.directions.T / total * bases.has_offset
    spread = square - total * direction_mean.square()
    # what is left of a difference of nearly equal numbers is rounding: such a basis is constant where it was observed
    spread = torch.where(spread > _RELATIVE_SPREAD * square, spread, torch.inf)
    product = (weights * (targets - mean)) @ bases.directions.T
    best = (product * spread.rsqrt()).argmax(dim=1, keepdim=True)
    length, direction_mean = ((values.gather(1, best)[:, 0]) for values in (product / spread, direction_mean))
    return bases.parameters(best[:, 0], mean, length, direction_mean)
