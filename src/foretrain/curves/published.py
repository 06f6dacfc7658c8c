"""The families as they were published, to fit them the way the source does: by gradient descent, in percent.

S. Mintal (master's thesis, section 2.1.3). Powers of negative numbers, logarithms of them and exponents beyond the
range of float32 are clamped, so that a curve which takes a wrong turn stays finite; within the range nothing is
changed. For fits that matter take the stable forms of :mod:`.families`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-6
_LARGEST_EXPONENT = 40.0


@dataclass(frozen=True)
class PublishedModel:
    """One published formula.

    Attributes:
        name: Its name; the same as in :data:`~foretrain.curves.families.FAMILIES`.
        formula: The formula.
        parameters: Names of its parameters, in order.
        function: ``f(x, *parameters)``; the arguments broadcast.
        has_zero: Whether it has a value at epoch 0.
    """

    name: str
    formula: str
    parameters: tuple[str, ...]
    function: Callable[..., Tensor]
    has_zero: bool

    def value(self, epochs: Tensor, parameters: Tensor) -> Tensor:
        """Returns the curves ``[n, t]`` at epochs ``[t]`` for parameters ``[n, p]``, percent."""
        return self.function(epochs, *parameters.T[..., None]).expand(len(parameters), len(epochs))


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    return _exp(exponent * _log(base))


def _log(argument: Tensor) -> Tensor:
    return torch.log(argument.clamp(min=_TINY))


def _exp(exponent: Tensor) -> Tensor:
    return torch.exp(exponent.clamp(-_LARGEST_EXPONENT, _LARGEST_EXPONENT))


def _pow3(x: Tensor, c: Tensor, a: Tensor, alpha: Tensor) -> Tensor:
    return c - a * _power(x, -alpha)


def _pow4(x: Tensor, c: Tensor, a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    return c - _power(a * x + b, -alpha)


def _exp4(x: Tensor, c: Tensor, a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    return c - _exp(-a * _power(x, alpha) + b)


def _janoschek(x: Tensor, alpha: Tensor, beta: Tensor, kappa: Tensor, delta: Tensor) -> Tensor:
    return alpha - (alpha - beta) * _exp(-kappa * _power(x, delta))


def _weibull(x: Tensor, alpha: Tensor, beta: Tensor, kappa: Tensor, delta: Tensor) -> Tensor:
    return alpha - (alpha - beta) * _exp(-_power(kappa * x, delta))


def _mmf(x: Tensor, alpha: Tensor, beta: Tensor, kappa: Tensor, delta: Tensor) -> Tensor:
    return alpha - (alpha - beta) / (1 + _power(kappa * x, delta))


def _log_power(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a / (1 + _exp(c * (_log(x) - b)))


def _vapor_pressure(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return _exp(a + b / x + c * _log(x))


def _log_log_linear(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return _log(a * _log(x) + b)


def _log_shift_scale(x: Tensor, alpha: Tensor, beta: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return alpha * _log(beta * x + i) + j


_FOUR = ("alpha", "beta", "kappa", "delta")

PUBLISHED: dict[str, PublishedModel] = {
    model.name: model
    for model in (
        PublishedModel("vapor_pressure", "exp(a + b/x + c log x)", ("a", "b", "c"), _vapor_pressure, False),
        PublishedModel("pow3", "c - a x^-alpha", ("c", "a", "alpha"), _pow3, False),
        PublishedModel("log_log_linear", "log(a log x + b)", ("a", "b"), _log_log_linear, False),
        PublishedModel("log_power", "a / (1 + (x / e^b)^c)", ("a", "b", "c"), _log_power, False),
        PublishedModel("pow4", "c - (a x + b)^-alpha", ("c", "a", "b", "alpha"), _pow4, True),
        PublishedModel("mmf", "alpha - (alpha - beta) / (1 + (kappa x)^delta)", _FOUR, _mmf, True),
        PublishedModel("exp4", "c - exp(-a x^alpha + b)", ("c", "a", "b", "alpha"), _exp4, True),
        PublishedModel("janoschek", "alpha - (alpha - beta) exp(-kappa x^delta)", _FOUR, _janoschek, True),
        PublishedModel("weibull", "alpha - (alpha - beta) exp(-(kappa x)^delta)", _FOUR, _weibull, True),
        PublishedModel(
            "log_shift_scale", "alpha log(beta x + i) + j", ("alpha", "beta", "i", "j"), _log_shift_scale, True
        ),
    )
}
"""The ten models of the source, by name."""

FINAL_ENSEMBLE = ("log_shift_scale", "vapor_pressure", "pow3")
"""The three that the source keeps."""
