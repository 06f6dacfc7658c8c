"""The closed-form fit: recovery, invariances, missing values, bad input, independent references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from foretrain.curves.families import DISTINCT, FAMILIES
from foretrain.curves.grid import GridFitter


def noisy_curves(n: int = 12, t: int = 20, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    rng = np.random.default_rng(seed)
    x = np.arange(1, t + 1)
    curves = rng.uniform(60, 90, (n, 1)) - rng.uniform(20, 50, (n, 1)) * x ** -rng.uniform(0.3, 1.2, (n, 1))
    return torch.tensor(np.clip(curves + rng.normal(0, 2, (n, t)), 0, 100), dtype=dtype)


def squared_error(name: str, curve: Tensor, shape: list[float]) -> float:
    """The best squared error for one shape, by NumPy's least squares with the sign of A by hand."""
    family = FAMILIES[name]
    x = torch.arange(1, len(curve) + 1, dtype=torch.float64)
    basis = family.basis(x, *torch.tensor(shape, dtype=torch.float64)).expand(len(x)).numpy()
    columns = [np.ones(len(x)), basis] if family.has_offset else [basis]
    solution = np.linalg.lstsq(np.stack(columns, 1), curve.numpy(), rcond=None)[0]
    if solution[-1] < 0:
        value = np.full(len(x), curve.mean()) if family.has_offset else np.zeros(len(x))
    else:
        value = np.stack(columns, 1) @ solution
    return float(((value - curve.numpy()) ** 2).sum())


@pytest.mark.parametrize("name", [name for name in DISTINCT if name != "log_log_linear"])
def test_the_fit_is_the_best_of_the_grid(name: str) -> None:
    curves = noisy_curves(n=3)
    fits = GridFitter([name]).fit(curves)
    for curve, error in zip(curves, fits.error[name], strict=True):
        best = min(squared_error(name, curve, shape) for shape in FAMILIES[name].shape_grid(20).tolist())
        assert float(error) ** 2 * len(curve) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("name", DISTINCT)
def test_known_parameters_are_recovered_from_noise_free_curves(name: str) -> None:
    family = FAMILIES[name]
    truth = {
        "pow3": [80, 50, 0.7],
        "pow4": [85, 60, 0.8, 2.0],
        "exp4": [78, 60, 6.0, 0.9],
        "mmf": [20, 62, 5.0, 1.3],
        "log_power": [82, 3.0, 0.9],
        "vapor_pressure": [60, -1.5, 0.06],
        "log_log_linear": [1.3, 0.2],
        "ilog2": [90, 30],
        "log_shift_scale": [30, 11, 1.5],
    }[name]
    parameters = torch.tensor([truth], dtype=torch.float64)
    curve = family.value(torch.arange(1, 31, dtype=torch.float64), parameters)
    found = GridFitter([name], polish_steps=200).fit(curve).parameters[name]
    torch.testing.assert_close(found, parameters, rtol=2e-3, atol=2e-3)


def test_polishing_never_makes_a_fit_worse() -> None:
    curves = noisy_curves(n=40)
    plain, polished = GridFitter().fit(curves), GridFitter(polish_steps=8).fit(curves)
    for name in DISTINCT:
        assert (polished.error[name] <= plain.error[name] + 1e-9).all()


@pytest.mark.parametrize("options", [{}, {"reweightings": 2}, {"polish_steps": 3}])
def test_a_batch_equals_its_curves_one_by_one_in_any_order(options: dict[str, int]) -> None:
    curves = noisy_curves(n=9)
    curves[4, 7] = torch.nan
    fitter = GridFitter(**options)
    together = fitter.fit(curves).at([20, 100])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    permuted = fitter.fit(curves[order]).at([20, 100])
    for name, values in together.items():
        torch.testing.assert_close(permuted[name], values[order])
        for row in range(9):
            torch.testing.assert_close(fitter.fit(curves[row : row + 1]).at([20, 100])[name][0], values[row])


@pytest.mark.parametrize("options", [{}, {"reweightings": 2}, {"polish_steps": 3}])
def test_curves_of_different_lengths_are_fitted_as_if_each_were_cut_at_its_end(options: dict[str, int]) -> None:
    curves = noisy_curves(n=8)
    lengths = [20, 5, 12, 12, 1, 20, 2, 9]
    for row, length in enumerate(lengths):
        curves[row, length:] = torch.nan
    curves[2, 6] = torch.nan
    fitter = GridFitter(**options)
    together = fitter.fit(curves).at([20, 100])
    for row, length in enumerate(lengths):
        for name, values in fitter.fit(curves[row : row + 1, :length]).at([20, 100]).items():
            torch.testing.assert_close(together[name][row], values[0])


def test_a_shift_of_the_curve_shifts_the_fit() -> None:
    curves = noisy_curves()
    names = [name for name in DISTINCT if FAMILIES[name].has_offset and not FAMILIES[name].link.is_curved]
    fitter = GridFitter(names)
    plain, shifted = fitter.fit(curves).at([20, 100]), fitter.fit(curves - 7).at([20, 100])
    for name in names:
        torch.testing.assert_close(shifted[name], plain[name] - 7)


def test_missing_values_are_as_if_they_had_never_been() -> None:
    curves = noisy_curves(n=5)
    changed = curves.clone()
    changed[:, 3] = torch.nan
    weights = torch.ones_like(curves)
    weights[:, 3] = 0
    missing, ignored = GridFitter().fit(changed), GridFitter().fit(curves, weights)
    for name in DISTINCT:
        torch.testing.assert_close(missing.parameters[name], ignored.parameters[name])


def test_equal_weights_change_nothing() -> None:
    curves = noisy_curves(n=5)
    plain, weighted = GridFitter().fit(curves), GridFitter().fit(curves, torch.full((20,), 3.0))
    for name in DISTINCT:
        torch.testing.assert_close(weighted.at([50])[name], plain.at([50])[name], rtol=1e-4, atol=1e-4)


def test_outliers_move_a_reweighted_fit_less() -> None:
    x = torch.arange(1, 31, dtype=torch.float64)
    clean = FAMILIES["pow3"].value(x, torch.tensor([[80, 50, 0.8]], dtype=torch.float64))
    spoiled = clean + 0.3 * torch.sin(3 * x)
    spoiled[0, [12, 25]] -= 40
    plain, robust = (GridFitter(["pow3"], reweightings=k).fit(spoiled).at([200])["pow3"] for k in (0, 8))
    target = FAMILIES["pow3"].value(torch.tensor([200.0]).double(), torch.tensor([[80, 50, 0.8]]).double())
    assert (robust - target).abs() < 0.3 * (plain - target).abs()


def test_single_and_double_precision_agree() -> None:
    curves = noisy_curves(n=50)
    double, single = GridFitter().fit(curves), GridFitter().fit(curves.float())
    for name in DISTINCT:
        torch.testing.assert_close(single.error[name].double(), double.error[name], rtol=2e-3, atol=2e-3)


def test_families_that_share_a_fit_get_the_same_one() -> None:
    fits = GridFitter(["janoschek", "weibull", "exp4"]).fit(noisy_curves())
    assert list(fits.parameters) == ["janoschek", "weibull", "exp4"]
    assert fits.parameters["weibull"] is fits.parameters["exp4"]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve family 'pow5'"):
        GridFitter(["pow5"])


BAD = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.one_of(st.just(np.float32("nan")), st.floats(0, 100, width=32), st.sampled_from([0.0, 50.0, 100.0])),
)


@settings(max_examples=60)
@given(BAD)
def test_nothing_in_range_gives_a_value_that_is_not_finite(curves: np.ndarray) -> None:
    for fitter in (GridFitter(), GridFitter(reweightings=1, polish_steps=2)):
        fits = fitter.fit(torch.from_numpy(curves))
        for name, values in fits.at([1, 12, 200, 100_000]).items():
            assert values.isfinite().all(), name
            assert fits.error[name].isfinite().all(), name


@pytest.mark.parametrize("curve", [[50.0], [0.0] * 5, [100.0] * 9, [90.0, 70, 40, 10], [float("nan"), 3, float("nan")]])
def test_constants_single_points_and_falling_curves_stay_level(curve: list[float]) -> None:
    values = torch.tensor([curve])
    fits = GridFitter([name for name in DISTINCT if FAMILIES[name].has_offset]).fit(values)
    for name, value in fits.at([1, 500]).items():
        if not FAMILIES[name].link.is_curved:
            torch.testing.assert_close(value, values.nanmean().expand(1, 2), rtol=1e-4, atol=1e-3)


def test_no_curves_give_no_fits() -> None:
    fits = GridFitter().fit(torch.empty(0, 20))
    assert all(values.shape == (0, 1) for values in fits.at([200]).values())
