"""The parametric families of learning curves, in one table.

A family maps the epoch x = 1, 2, ... to an accuracy in percent. Published forms diverge, divide by zero or hold more
parameters than data can tell apart; what is fitted here is one stable form for all of them,

    f(x) = c + A g(x; shape),   A >= 0,

with a basis g that never falls in x. Offset c and amplitude A are linear, so that for a fixed shape the best of them
are known in closed form. Families without an offset have c = 0. One family is linear behind a link: f = link(c + A g).

Sources: Domhan, Springenberg and Hutter, "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by
Extrapolation of Learning Curves" (IJCAI 2015), table 1, for all but ``log_shift_scale``, which is S. Mintal's (master's
thesis, section 2.1.3).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

LINEAR_BOUND = 1e4
"""Offsets lie in +- this bound, amplitudes between 0 and it, in percent."""

_LARGEST_EXPONENT = 5.0  # exp(-exp(5)) is 3e-65: nothing is lost beyond it
_SMALLEST_ARGUMENT = 1e-3  # of the logarithm of log_log_linear


Grid = Callable[[float], Tensor]


@dataclass(frozen=True)
class ShapeParameter:
    """A nonlinear parameter.

    Attributes:
        name: Its name in the stable form.
        lower: Smallest admissible value.
        upper: Largest admissible value.
        grid: Gives the values ``float64[g]`` to try on curves whose last observed epoch is the argument.
    """

    name: str
    lower: float
    upper: float
    grid: Grid


def evenly(first: float, last: float, count: int) -> Grid:
    """A grid of evenly spaced values."""
    return lambda _: torch.linspace(first, last, count, dtype=torch.float64)


def geometrically(first: float, last: float, count: int) -> Grid:
    """A grid of values with a constant ratio."""
    return lambda _: torch.logspace(math.log10(first), math.log10(last), count, dtype=torch.float64)


def in_epochs(first: float, last_share: float, count: int, start: float = 0.0) -> Grid:
    """A grid of times: ``start`` plus values of a constant ratio, up to a multiple of the last observed epoch."""
    return lambda length: start + geometrically(first, max(last_share * length, 2 * first), count)(length)


class Link(ABC):
    """An increasing function that a family is linear behind."""

    is_curved = True

    @abstractmethod
    def forward(self, inner: Tensor) -> Tensor:
        """Returns the value in percent."""

    @abstractmethod
    def inverse(self, value: Tensor) -> Tensor:
        """Returns what the linear part should be for a value in percent."""

    @abstractmethod
    def slope(self, inner: Tensor) -> Tensor:
        """Returns the derivative of :meth:`forward`."""


class Identity(Link):
    """The link of nearly all families."""

    is_curved = False

    def forward(self, inner: Tensor) -> Tensor:
        """Returns its argument."""
        return inner

    def inverse(self, value: Tensor) -> Tensor:
        """Returns its argument."""
        return value

    def slope(self, inner: Tensor) -> Tensor:
        """Returns ones."""
        return torch.ones_like(inner)


IDENTITY = Identity()


class Logarithm(Link):
    """``100 log(u)``, in 0..1 as the family is published: in percent it would need arguments of e^80."""

    def forward(self, inner: Tensor) -> Tensor:
        """Returns ``100 log(max(u, 1e-3))``."""
        return 100 * inner.clamp(min=_SMALLEST_ARGUMENT).log()

    def inverse(self, value: Tensor) -> Tensor:
        """Returns ``exp(y / 100)``."""
        return (value / 100).exp()

    def slope(self, inner: Tensor) -> Tensor:
        """Returns ``100 / u``, and 0 where the argument is clamped."""
        return torch.where(inner > _SMALLEST_ARGUMENT, 100 / inner.clamp(min=_SMALLEST_ARGUMENT), 0)


@dataclass(frozen=True)
class Family:
    """One family of curves.

    Its parameters are in the order of :attr:`parameters`: offset (where it has one), amplitude, then the shape.

    Attributes:
        name: Its published name.
        formula: The published form.
        stable: The form that is fitted.
        shape: The nonlinear parameters.
        basis: ``g(x, *shape)``; the arguments broadcast.
        gradients: Derivatives of the basis by each shape parameter, ``(x, *shape) -> one tensor each``.
        has_offset: Whether c is free.
        link: What the family is linear behind.
        shares_fit_of: The family with the same stable form whose fit is this one's too, or None.
    """

    name: str
    formula: str
    stable: str
    shape: tuple[ShapeParameter, ...]
    basis: Callable[..., Tensor]
    gradients: Callable[..., tuple[Tensor, ...]]
    has_offset: bool = True
    link: Link = IDENTITY
    shares_fit_of: str | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters, in order."""
        return (*(("c",) if self.has_offset else ()), "A", *(item.name for item in self.shape))

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the linear parameters."""
        return self.parameters[: 1 + self.has_offset]

    @property
    def bounds(self) -> Tensor:
        """``float64[parameters, 2]``: smallest and largest admissible value of each parameter."""
        offset = [(-LINEAR_BOUND, LINEAR_BOUND)] if self.has_offset else []
        rows = [*offset, (0.0, LINEAR_BOUND), *((item.lower, item.upper) for item in self.shape)]
        return torch.tensor(rows, dtype=torch.float64)

    def value(self, epochs: Tensor, parameters: Tensor) -> Tensor:
        """Returns the curve.

        Args:
            epochs: ``[t]``, from 1.
            parameters: ``[..., parameters]``, within the bounds.

        Returns:
            ``[..., t]``, percent.
        """
        return self.link.forward(self._inner(epochs, parameters))

    def jacobian(self, epochs: Tensor, parameters: Tensor) -> Tensor:
        """Returns the derivatives of :meth:`value` by the parameters, ``[..., t, parameters]``."""
        shape = self._split(parameters)
        basis, amplitude = self.basis(epochs, *shape), parameters[..., int(self.has_offset), None]
        inner = self._inner(epochs, parameters)
        offset = [torch.ones_like(inner)] if self.has_offset else []
        columns = [*offset, basis, *(amplitude * gradient for gradient in self.gradients(epochs, *shape))]
        return self.link.slope(inner)[..., None] * torch.stack([c.expand_as(inner) for c in columns], dim=-1)

    def shape_grid(self, length: float) -> Tensor:
        """Returns ``float64[g, shape parameters]``: all combinations of the parameters' own grids."""
        if not self.shape:
            return torch.empty(1, 0, dtype=torch.float64)
        return torch.cartesian_prod(*(item.grid(length) for item in self.shape)).reshape(-1, len(self.shape))

    def grid_basis(self, epochs: Tensor, grid: Tensor) -> Tensor:
        """Returns the basis ``[g, t]`` of every row of a grid of shapes ``[g, shape parameters]``."""
        return self.basis(epochs, *grid.T[..., None]).expand(len(grid), len(epochs))

    def _split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        return tuple(item[..., None] for item in parameters[..., 1 + self.has_offset :].unbind(-1))

    def _inner(self, epochs: Tensor, parameters: Tensor) -> Tensor:
        inner = parameters[..., int(self.has_offset), None] * self.basis(epochs, *self._split(parameters))
        return parameters[..., :1] + inner if self.has_offset else inner


def _power(x: Tensor, alpha: Tensor, shift: Tensor | float = 0.0) -> Tensor:
    return -torch.exp(-alpha * torch.log(x + shift))


def _power_gradients(x: Tensor, alpha: Tensor, shift: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    power = -_power(x, alpha, shift)
    return torch.log(x + shift) * power, alpha * power / (x + shift)


def _log_ratio(x: Tensor, tau: Tensor, delta: Tensor) -> Tensor:
    return delta * (torch.log(x) - torch.log(tau))


def _log_ratio_gradients(x: Tensor, tau: Tensor, delta: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """By the chain rule, from the derivative of the basis by z = delta (log x - log tau)."""
    return -slope * delta / tau, slope * (torch.log(x) - torch.log(tau))


def _stretched(x: Tensor, tau: Tensor, delta: Tensor) -> Tensor:
    return -torch.exp(-torch.exp(_log_ratio(x, tau, delta).clamp(max=_LARGEST_EXPONENT)))


def _stretched_gradients(x: Tensor, tau: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    z = _log_ratio(x, tau, delta)
    power = torch.exp(z.clamp(max=_LARGEST_EXPONENT))
    slope = torch.where(z < _LARGEST_EXPONENT, power * torch.exp(-power), 0)
    return _log_ratio_gradients(x, tau, delta, slope)


def _hill(x: Tensor, tau: Tensor, delta: Tensor) -> Tensor:
    return torch.sigmoid(_log_ratio(x, tau, delta))


def _hill_gradients(x: Tensor, tau: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    value = _hill(x, tau, delta)
    return _log_ratio_gradients(x, tau, delta, value * (1 - value))


def _vapor(x: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.exp(b / x + c * torch.log(x))


def _vapor_gradients(x: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    value = _vapor(x, b, c)
    return value / x, value * torch.log(x)


_ALPHA = ShapeParameter("alpha", 0.01, 8.0, geometrically(0.05, 4.0, 32))
_ALPHA_OF_TWO = replace(_ALPHA, grid=geometrically(0.05, 4.0, 16))
_SHIFT = ShapeParameter("B", -0.95, 1e6, in_epochs(0.1, 3.0, 12, start=-1.0))
_TAU = ShapeParameter("tau", 0.01, 1e6, in_epochs(0.3, 3.0, 16))
_DELTA = ShapeParameter("delta", 0.05, 10.0, geometrically(0.25, 4.0, 12))

_EXP4 = Family(
    "exp4",
    "c - exp(-a x^alpha + b)",
    "c - A exp(-exp(min(z, 5))), z = delta (log x - log tau)",
    (_TAU, _DELTA),
    _stretched,
    _stretched_gradients,
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "pow3",
            "c - a x^-alpha",
            "c - A exp(-alpha log x)",
            (_ALPHA,),
            _power,
            lambda x, alpha: _power_gradients(x, alpha)[:1],
        ),
        Family(
            "pow4",
            "c - (a x + b)^-alpha",
            "c - A exp(-alpha log(x + B))",
            (_ALPHA_OF_TWO, _SHIFT),
            _power,
            _power_gradients,
        ),
        _EXP4,
        replace(
            _EXP4,
            name="janoschek",
            formula="alpha - (alpha - beta) exp(-kappa x^delta)",
            shares_fit_of="exp4",
        ),
        replace(
            _EXP4,
            name="weibull",
            formula="alpha - (alpha - beta) exp(-(kappa x)^delta)",
            shares_fit_of="exp4",
        ),
        Family(
            "mmf",
            "alpha - (alpha - beta) / (1 + (kappa x)^delta)",
            "c + A sigmoid(z), z = delta (log x - log tau)",
            (_TAU, _DELTA),
            _hill,
            _hill_gradients,
        ),
        Family(
            "log_power",
            "a / (1 + (x / e^b)^c)",
            "A sigmoid(z), z = delta (log x - log tau)",
            (_TAU, _DELTA),
            _hill,
            _hill_gradients,
            has_offset=False,
        ),
        Family(
            "vapor_pressure",
            "exp(a + b/x + c log x)",
            "A exp(b/x + c log x)",
            (
                ShapeParameter("b", -20.0, 0.0, evenly(-8.0, 0.0, 17)),
                ShapeParameter("c", -0.2, 0.5, evenly(-0.1, 0.5, 13)),
            ),
            _vapor,
            _vapor_gradients,
            has_offset=False,
        ),
        Family(
            "log_log_linear",
            "log(a log x + b)",
            "100 log(max(c + A log x, 1e-3))",
            (),
            torch.log,
            lambda _: (),
            link=Logarithm(),
        ),
        Family("ilog2", "c - a / log x", "c - A / log(x + 1)", (), lambda x: -1 / torch.log(x + 1), lambda _: ()),
        Family(
            "log_shift_scale",
            "alpha log(beta x + i) + j",
            "c + A log(x + B)",
            (_SHIFT,),
            lambda x, shift: torch.log(x + shift),
            lambda x, shift: (1 / (x + shift),),
        ),
    )
}
"""All families by their published names."""

DISTINCT = tuple(name for name, family in FAMILIES.items() if family.shares_fit_of is None)
"""The names of those with a fit of their own: a mean over all names would count the stretched exponential thrice."""
