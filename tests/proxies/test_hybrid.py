"""The hybrid, its sweep and the learned combination."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foretrain.proxies.combination import MonotoneRidge, normal_scores
from foretrain.proxies.hybrid import PUBLISHED, Hybrid, choose_scores, combine, normalised, smallest_pair, sweep_weights

WEIGHTS = np.arange(0, 3.5, 0.5)


def population(seed: int = 0, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    accuracy = draw.normal(90, 3, n).round(1)
    din, ddn = (np.exp(accuracy / 10 + draw.normal(0, 0.3, n)) for _ in range(2))
    din[5:8], ddn[5:8] = din[5], ddn[5]
    ddn[:3] = -np.inf
    return normalised(din), normalised(ddn), accuracy


def slow_spearman(din, ddn, accuracy, alpha, beta):
    scores = []
    for d, e in zip(din, ddn, strict=True):
        scores.append(-1.0 if np.isnan(e) or np.isnan(d) else alpha * d + beta * e if d <= e else d)
    return scores, stats.spearmanr(accuracy, scores).statistic


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_the_sweep_equals_a_loop_over_scipy():
    din, ddn, accuracy = population()
    sweep = sweep_weights(din, ddn, accuracy, WEIGHTS)
    taus = {}
    for i, alpha in enumerate(WEIGHTS):
        for j, beta in enumerate(WEIGHTS):
            scores, expected = slow_spearman(din, ddn, accuracy, alpha, beta)
            assert sweep.spearman[i, j] == pytest.approx(expected, abs=1e-12, nan_ok=True), (alpha, beta)
            taus[alpha, beta] = stats.kendalltau(accuracy, scores).statistic
    assert sweep.best_kendall == pytest.approx(max(taus.values()))
    best = [pair for pair, tau in taus.items() if tau > max(taus.values()) - 1e-9]
    assert (sweep.alpha, sweep.beta) == min(best, key=lambda pair: (sum(pair), pair[0]))


def test_the_smallest_pair_reaches_the_best_to_two_digits():
    din, ddn, accuracy = population(1)
    sweep = sweep_weights(din, ddn, accuracy, WEIGHTS)
    alpha, beta = smallest_pair(din, ddn, accuracy, sweep)
    scores, rho = slow_spearman(din, ddn, accuracy, alpha, beta)
    assert round(rho, 2) == round(np.nanmax(sweep.spearman), 2)
    assert round(stats.kendalltau(accuracy, scores).statistic, 2) == round(sweep.best_kendall, 2)
    assert alpha + beta <= sweep.alpha + sweep.beta


def test_the_formula():
    din, ddn = np.array([0.2, 0.9, 0.5, np.nan]), np.array([0.4, 0.3, 0.5, 0.1])
    np.testing.assert_allclose(combine(din, ddn, 0.5, 1.5), [0.7, 0.9, 1.0, np.nan])
    assert Hybrid("logsynflow", "nwot", 0.5, 1.5) == PUBLISHED
    scores = {"logsynflow": np.array([1.0, 2.0, 4.0]), "nwot": np.array([5.0, 10.0, np.inf])}
    np.testing.assert_allclose(PUBLISHED(scores), [0.125 + 0.75, 0.25 + 1.5, np.nan])


def test_scores_are_chosen_by_both_correlations():
    accuracy = np.arange(10.0)
    good, bad, negative = accuracy + 1, accuracy[::-1] + 1, accuracy - 100
    assert choose_scores({"a": bad, "b": good}, {"c": negative, "d": bad}, accuracy) == ("b", "d")
    with pytest.raises(ValueError, match="none of c"):
        choose_scores({"b": good}, {"c": negative}, accuracy)
    with pytest.raises(ValueError, match="positive maximum"):
        normalised(negative)


def test_the_combination_is_monotone_and_needs_no_labels():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=400)
    scores = np.stack([truth + draw.normal(size=400), np.exp(truth + draw.normal(size=400)), draw.normal(size=400)], 1)
    scores[0, 1] = np.nan
    features = normal_scores(scores)
    assert features[0, 1] == features[:, 1].min()
    plain = MonotoneRidge().fit(features[:0], truth[:0])
    np.testing.assert_allclose(plain.weights, 1 / 3)
    fitted = MonotoneRidge().fit(features[:100], truth[:100])
    assert (fitted.weights >= 0).all()
    assert fitted.weights[2] < min(fitted.weights[:2])
    quality = [stats.spearmanr(model.predict(features[100:]), truth[100:]).statistic for model in (plain, fitted)]
    assert quality[1] > quality[0]


def test_normal_scores_do_not_depend_on_the_unit():
    values = np.random.default_rng(0).normal(size=30)
    np.testing.assert_allclose(normal_scores(values), normal_scores(np.exp(3 * values)))
