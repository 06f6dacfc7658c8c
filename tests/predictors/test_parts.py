"""The parts of predictors, against references written with plain loops or other libraries."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor as ReferenceProcess
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from tiny import SHORT, SPACES, networks

from foretrain.benchmarks.table import open_benchmark
from foretrain.errors import ConfigError, DataError, ForetrainWarning
from foretrain.predictors.auto import Auto, mix_greedily
from foretrain.predictors.autoencoder import SequenceAutoencoder, reconstruction_accuracy, to_tokens
from foretrain.predictors.emprox import EmProx, kernel_regression_loss
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.gaussian_process import KERNELS, Evidence, fit_process
from foretrain.predictors.linear import BayesianLinear
from foretrain.predictors.nao import NAO
from foretrain.predictors.neighbours import weighted_neighbours
from foretrain.predictors.posterior import Posterior
from foretrain.predictors.regressor import Labelled
from foretrain.predictors.targets import Target
from foretrain.predictors.training import FitSettings
from foretrain.predictors.trees import RandomForest, Trees
from foretrain.predictors.weisfeiler_lehman import WeisfeilerLehmanLinear

SPACE = SPACES["nasbench201"]
RANDOM = np.random.default_rng(0)


def test_weighted_neighbours_are_the_formula():
    embeddings, known, values = torch.randn(4, 3), torch.randn(7, 3), torch.rand(7)
    found = weighted_neighbours(embeddings, known, values, 3)
    for place, expected in enumerate(found.tolist()):
        measured = [float((embeddings[place] - other).norm()) for other in known]
        pairs = sorted(zip(measured, values.tolist(), strict=True))[:3]
        weights = [1 / distance for distance, _ in pairs]
        assert expected == pytest.approx(
            sum(w * v for w, (_, v) in zip(weights, pairs, strict=True)) / sum(weights), rel=1e-5
        )


def test_neighbours_at_the_very_place_are_the_answer():
    known = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    found = weighted_neighbours(known, known, torch.tensor([1.0, 3.0, 7.0]), 3)
    assert found.tolist() == [2.0, 2.0, 7.0]


def test_neighbours_do_not_depend_on_order():
    known = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([1.0, 2.0, 6.0])
    here = torch.zeros(1, 2)
    assert weighted_neighbours(here, known, values, 1) == weighted_neighbours(here, known.flip(0), values.flip(0), 1)


def test_emprox_foresees_what_it_knows_and_refuses_too_many_neighbours():
    archs, accuracies = networks(SPACE, 12)
    _, first = np.unique(archs.ops.numpy(), axis=0, return_index=True)
    archs, accuracies = archs[torch.from_numpy(first)], accuracies[first]
    predictor = EmProx(SPACE, neighbours=3, width=8, settings=SHORT).fit(archs, accuracies)
    np.testing.assert_allclose(predictor.predict(archs).mean, accuracies, rtol=1e-6)
    with pytest.raises(DataError, match="networks, and 13 neighbours are asked for"):
        EmProx(SPACE, neighbours=13).fit(archs, accuracies)


def test_embeddings_have_length_one():
    archs, accuracies = networks(SPACE, 10)
    predictor = EmProx(SPACE, neighbours=2, width=8, settings=SHORT).fit(archs, accuracies)
    torch.testing.assert_close(predictor.embed(archs).norm(dim=1), torch.ones(10))


def test_kernel_regression_loss_is_the_formula():
    embeddings, target = torch.randn(5, 2), torch.randn(5)
    total = 0.0
    for i in range(5):
        weights = [
            0.0 if i == j else float(torch.exp(-(embeddings[i] - embeddings[j]).square().sum() / 0.5)) for j in range(5)
        ]
        total += float(target[i] - sum(w * t for w, t in zip(weights, target, strict=True)) / sum(weights)) ** 2
    found = kernel_regression_loss(embeddings, target, torch.log(torch.tensor(0.5)))
    assert float(found) == pytest.approx(total / 5, rel=1e-4)


def test_autoencoder_learns_to_reconstruct_cells_it_never_saw():
    archs, accuracies = networks(SPACE, 260)
    settings = FitSettings(epochs=60, batch_size=50, learning_rate=1e-2)
    predictor = EmProx(SPACE, neighbours=2, width=16, sequences=["compact_sequence"], settings=settings)
    predictor.fit(archs[:200], accuracies[:200])
    tokens, _ = reconstruction_accuracy(predictor.learned.network, predictor.tokens(archs[200:]))
    untrained, _ = reconstruction_accuracy(SequenceAutoencoder(9, 16).eval(), to_tokens(SPACE, archs[200:]))
    assert tokens > 0.8
    assert untrained < 0.4


def test_gradient_ascent_raises_the_score_and_decodes_to_valid_cells():
    archs, accuracies = networks(SPACE, 120)
    predictor = NAO(SPACE, width=16, settings=FitSettings(epochs=60, learning_rate=1e-2)).fit(archs, accuracies)
    network, tokens = predictor.learned.network, to_tokens(SPACE, archs)
    before = network.score(network.encode(tokens).embedding)
    after = network.score(network.ascend(tokens, step=1.0, steps=5).embedding)
    assert float((after > before).float().mean()) > 0.9
    improved = predictor.improve(archs)
    assert SPACE.parse(SPACE.format(improved)).ops.shape == improved.ops.shape


def test_ascent_needs_a_space_that_turns_sequences_back():
    archs, accuracies = networks(SPACES["nasbench101"], 10)
    predictor = NAO(SPACES["nasbench101"], width=8, settings=SHORT).fit(archs, accuracies)
    with pytest.raises(ConfigError, match="cannot turn it back"):
        predictor.improve(archs)


@pytest.mark.skipif("FORETRAIN_DATA" not in os.environ, reason="needs the real tables")
@pytest.mark.parametrize(("sequences", "step"), [("compact_sequence", 1.0), ("vertex_sequence", 3.0)])
def test_gradient_ascent_raises_true_accuracy(sequences, step):
    benchmark = open_benchmark("nasbench201")
    accuracy = benchmark.accuracy(None, "cifar100", "valid")
    rows = benchmark.split(200, 60, seed=3)
    archs = benchmark.architectures
    settings = FitSettings(epochs=100, learning_rate=3e-3)
    predictor = NAO(benchmark.space, seed=0, sequences=[sequences], settings=settings)
    predictor.fit(archs[torch.from_numpy(rows.train)], accuracy[rows.train])
    gains = []
    for row in rows.test:
        found = predictor.improve(archs[torch.tensor([row])], step)
        gains += [accuracy[place] - accuracy[row] for place in benchmark.rows(found)]
    assert len(gains) > 20
    assert np.median(gains) > 1
    assert np.mean(np.array(gains) > 0) > 0.75


def test_what_the_head_holds_for_no_better_is_not_proposed():
    archs, accuracies = networks(SPACE, 60)
    predictor = NAO(SPACE, width=8, settings=SHORT).fit(archs, accuracies)
    with pytest.warns(ForetrainWarning, match="gives back 0% of the architectures that it learned from"):
        found = predictor.improve(archs)
    foreseen = predictor.predict(found).score
    assert (foreseen > predictor.predict(archs).score.min()).all()


def test_decoding_is_the_inverse_of_the_sequences():
    cells = SPACE.enumerate()
    found, valid = SPACE.decode(to_tokens(SPACE, cells), "compact_sequence")
    assert valid.all()
    assert torch.equal(found.ops, cells.ops)
    live, valid = SPACE.decode(SPACE.encode(cells, "vertex_sequence"), "vertex_sequence")
    assert valid.all()
    assert torch.equal(live.ops, SPACE.prune(cells).ops)
    assert not SPACE.decode(torch.tensor([[3, 3, 3, 3, 3, 2], [3, 3, 3, 3, 3, 8]]), "compact_sequence")[1].any()


@pytest.mark.parametrize("name", KERNELS)
def test_process_agrees_with_scikit_learn(name):
    columns, others = RANDOM.normal(size=(30, 4)), RANDOM.normal(size=(9, 4))
    values = np.sin(columns[:, 0]) + 0.1 * RANDOM.normal(size=30)
    model = fit_process(columns, values, name, relevance=1.0)
    length = 1 / np.sqrt(model.rates)
    assert length[0] < length[1:].min()  # the only column that matters
    shape = {"rbf": RBF(length)}.get(name) or Matern(length, nu=int(name[-2]) / 2)
    kernel = ConstantKernel(model.variances[0]) * shape + WhiteKernel(model.noise + 1e-8)
    reference = ReferenceProcess(kernel, optimizer=None, alpha=0).fit(columns, values)
    mean, deviation = reference.predict(others, return_std=True)
    np.testing.assert_allclose(model(others).mean, mean, rtol=1e-6)
    np.testing.assert_allclose(model(others).deviation, deviation, rtol=1e-5)


@pytest.mark.parametrize("relevance", [0.0, 0.7])
@pytest.mark.parametrize("name", KERNELS)
def test_gradient_of_the_evidence(name, relevance):
    columns, values = RANDOM.normal(size=(12, 5)), RANDOM.normal(size=12)
    evidence = Evidence(columns, values, name, np.array([0, 0, 1, 1, 1]), relevance)
    point = RANDOM.normal(size=len(evidence.start)) / 2 - 0.3
    _, gradient = evidence(point)
    assert len(gradient) == len(evidence.bounds) == (10 if relevance else 5)
    for place, step in enumerate(np.eye(len(point)) * 1e-5):
        above, below = (evidence(point + sign * step)[0] for sign in (1, -1))
        assert gradient[place] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_a_process_of_groups_is_the_sum_of_their_kernels():
    columns = RANDOM.normal(size=(25, 3))
    values = np.sin(2 * columns[:, 0]) + 0.5 * columns[:, 2]
    model = fit_process(columns, values, "matern32", np.array([0, 0, 4]))
    kernel = WhiteKernel(model.noise + 1e-8)
    covariance = kernel(columns)
    for group, variance in enumerate(model.variances):
        here = model.groups == group
        covariance += variance * Matern(1 / np.sqrt(model.rates[here]), nu=1.5)(columns[:, here])
    np.testing.assert_allclose(model.factor @ model.factor.T, covariance, rtol=1e-8)
    np.testing.assert_allclose(covariance @ model.weights, values, atol=1e-8)


def test_copied_trees_say_what_scikit_learn_says():
    columns, values = RANDOM.normal(size=(60, 5)), RANDOM.normal(size=60)
    others = RANDOM.normal(size=(40, 5))
    forest = RandomForestRegressor(7, random_state=0).fit(columns, values)
    np.testing.assert_allclose(Trees.of(forest.estimators_, 0.0, 1 / 7)(others).mean, forest.predict(others))
    boosted = GradientBoostingRegressor(n_estimators=9, init="zero", random_state=0).fit(columns, values)
    copied = Trees.of(list(boosted.estimators_[:, 0]), 0.0, 0.1)
    np.testing.assert_allclose(copied(others).mean, boosted.predict(others))


@pytest.mark.parametrize("transform", ["accuracy", "log_error"])
def test_targets_are_standardised_monotone_and_turned_back(transform):
    accuracies = np.sort(RANDOM.uniform(10, 99, 50))
    target = Target.of(accuracies, transform)
    values = target.forward(accuracies)
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1)
    assert (np.diff(values) > 0).all()
    np.testing.assert_allclose(target.backward(values), accuracies)
    assert 0 <= target.backward(np.array([-50.0]))[0] <= target.backward(np.array([50.0]))[0] <= 100


def test_missing_scores_become_the_training_median_and_are_reported():
    archs, accuracies = networks(SPACE, 6)
    scores = {"a": [1.0, 2.0, np.nan, 4.0, 5.0, -np.inf], "b": np.arange(6.0)}
    predictor = BayesianLinear(SPACE, encodings=[]).fit(archs, accuracies, scores)
    assert predictor.fill_report == {"a": 2}
    assert predictor.learned.table.medians.tolist() == [3.0, 2.5]
    with_hole = predictor.predict(archs[:1], {"a": [np.nan], "b": [0.0]})
    assert with_hole.score == predictor.predict(archs[:1], {"b": [0.0], "a": [3.0]}).score
    with pytest.raises(DataError, match="lack the column b"):
        predictor.predict(archs[:1], {"a": [1.0]})


def test_a_table_of_nothing_is_refused():
    archs, accuracies = networks(SPACE, 4)
    with pytest.raises(ConfigError, match="nothing to learn from"):
        FeatureTable.of(SPACE, [], Labelled(archs, accuracies, {}), use_scores=True)


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_help_whatever_their_sign(sign):
    archs, accuracies = networks(SPACE, 120)
    scores = {"good": sign * accuracies + RANDOM.normal(0, 0.1, 120), "noise": RANDOM.normal(size=120)}
    train = {name: column[:60] for name, column in scores.items()}
    test = {name: column[60:] for name, column in scores.items()}
    errors = []
    for given in ((train, test), (None, None)):
        forest = RandomForest(SPACE, encodings=["one_hot"]).fit(archs[:60], accuracies[:60], given[0])
        errors.append(np.abs(forest.predict(archs[60:], given[1]).mean - accuracies[60:]).mean())
    assert errors[0] < 0.5 * errors[1]


def test_greedy_mixture_takes_what_is_right():
    truth = RANDOM.normal(size=400)
    weights = mix_greedily({"right": truth, "wrong": -truth}, truth)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["right"] == pytest.approx((400 + 30) / 460)


def test_auto_says_what_it_chose_and_why():
    archs, accuracies = networks(SPACE, 60)
    candidates = {
        "good": partial(BayesianLinear, encodings=["path_features"]),
        "bad": partial(BayesianLinear, encodings=["ordinal"]),
    }
    predictor = Auto(SPACE, candidates=candidates).fit(archs, accuracies)
    assert predictor.choice.startswith("Mixed of ")
    assert "good" in predictor.choice.split(",")[0]
    assert predictor.learned.errors["good"] < predictor.learned.errors["bad"]
    in_a_hurry = Auto(SPACE, candidates=candidates, budget_seconds=1e-9).fit(archs, accuracies)
    assert "Not tried within 1e-09 s: bad" in in_a_hurry.choice
    assert "too few" in Auto(SPACE, candidates=candidates).fit(archs[:4], accuracies[:4]).choice
    with pytest.raises(ConfigError, match="none are given"):
        Auto(SPACE, candidates={})


def test_weights_drawn_from_the_posterior_have_its_mean_and_covariance():
    design, values = RANDOM.normal(size=(5, 8)), RANDOM.normal(size=5)
    posterior = Posterior.of(design, values - values.mean())
    precision = design.T @ design / posterior.noise + np.eye(8) / posterior.signal
    covariance = np.linalg.inv(precision)
    mean = covariance @ design.T @ (values - values.mean()) / posterior.noise
    np.testing.assert_allclose(posterior.mean(), mean, rtol=1e-8, atol=1e-10)
    generator = torch.Generator().manual_seed(0)
    draws = np.array([posterior.draw(generator) for _ in range(20_000)])
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((draws.mean(0) - mean) / spread, 0, atol=0.04)
    np.testing.assert_allclose(
        np.cov(draws.T) / np.outer(spread, spread), covariance / np.outer(spread, spread), atol=0.05
    )


def test_drawn_functions_agree_where_networks_were_learned_and_differ_elsewhere():
    space = SPACES["nasbench201"]
    archs, accuracies = networks(space, 60)
    predictor = WeisfeilerLehmanLinear(space).fit(archs[:30], accuracies[:30])
    generator = torch.Generator().manual_seed(0)
    draws = np.array([predictor.draw(archs, generator) for _ in range(50)])
    assert draws.shape == (50, 60)
    assert draws[:, :30].std(0).mean() < 0.8 * draws[:, 30:].std(0).mean()
    np.testing.assert_allclose(draws.mean(0), predictor.predict(archs).score, atol=5 * draws.std(0).max() / 50**0.5)


def test_a_predictor_without_a_fit_has_no_functions_to_draw():
    space = SPACES["nasbench201"]
    with pytest.raises(DataError, match="Call fit"):
        WeisfeilerLehmanLinear(space).draw(networks(space, 3)[0], torch.Generator())
