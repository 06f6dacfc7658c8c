"""The source's fit by gradient descent."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer

from foretrain.benchmarks.batches import CurveBatch
from foretrain.curves.module import (
    CurveFitModule,
    PrefitInitialisation,
    StandardInitialisation,
    TwoPointInitialisation,
    fit_by_gradient,
    fit_in_stages,
)
from foretrain.curves.published import FINAL_ENSEMBLE, PUBLISHED
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.tables import IndexLoader


def curves(n: int = 4, t: int = 12) -> torch.Tensor:
    x = torch.arange(1.0, t + 1)
    return 70 + 5 * torch.arange(float(n))[:, None] - 40 * x**-0.7


def by_hand(curve: torch.Tensor, name: str, steps: int, rate: float) -> torch.Tensor:
    """One curve and one model alone, from ones, with Adam written out."""
    parameters = torch.ones(len(PUBLISHED[name].parameters), requires_grad=True)
    x = torch.arange(1.0, len(curve) + 1)
    first = second = torch.zeros_like(parameters)
    for step in range(1, steps + 1):
        loss = ((PUBLISHED[name].function(x, *parameters) - curve) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, parameters)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        change = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        parameters = (parameters - rate * change).detach().requires_grad_()
    return parameters.detach()


@pytest.mark.parametrize("name", FINAL_ENSEMBLE)
def test_fits_together_are_the_fits_alone(name: str) -> None:
    module = CurveFitModule(4, FINAL_ENSEMBLE, 0.2)
    fit_by_gradient(module, curves(), 30)
    for row in range(4):
        alone = by_hand(curves()[row], name, 30, 0.2)
        torch.testing.assert_close(module.parameters_of[name][row].detach(), alone, rtol=1e-3, atol=1e-3)


def test_the_trainer_takes_the_same_steps() -> None:
    loop, trained = CurveFitModule(4, FINAL_ENSEMBLE, 0.1), CurveFitModule(4, FINAL_ENSEMBLE, 0.1)
    fit_by_gradient(loop, curves(), 5)
    batch = CurveBatch(curves(), torch.zeros(4), torch.arange(4))
    with quiet_lightning():
        runner = Trainer(
            max_steps=5, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
        )
        runner.fit(trained, IndexLoader(batch, lambda: [torch.arange(4)]))
    for name in FINAL_ENSEMBLE:
        torch.testing.assert_close(trained.parameters_of[name], loop.parameters_of[name])


def test_stages_are_one_fit() -> None:
    whole, paused = CurveFitModule(4, ["pow3"], 0.2), CurveFitModule(4, ["pow3"], 0.2)
    fit_by_gradient(whole, curves(), 20)
    assert list(fit_in_stages(paused, curves(), [5, 6, 20])) == [5, 6, 20]
    torch.testing.assert_close(whole.parameters_of["pow3"], paused.parameters_of["pow3"])


@pytest.mark.parametrize(
    "initialisation", [StandardInitialisation(), TwoPointInitialisation(10, 50), PrefitInitialisation(0.5)]
)
def test_fits_of_all_models_stay_finite(initialisation) -> None:
    start = initialisation.start(curves(), list(PUBLISHED), 40)
    module = CurveFitModule(4, list(PUBLISHED), 0.5, start)
    fit_by_gradient(module, curves(), 60)
    assert module(torch.tensor([1.0, 50.0, 200.0])).isfinite().all()


def test_a_prefit_starts_near_the_average_curve() -> None:
    start = PrefitInitialisation(0.5, 0.2).start(curves(), ["pow3"], 2000)
    module = CurveFitModule(4, ["pow3"], 0.05, start)
    error = (module(torch.arange(1.0, 13))[0].mean(0) - curves().mean(0)).abs().mean()
    assert error < 3
    assert PrefitInitialisation(0.25).steps_left(100) == 75


def test_missing_values_do_not_count() -> None:
    values = curves()
    values[1, 4] = torch.nan
    module = CurveFitModule(4, ["pow3"], 0.2)
    expected = (module(torch.arange(1.0, 13))[0, 1] - curves()[1]).square()
    expected = expected[torch.arange(12) != 4].mean()
    torch.testing.assert_close(module.loss(torch.arange(1.0, 13), values)[0, 1], expected)
