"""What holds for every predictor of accuracies, on every space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny import FACTORIES, SPACES, networks

from foretrain.errors import CheckpointError, DataError, ForetrainWarning
from foretrain.metrics.rank import spearman
from foretrain.predictors.persistence import load_predictor, save_predictor
from foretrain.spaces.nasbench201.space import NASBench201

everyone = pytest.mark.parametrize("name", FACTORIES)
foreseeing = pytest.mark.parametrize("name", [name for name in FACTORIES if name != "ranker"])
CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "predictor").glob("*.yaml"))
SPACE = SPACES["nasbench201"]


@pytest.fixture(scope="module")
def fitted():
    """Every predictor, fitted on the same thirty networks."""
    archs, accuracies = networks(SPACE, 30)
    return {name: make(SPACE, seed=1).fit(archs, accuracies) for name, make in FACTORIES.items()}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_of_a_class_that_is_tested_here(config):
    target = yaml.safe_load(config.read_text()).get("_target_", "")
    if target.startswith("foretrain.predictors."):
        made = {getattr(make, "func", make).__name__ for make in FACTORIES.values()}
        assert target.rpartition(".")[2] in made


@foreseeing
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_foresees_percentages_on_every_space(name, space):
    archs, accuracies = networks(space, 14)
    forecast = FACTORIES[name](space, seed=0).fit(archs[:10], accuracies[:10]).predict(archs[10:])
    assert len(forecast) == 4
    assert np.isfinite(forecast.score).all()
    assert ((forecast.mean >= 0) & (forecast.mean <= 100)).all()
    if forecast.lower is not None:
        assert (forecast.lower <= forecast.mean).all()
        assert (forecast.mean <= forecast.upper).all()


@everyone
def test_forecasts_have_an_interval_from_as_many_networks_as_is_said(name):
    predictor = FACTORIES[name](SPACE, seed=0)
    archs, accuracies = networks(SPACE, 12)
    for known in (9, 10):
        forecast = predictor.fit(archs[:known], accuracies[:known]).predict(archs[10:])
        promised = predictor.interval_from is not None and known >= predictor.interval_from
        assert (forecast.lower is not None) == promised


@everyone
def test_forecasts_do_not_depend_on_the_others_in_the_batch(name, fitted):
    archs, _ = networks(SPACE, 9, seed=5)
    together = fitted[name].predict(archs)
    alone = [fitted[name].predict(archs[place]) for place in range(9)]
    if together.mean is not None:
        np.testing.assert_allclose(together.mean, np.concatenate([one.mean for one in alone]), rtol=1e-4)
    np.testing.assert_allclose(together.score, np.concatenate([one.score for one in alone]), rtol=1e-3, atol=1e-4)
    assert len(fitted[name].predict(archs[:0])) == 0


@everyone
def test_saved_and_loaded_says_the_same_numbers(name, fitted, tmp_path):
    archs, _ = networks(SPACE, 9, seed=5)
    save_predictor(tmp_path / "predictor.pt", fitted[name])
    torch.load(tmp_path / "predictor.pt", weights_only=True)
    loaded = load_predictor(tmp_path / "predictor.pt", NASBench201())
    before, after = fitted[name].predict(archs), loaded.predict(archs)
    np.testing.assert_array_equal(after.score, before.score)
    assert (after.mean is None) == (before.mean is None)
    if before.mean is not None:
        np.testing.assert_array_equal(after.mean, before.mean)


@everyone
def test_same_seed_same_numbers_and_global_random_state_untouched(name, fitted):
    archs, accuracies = networks(SPACE, 30)
    others, _ = networks(SPACE, 5, seed=5)
    state = torch.get_rng_state()
    again = FACTORIES[name](SPACE, seed=1).fit(archs, accuracies).predict(others)
    np.testing.assert_array_equal(again.score, fitted[name].predict(others).score)
    assert torch.equal(torch.get_rng_state(), state)


@everyone
def test_two_networks_are_enough(name):
    archs, _ = networks(SPACE, 6)
    forecast = FACTORIES[name](SPACE).fit(archs[:2], [70.0, 80.0]).predict(archs)
    assert np.isfinite(forecast.score).all()
    assert forecast.mean is None or np.isfinite(forecast.mean).all()


def test_constant_accuracies_are_no_trouble_for_a_ranker():
    archs, _ = networks(SPACE, 12)
    assert np.isfinite(FACTORIES["ranker"](SPACE).fit(archs, np.full(12, 73.0)).predict(archs).score).all()


@foreseeing
def test_constant_accuracies_are_foreseen_again(name):
    archs, _ = networks(SPACE, 12)
    forecast = FACTORIES[name](SPACE).fit(archs, np.full(12, 73.0)).predict(archs)
    np.testing.assert_allclose(forecast.mean, 73.0, atol=3.0)


@everyone
def test_networks_without_accuracy_are_left_out_with_a_warning(name):
    archs, accuracies = networks(SPACE, 12)
    holes = accuracies.copy()
    holes[:2] = np.nan
    with pytest.warns(ForetrainWarning, match="2 of 12 networks have no accuracy"):
        with_holes = FACTORIES[name](SPACE).fit(archs, holes)
    without = FACTORIES[name](SPACE).fit(archs[2:], accuracies[2:])
    np.testing.assert_array_equal(with_holes.predict(archs).score, without.predict(archs).score)


@everyone
def test_duplicates_with_different_accuracies_are_no_trouble(name):
    archs, accuracies = networks(SPACE, 8)
    twice = type(archs).cat([archs, archs])
    forecast = FACTORIES[name](SPACE).fit(twice, np.concatenate([accuracies, accuracies + 1])).predict(archs)
    assert np.isfinite(forecast.score).all()


@everyone
def test_wrong_input_is_refused(name, fitted):
    archs, accuracies = networks(SPACE, 5)
    cells, _ = networks(SPACES["nasbench101"], 5)
    with pytest.raises(DataError, match="the space nasbench201 has Cells201"):
        fitted[name].predict(cells)
    with pytest.raises(DataError, match="Cells101"):
        FACTORIES[name](SPACE).fit(cells, accuracies)
    with pytest.raises(DataError, match=r"shape \(4,\) for 5 networks"):
        FACTORIES[name](SPACE).fit(archs, accuracies[:4])
    with pytest.raises(DataError, match="1 networks with a known accuracy"):
        FACTORIES[name](SPACE).fit(archs[:1], accuracies[:1])
    with pytest.raises(DataError, match="was not fitted"):
        FACTORIES[name](SPACE).predict(archs)


@pytest.mark.parametrize("name", ["linear", "forest", "boosting", "xgboost", "lightgbm", "process", "auto"])
def test_quick_predictors_learn_the_rule(name):
    archs, accuracies = networks(SPACE, 160)
    forecast = FACTORIES[name](SPACE).fit(archs[:100], accuracies[:100]).predict(archs[100:])
    assert spearman(accuracies[100:], forecast.score) > 0.75


@everyone
def test_a_predictor_of_another_space_or_skeleton_is_not_loaded_in_silence(name, fitted, tmp_path):
    path = tmp_path / "predictor.pt"
    save_predictor(path, fitted[name])
    with pytest.raises(CheckpointError, match=r"fitted on .*NASBench201, not on .*NASBench101"):
        load_predictor(path, SPACES["nasbench101"])
    with pytest.warns(ForetrainWarning, match="trust the ranking at most"):
        load_predictor(path, NASBench201(channels=8))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"class": "os.system"}, r"os.system lies outside foretrain\.predictors"),
        ({"class": "foretrain.predictors.persistence.torch"}, "is no class of that module"),
        ({"class": "foretrain.predictors.persistence.load_predictor"}, "is no class of that module"),
        ({"__kind__": "list", "items": [1]}, "holds no predictor"),
    ],
)
def test_classes_from_elsewhere_are_never_built(fitted, tmp_path, change, match):
    path = tmp_path / "predictor.pt"
    save_predictor(path, fitted["linear"])
    content = torch.load(path, weights_only=True)
    content["predictor"] |= change
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=match):
        load_predictor(path, SPACE)
