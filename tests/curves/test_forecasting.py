"""Forecasts of final values: invariances, intervals, ends of the range, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretrain.curves import CurveForecaster, extrapolate
from foretrain.curves.baselines import best_so_far, curve_svr, last_value, mean_of_last_three, scipy_fits, sum_of_losses
from foretrain.curves.distribution import PROBABILITIES
from foretrain.curves.envelope import Envelopes
from foretrain.curves.growth import growth_alone, growth_in_batch
from foretrain.curves.summaries import CurveSummary
from foretrain.curves.zero_shot import validation_share
from foretrain.errors import DataError, ForetrainWarning

HORIZON = 40


def runs(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Validation and training accuracies with a jump at the end, as a cosine schedule brings it."""
    rng = np.random.default_rng(seed)
    x = np.arange(1, HORIZON + 1)
    ability = rng.uniform(0, 1, (n, 1))
    jump = (1 - np.cos(np.pi * x / HORIZON)) / 2
    train = 30 + 50 * ability * (1 - x**-0.5) + 8 * jump
    valid = train - 5 + 6 * jump + rng.normal(0, 4, (n, HORIZON)) * (1 - 0.9 * jump)
    return np.clip(valid, 0, 100), np.clip(train + rng.normal(0, 0.5, (n, HORIZON)), 0, 100)


def everything(forecast) -> list[np.ndarray]:
    return [forecast.score, forecast.mean, forecast.lower, forecast.upper, forecast.quantiles]


def settings_of(few: bool) -> dict[str, object]:
    valid, train = runs(seed=5)
    return {"finished": valid[:12], "finished_train": train[:12]} if few else {"pool": False}


@pytest.mark.parametrize("few", [False, True])
def test_a_batch_equals_its_runs_one_by_one_in_any_order(few: bool) -> None:
    valid, train = runs(n=7)
    valid, train = valid[:, :12], train[:, :12]
    valid[2, 8:] = train[2, 8:] = np.nan
    together = extrapolate(valid, HORIZON, train, **settings_of(few))
    order = np.random.default_rng(0).permutation(7)
    permuted = extrapolate(valid[order], HORIZON, train[order], **settings_of(few))
    for row in range(7):
        one = extrapolate(valid[row : row + 1], HORIZON, train[row : row + 1], **settings_of(few))
        for whole, single, other in zip(everything(together), everything(one), everything(permuted), strict=True):
            np.testing.assert_allclose(single[0], whole[row], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(other[list(order).index(row)], whole[row], rtol=1e-6, atol=1e-6)


ANYTHING = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.one_of(st.just(np.nan), st.floats(0, 100), st.sampled_from([0.0, 10.0, 100.0])),
).map(lambda curves: np.where(np.isnan(curves).all(axis=1, keepdims=True), 10.0, curves))


@settings(max_examples=40)
@given(ANYTHING, st.booleans())
def test_nothing_in_range_gives_a_forecast_that_is_not_finite(curves: np.ndarray, few: bool) -> None:
    finished = runs(n=6)[0][:, :10] if few else None
    forecast = CurveForecaster(10, finished).forecast(curves)
    for values in everything(forecast):
        assert np.isfinite(values).all()
    assert (forecast.lower <= forecast.mean + 1e-9).all()
    assert (forecast.mean <= forecast.upper + 1e-9).all()
    assert (np.diff(forecast.quantiles, axis=1) >= -1e-9).all()
    assert ((forecast.quantiles >= 0) & (forecast.quantiles <= 100)).all()


@pytest.mark.parametrize("few", [False, True])
def test_interval_ends_are_quantiles_and_wider_for_higher_levels(few: bool) -> None:
    valid, _ = runs()
    options = {"finished": valid[:19]} if few else {}
    forecasts = {level: extrapolate(valid[20:, :10], HORIZON, level=level, **options) for level in (0.5, 0.9)}
    place = np.flatnonzero(np.isclose(PROBABILITIES, 0.95))[0]
    np.testing.assert_allclose(forecasts[0.9].quantiles[:, place], forecasts[0.9].upper, atol=1e-9)
    assert (forecasts[0.9].lower < forecasts[0.5].lower).all()
    assert (forecasts[0.9].upper > forecasts[0.5].upper).all()


def test_few_shot_learns_the_jump_and_its_intervals_hold() -> None:
    valid, train = runs(n=200, seed=3)
    inside, errors, errors_zero = [], [], []
    for split in range(10):
        order = np.random.default_rng(split).permutation(200)
        done, rest = order[:30], order[30:]
        partial = (valid[rest, :10], HORIZON, train[rest, :10])
        forecast = extrapolate(*partial, valid[done], finished_train=train[done])
        final = valid[rest, -1]
        inside.append(np.mean((forecast.lower <= final) & (final <= forecast.upper)))
        errors.append(np.abs(forecast.mean - final).mean())
        errors_zero.append(np.abs(extrapolate(*partial).mean - final).mean())
    assert 0.85 <= np.mean(inside) <= 0.95
    assert np.mean(errors) < 0.5 * np.mean(errors_zero)


def test_a_run_far_from_all_finished_ones_is_foreseen_as_if_none_had_finished() -> None:
    valid, _ = runs(seed=7)
    finished = np.clip(valid[:20] / 4 + 70, 0, 100)
    far = np.full((1, 10), 12.0) + np.arange(10) / 5
    few, zero = extrapolate(far, HORIZON, finished=finished), extrapolate(far, HORIZON, pool=False)
    np.testing.assert_allclose(few.mean, zero.mean, atol=1e-6)
    alike = extrapolate(finished[:5, :10], HORIZON, finished=finished)
    assert np.abs(alike.mean - finished[:5, -1]).mean() < 3


def test_dips_of_single_epochs_hardly_change_the_exponent() -> None:
    x = np.arange(1, 25)
    smooth = 101 - 60 * x**-0.3
    dips = np.where(x % 5 == 0, 4.0, 0.0)
    summary = CurveSummary.of(np.stack([smooth, smooth - dips]))
    assert summary.exponent[0] == pytest.approx(0.3, abs=1e-6)
    assert summary.exponent[1] == pytest.approx(0.3, abs=0.05)


def test_zero_shot_intervals_grow_with_the_horizon() -> None:
    valid, _ = runs()
    widths = []
    for horizon in (12, 40, 400):
        forecast = extrapolate(valid[:, :10], horizon)
        widths.append((forecast.upper - forecast.lower).mean())
    assert widths[0] < widths[1] < widths[2]


def test_what_was_observed_at_the_horizon_is_the_forecast() -> None:
    valid, _ = runs(n=8)
    partial = valid.copy()
    partial[3:, 15:] = np.nan
    forecast = extrapolate(partial, HORIZON)
    np.testing.assert_array_equal(forecast.mean[:3], valid[:3, -1])
    np.testing.assert_array_equal(forecast.upper[:3], valid[:3, -1])
    assert (forecast.lower[3:] < forecast.upper[3:]).all()


def test_probabilities() -> None:
    valid, train = runs()
    forecast = extrapolate(valid[:, :15], HORIZON, train[:, :15])
    np.testing.assert_allclose(forecast.probability_above(forecast.quantiles[:, 9]), 1 - PROBABILITIES[9], atol=1e-9)
    assert (forecast.probability_above(-1) == 1).all()
    assert (forecast.probability_above(100) == 0).all()
    best = forecast.probability_best()
    assert best.sum() == pytest.approx(1)
    assert best[forecast.mean.argmax()] > best[forecast.mean.argmin()]


def test_a_loss_ranks_like_the_accuracy_that_falls_with_it() -> None:
    valid, train = runs()
    loss = -np.log(train / 100)
    by_loss = extrapolate(valid[:, :9], HORIZON, loss[:, :9], train_metric="loss")
    by_accuracy = extrapolate(valid[:, :9], HORIZON, train[:, :9])
    np.testing.assert_allclose(by_loss.score, by_accuracy.score)


def power_laws(exponents: np.ndarray, noise: float, epochs: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    level = rng.uniform(40, 60, (len(exponents), 1))
    curves = 101 - level * np.arange(1, epochs + 1) ** -exponents[:, None]
    return np.clip(curves - np.abs(rng.normal(0, noise, curves.shape)), 0, 100)


def growths(curves: np.ndarray, horizon: int = 200) -> tuple[np.ndarray, np.ndarray]:
    envelopes = Envelopes(curves)
    return growth_alone(envelopes, horizon), growth_in_batch(envelopes, horizon)


def test_like_curves_are_pooled_and_unlike_ones_are_not() -> None:
    alone, pooled = growths(power_laws(np.full(20, 0.5), noise=3))
    assert np.ptp(pooled) < 0.7 * np.ptp(alone)
    exponents = np.linspace(0.1, 0.9, 20)
    _, kept = growths(power_laws(exponents, noise=0.1))
    np.testing.assert_allclose(kept, exponents * np.log(200 / 30), rtol=0.2, atol=0.05)


def test_what_all_first_halves_got_wrong_is_mended_for_the_rest() -> None:
    slowing = 80 - 60 * np.exp(-np.arange(1, 21) / 3) - np.linspace(0, 5, 20)[:, None]
    alone, together = (extrapolate(slowing, 200, pool=pool).mean for pool in (False, True))
    assert (np.abs(together - slowing[:, -1]) < np.abs(alone - slowing[:, -1])).all()


@pytest.mark.parametrize("curves", [power_laws(np.full(4, 0.5), 3), power_laws(np.full(20, 0.5), 3)[:, :2]])
def test_what_cannot_be_tested_is_not_pooled(curves: np.ndarray) -> None:
    alone, kept = growths(curves)
    np.testing.assert_array_equal(kept, alone)


def test_the_less_noisy_kind_of_curve_ranks_more() -> None:
    valid, train = runs()
    calm = np.cumsum(np.ones_like(train), axis=1)
    noisy = calm + 8 * (np.arange(HORIZON) % 2)
    assert validation_share(noisy, calm + 0.5 * (np.arange(HORIZON) % 2)) < 0.01
    assert validation_share(calm + 0.5 * (np.arange(HORIZON) % 2), noisy) > 0.99
    assert validation_share(calm, calm) == validation_share(valid[:, :2], train[:, :2]) == 0.2
    ranked = extrapolate(noisy[:20], HORIZON, train[:20]).score
    np.testing.assert_array_equal(np.argsort(ranked), np.argsort(train[:20].max(axis=1)))


def test_without_training_curves_the_level_and_the_best_so_far_rank() -> None:
    valid, _ = runs()
    forecast = extrapolate(valid[:, :12], HORIZON)
    np.testing.assert_allclose(2 * forecast.score, Envelopes(valid[:, :12]).reached + valid[:, :12].max(axis=1))


@pytest.mark.parametrize(
    ("curves", "options", "message"),
    [
        ([[50, 120]], {}, r"curves: row 0 is 120 at epoch 2, outside 0 to 100\. Give accuracies in percent"),
        ([[50, 60], [np.nan, np.nan]], {}, "row 1 has no value"),
        ([[50] * 41], {}, "have 41 epochs, the horizon is epoch 40"),
        ([[50, 60]], {"train_curves": [[1, 2], [3, 4]]}, "has 2 training curves for 1 runs"),
        ([[50, 60]], {"finished": [[50, 60]]}, "finished: row 0 ends at epoch 2, before the horizon 40"),
        ([[50, 60]], {"finished": np.full((4, 40), 50.0)}, "has 4 runs, at least 5 are needed"),
    ],
)
def test_bad_input_is_named(curves, options, message: str) -> None:
    with pytest.raises(DataError, match=message):
        extrapolate(curves, HORIZON, **options)


def test_a_forecaster_says_the_same_each_time_and_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    valid, train = runs(n=30)
    ragged = valid[20:, :12].copy()
    ragged[:4, 6:] = np.nan
    once = extrapolate(ragged, HORIZON, train[20:, :12], valid[:20], finished_train=train[:20])
    forecaster = CurveForecaster(HORIZON, valid[:20], train[:20])
    for ready in (forecaster, forecaster.calibrate([12, 6])):
        again = ready.forecast(ragged, train[20:, :12])
        for first, second in zip(everything(once), everything(again), strict=True):
            np.testing.assert_array_equal(first, second)
    alone = extrapolate(ragged, HORIZON, finished=valid[:20])
    np.testing.assert_array_equal(forecaster.forecast(ragged).mean, alone.mean)
    monkeypatch.setattr("foretrain.curves.forecasting._MOST_NUMBERS", 1)
    np.testing.assert_array_equal(forecaster.calibrate().forecast(ragged).mean, alone.mean)
    assert len(forecaster._calibrations) == 1


def test_calibrations_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    valid, _ = runs(n=30)
    forecaster = CurveForecaster(HORIZON, valid[:20]).calibrate(range(5, 9))
    monkeypatch.setattr("foretrain.curves.forecasting.Calibration.fit", None)
    for length in range(5, 9):
        forecaster.forecast(valid[20:, :length])


@pytest.mark.parametrize("few", [False, True])
def test_fractions_are_warned_of(few: bool) -> None:
    valid, _ = runs(n=12)
    with pytest.warns(ForetrainWarning, match=r"curves: no value is above 0\.\d+, which looks like fractions"):
        extrapolate(valid[:, :9] / 100, HORIZON, finished=valid if few else None)
    with pytest.warns(ForetrainWarning, match="finished: no value"):
        CurveForecaster(HORIZON, valid / 100)


def test_impossible_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="level is 1"):
        extrapolate([[50, 60]], HORIZON, level=1)


def test_baselines_by_hand() -> None:
    curves = np.array([[10.0, 50, 40, np.nan], [20, np.nan, 30, 25]])
    np.testing.assert_array_equal(last_value(curves), [40, 25])
    np.testing.assert_allclose(mean_of_last_three(curves), [100 / 3, 27.5])
    np.testing.assert_array_equal(best_so_far(curves), [50, 30])
    np.testing.assert_array_equal(sum_of_losses(np.array([[3.0, 2, 1], [5, 5, 5]])), [-6, -15])
    np.testing.assert_array_equal(sum_of_losses(np.array([[3.0, 2, 1], [5, 5, 5]]), 2), [-3, -10])


def test_scipy_and_support_vectors_foresee_easy_curves() -> None:
    x = np.arange(1, 21)
    curves = 80 - np.array([[30.0], [50.0]]) * x**-0.8
    forecast, failed = scipy_fits(curves, 40, ("pow3", "ilog2"))
    assert failed <= 2
    np.testing.assert_allclose(forecast, [78, 78], atol=5)
    valid, _ = runs(n=100)
    svr = curve_svr(valid[:60, :10], valid[:60, -1], valid[60:, :10])
    assert np.corrcoef(svr, valid[60:, -1])[0, 1] > 0.5
