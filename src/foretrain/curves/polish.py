"""Damped Gauss-Newton steps for all curves at once (Levenberg, Marquardt)."""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.curves.families import Family

_FIRST_DAMPING = 1e-2
_LESS, _MORE = 0.3, 4.0
_LEAST_DAMPING = 1e-9
_TINY = 1e-12


def polished(family: Family, epochs: Tensor, curves: Tensor, weights: Tensor, parameters: Tensor, steps: int) -> Tensor:
    """Returns parameters ``[n, p]`` whose weighted squared error is that of the given ones or less.

    Each curve has a damping of its own, which falls when its step was taken and rises when it was not. Steps end at
    the family's bounds.

    Args:
        family: What is fitted.
        epochs: ``[t]``.
        curves: ``[n, t]``, without NaN.
        weights: ``[n, t]``, 0 for what does not count.
        parameters: ``[n, p]``, where to start.
        steps: Number of steps.
    """
    lower, upper = family.bounds.to(parameters).unbind(1)
    damping = torch.full_like(parameters[:, 0], _FIRST_DAMPING)
    error = _error(family, epochs, curves, weights, parameters)
    for _ in range(steps):
        jacobian = family.jacobian(epochs, parameters)
        residual = curves - family.value(epochs, parameters)
        weighted = weights[..., None] * jacobian
        normal = weighted.mT @ jacobian
        # scaled to unit diagonal: parameters differ in unit by many orders of magnitude
        scale = normal.diagonal(dim1=1, dim2=2).clamp(min=_TINY).rsqrt()
        matrix = normal * scale[:, :, None] * scale[:, None, :] + torch.diag_embed(damping[:, None].expand_as(scale))
        gradient = (weighted.mT @ residual[..., None])[..., 0] * scale
        step, failed = torch.linalg.solve_ex(matrix, gradient)
        tried = (parameters + step * scale).clamp(lower, upper)
        tried_error = _error(family, epochs, curves, weights, tried)
        better = (tried_error < error) & (failed == 0)
        parameters = torch.where(better[:, None], tried, parameters)
        error = torch.where(better, tried_error, error)
        damping = torch.where(better, damping * _LESS, damping * _MORE).clamp(_LEAST_DAMPING, 1 / _LEAST_DAMPING)
    return parameters


def _error(family: Family, epochs: Tensor, curves: Tensor, weights: Tensor, parameters: Tensor) -> Tensor:
    return (weights * (family.value(epochs, parameters) - curves).square()).sum(dim=1)
