"""The sample-efficiency gain against simulation, its limits, and the class against the function."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretrain.metrics.classes import SampleEfficiencyGain
from foretrain.metrics.gain import expected_draws, gain_of_draws, largest_gain, reached, sample_efficiency_gain


@pytest.mark.parametrize(("size", "successes"), [(5, 1), (12, 3), (40, 40), (30, 7)])
def test_the_urn_formula_agrees_with_drawing(size: int, successes: int):
    generator = np.random.default_rng(0)
    total, trials = 0, 20_000
    for _ in range(trials):
        urn = generator.permutation([1] * successes + [0] * (size - successes))
        draws = 1
        while urn[draws - 1] == 0:
            draws += 1
        total += draws
    assert expected_draws(size, successes) == pytest.approx(total / trials, rel=0.02)


def test_what_never_happens_takes_infinitely_many_draws():
    assert expected_draws(10, 0) == np.inf
    gain = sample_efficiency_gain(space=[1.0, 2, 3], candidates=[2.0, 3], targets=[0.5, 1, 2])
    assert np.isnan(gain[0])
    assert gain[1] == -np.inf
    assert gain[2] == pytest.approx(10 * np.log10((4 / 3) / (3 / 2)))


def test_an_urn_cannot_hold_more_successes_than_networks():
    with pytest.raises(ValueError, match="cannot hold"):
        expected_draws(3, 4)


def test_gains_split_into_that_of_the_sampling_and_that_of_the_predictor():
    generator = np.random.default_rng(1)
    space = generator.random(1000)
    subset = np.sort(space)[:200]
    chosen = subset[:20]
    targets = [0.01, 0.05, 0.5]
    whole = sample_efficiency_gain(space, chosen, targets)
    parts = sample_efficiency_gain(space, subset, targets) + sample_efficiency_gain(subset, chosen, targets)
    np.testing.assert_allclose(whole, parts)
    assert gain_of_draws(7.0, 7.0) == 0


def test_no_choice_gains_more_than_the_largest_gain():
    space = np.arange(1, 101, dtype=float)
    targets = np.array([1.0, 3, 10, 60])
    limit = largest_gain(100, reached(space, targets), candidates=5)
    np.testing.assert_allclose(sample_efficiency_gain(space, space[:5], targets), limit)
    for seed in range(20):
        drawn = np.random.default_rng(seed).choice(space, 5, replace=False)
        assert (sample_efficiency_gain(space, drawn, targets) <= limit + 1e-12).all()


def test_the_class_gathers_batches():
    errors = torch.rand(50, generator=torch.Generator().manual_seed(0))
    proposed = errors < 0.3
    metric = SampleEfficiencyGain(target=0.1)
    metric.update(errors[:20], proposed[:20])
    metric.update(errors[20:], proposed[20:])
    expected = sample_efficiency_gain(errors.double().numpy(), errors[proposed].double().numpy(), [0.1])
    assert float(metric.compute()) == pytest.approx(expected[0], rel=1e-6)
