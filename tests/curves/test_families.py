"""The table of curve families: values, derivatives, bounds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foretrain.curves.families import DISTINCT, FAMILIES, Family
from foretrain.curves.published import PUBLISHED

NAMES = list(FAMILIES)
EPOCHS = torch.tensor([1.0, 2.0, 3.0, 7.0, 20.0, 90.0, 1000.0, 100_000.0], dtype=torch.float64)


def admissible(family: Family, count: int = 64, seed: int = 0) -> Tensor:
    """Parameters inside the bounds, the ends of each among them."""
    lower, upper = family.bounds.unbind(1)
    uniform = torch.rand(count, len(lower), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    uniform[:8] = uniform[:8].round()
    return lower + uniform * (upper - lower)


def plausible(family: Family, count: int = 6, seed: int = 1) -> Tensor:
    """Parameters whose curves are not flat: linear ones of ordinary size, shapes of the grid."""
    draw = torch.Generator().manual_seed(seed)
    grid = family.shape_grid(30)
    shape = grid[torch.randint(len(grid), (count,), generator=draw)]
    amplitude = 1 + torch.rand(count, 1, generator=draw, dtype=torch.float64)
    offset = [2 + torch.rand(count, 1, generator=draw, dtype=torch.float64)] if family.has_offset else []
    return torch.cat([*offset, amplitude, shape], dim=1)


class _WithOwnJacobian(torch.autograd.Function):
    """A family whose backward pass is its own Jacobian, for gradcheck."""

    @staticmethod
    def forward(context, parameters, name):
        context.save_for_backward(parameters)
        context.name = name
        return FAMILIES[name].value(EPOCHS, parameters)

    @staticmethod
    def backward(context, gradient):
        jacobian = FAMILIES[context.name].jacobian(EPOCHS, *context.saved_tensors)
        return (gradient[..., None] * jacobian).sum(dim=-2), None


@pytest.mark.parametrize("name", NAMES)
def test_the_jacobian_is_the_derivative(name: str) -> None:
    parameters = plausible(FAMILIES[name]).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: _WithOwnJacobian.apply(p, name), parameters, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives_are_finite_for_every_admissible_parameter(name: str, dtype: torch.dtype) -> None:
    family = FAMILIES[name]
    parameters, epochs = admissible(family).to(dtype), EPOCHS.to(dtype)
    assert family.value(epochs, parameters).isfinite().all()
    assert family.jacobian(epochs, parameters).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_curves_never_fall_on_the_grid_but_for_pressures_that_may(name: str) -> None:
    family = FAMILIES[name]
    basis = family.grid_basis(torch.arange(1.0, 200, dtype=torch.float64), family.shape_grid(30))
    if name == "vapor_pressure":
        basis = basis[family.shape_grid(30)[:, 1] >= 0]
    assert (basis.diff(dim=1) >= -1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_grid_lies_within_the_bounds(name: str) -> None:
    family = FAMILIES[name]
    lower, upper = family.bounds[len(family.linear) :].unbind(1)
    for length in (1, 20, 5000):
        grid = family.shape_grid(length)
        assert ((grid >= lower) & (grid <= upper)).all()


def test_eleven_names_nine_fits() -> None:
    assert len(FAMILIES) == 11
    assert len(DISTINCT) == 9
    assert FAMILIES.keys() - PUBLISHED.keys() == {"ilog2"}


def in_published_parameters(name: str, p: list[float]) -> list[float]:
    """The published parameters of the same curve, worked out by hand."""
    if name in ("pow3", "pow4", "exp4", "mmf"):
        c, a, *shape = p
    return {
        "pow3": lambda: [c, a, shape[0]],
        "pow4": lambda: [c, a ** (-1 / shape[0]), shape[1] * a ** (-1 / shape[0]), shape[0]],
        "exp4": lambda: [c, shape[0] ** -shape[1], math.log(a), shape[1]],
        "janoschek": lambda: [p[0], p[0] - p[1], p[2] ** -p[3], p[3]],
        "weibull": lambda: [p[0], p[0] - p[1], 1 / p[2], p[3]],
        "mmf": lambda: [c + a, c, 1 / shape[0], shape[1]],
        "log_power": lambda: [p[0], math.log(p[1]), -p[2]],
        "vapor_pressure": lambda: [math.log(p[0]), p[1], p[2]],
        "log_log_linear": lambda: [p[1], p[0]],
        "log_shift_scale": lambda: [p[1], 1.0, p[2], p[0]],
    }[name]()


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_stable_and_published_forms_are_the_same_curves(name: str) -> None:
    epochs = torch.arange(1.0, 60, dtype=torch.float64)
    parameters = plausible(FAMILIES[name], count=10)
    published = torch.tensor([in_published_parameters(name, row) for row in parameters.tolist()], dtype=torch.float64)
    expected = PUBLISHED[name].value(epochs, published)
    if name == "log_log_linear":
        expected = 100 * expected
    inside = (expected.abs() < 1e6) & (EPOCHS.max() > 0)
    found = FAMILIES[name].value(epochs, parameters)
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-6, atol=1e-5)
