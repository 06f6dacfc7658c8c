"""Judging searches: answers worked out by hand, and the study on a small benchmark."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from foretrain.errors import ConfigError
from foretrain.evaluation.search import SearchStudy
from foretrain.evaluation.search.judging import Convergence, Gains, Targets, convergence_table, moments, search_metrics
from foretrain.evaluation.search.report import error_rows, gain_rows
from foretrain.evaluation.search.runs import Searched
from foretrain.search.baselines import RandomSearch
from foretrain.search.guided import PredictorSearch
from foretrain.search.samplers import Whole

SEEN = np.array([90.0, 80, 70, 60, 50, 40, 30, 20, 10])
JUDGED = np.array([85.0, 88, 70, 60, 50, 40, 30, 20, 10])
POOL = SimpleNamespace(seen=SEEN, judged=JUDGED)
TARGETS = np.array([10.0, 35.0, 5.0])
"""Errors that one, three and no network reach."""


@pytest.fixture
def searched() -> Searched:
    """Two runs; two networks at random in each, then rounds of two. Five networks were chosen from in each round."""
    return Searched.of(
        [
            {"members": [8, 4, 1, 2, 0], "rounds": [0, 0, 1, 1, 2], "sampled": 10, "reached": [1, 4, 0]},
            {"members": [3, 7, 6, 1, 5], "rounds": [0, 0, 1, 1, 2], "sampled": 10, "reached": [0, 2, 0]},
        ]
    )


def test_the_urn_of_candidates_leaves_the_first_round_out(searched: Searched):
    assert searched.proposed().tolist() == [1, 2, 0, 6, 1, 5]
    assert searched.sampled == 20
    assert searched.reached.tolist() == [1, 6, 0]


def test_gains_are_those_of_the_urns(searched: Searched):
    gains = Gains.of(searched, POOL, TARGETS)
    # The space: 9 networks, of which 1 and 3 reach the targets. Candidates: 6, of which 1 (0) and 4 (0, 1, 1, 2).
    space, candidates = np.array([10 / 2, 10 / 4]), np.array([7 / 2, 7 / 5])
    np.testing.assert_allclose(gains.whole[:2], 10 * np.log10(space / candidates))
    # Chosen from: 20, of which 1 and 6.
    sampled = np.array([21 / 2, 21 / 7])
    np.testing.assert_allclose(gains.sampling[:2], 10 * np.log10(space / sampled))
    np.testing.assert_allclose(gains.predictor[:2], 10 * np.log10(sampled / candidates))
    # At most 1 network a run can reach the first target, so 2 of the 6 do; all 6 can reach the second.
    np.testing.assert_allclose(gains.limit[:2], 10 * np.log10(space / np.array([7 / 3, 7 / 7])))
    assert np.isnan(gains.whole[2])
    part = gains.part(slice(1, 2))
    assert part.whole.tolist() == [gains.whole[1]]


def test_a_target_that_no_candidate_reaches_has_no_gain():
    records = [{"members": [8, 7, 6], "rounds": [0, 1, 1], "sampled": 4, "reached": [0]}]
    gains = Gains.of(Searched.of(records), POOL, np.array([10.0]))
    assert gains.whole.tolist() == [-np.inf]
    assert gains.sampling.tolist() == [-np.inf]


def test_the_best_so_far_is_what_looks_best_and_is_judged_apart(searched: Searched):
    found = Convergence.of(searched, POOL, budget=6)
    assert found.seen.tolist() == [[90, 50, 20, 20, 10, 10], [40, 40, 40, 20, 20, 20]]
    # Network 0 looks best but is judged worse than network 1.
    assert found.judged.tolist() == [[90, 50, 12, 12, 15, 15], [40, 40, 40, 12, 12, 12]]


def test_the_table_has_mean_deviation_and_interval(searched: Searched):
    table = convergence_table({"toy": Convergence.of(searched, POOL, budget=5)}, budget=5)
    (row,) = table.to_dict("records")
    assert (row["method"], row["networks"]) == ("toy", 5)
    assert row["seen"] == 15
    assert row["seen_sd"] == pytest.approx(50**0.5)
    # Student's t of one degree of freedom: 12.706; the standard error is 5.
    assert row["seen_lower"] == pytest.approx(15 - 63.53, abs=0.01)
    assert row["seen_upper"] == pytest.approx(15 + 63.53, abs=0.01)
    assert row["judged"] == 13.5
    assert error_rows(table, "seen").to_dict("records") == [{"method": "toy", "after 5": "15.00 [-48.53, 78.53]"}]


def test_one_run_has_no_interval():
    records = [{"members": [2, 1], "rounds": [0, 1], "sampled": 3, "reached": [0]}]
    table = convergence_table({"toy": Convergence.of(Searched.of(records), POOL, budget=2)}, budget=2)
    assert table["seen"].tolist() == [20]
    assert np.isnan(table["seen_lower"]).all()


def test_targets_are_the_errors_of_the_best():
    targets = Targets.of(SimpleNamespace(seen=np.random.default_rng(0).permutation(np.arange(40.0))))
    assert targets.ranks == (1, 10)
    assert targets.top.tolist() == [61, 70]
    assert targets.grid[0] == 61
    assert targets.grid[-1] == 80.5
    assert len(targets.all) == len(targets.top) + len(targets.grid)


def test_moments_end_with_the_budget():
    assert moments(120) == [50, 100, 120]
    assert moments(150) == [50, 100, 150]
    assert moments(7) == [7]


def test_all_numbers_have_names(searched: Searched):
    found, gains = Convergence.of(searched, POOL, 5), Gains.of(searched, POOL, TARGETS).part(slice(2))
    metrics = search_metrics(convergence_table({"toy": found}, 5), {"toy": gains}, (1, 3))
    assert metrics["toy/seen_error@5"] == 15
    assert metrics["toy/gain@top1"] == pytest.approx(10 * np.log10(10 / 7))
    assert metrics["toy/largest_gain@top1"] == pytest.approx(10 * np.log10(15 / 7))
    targets = Targets(TARGETS[:2], (1, 3), np.empty(0))
    assert gain_rows({"toy": gains}, targets).to_dict("records") == [
        {"method": "toy", "top 1 (10.00%)": "1.5 [3.3]", "top 3 (35.00%)": "2.5 [4.0]"}
    ]


def test_methods_are_chosen_by_name():
    def study(**options: object) -> SearchStudy:
        baselines = {"random": RandomSearch, "again": RandomSearch}
        return SearchStudy(None, None, PredictorSearch, {"whole": Whole()}, baselines, **options)

    assert list(study().methods) == ["whole", "random", "again"]
    assert list(study(only=["again", "whole"]).methods) == ["again", "whole"]
    with pytest.raises(ConfigError, match="names no method"):
        study(only=["best"])


def test_a_name_stands_for_one_method():
    with pytest.raises(ConfigError, match="samplers name too"):
        SearchStudy(None, None, PredictorSearch, {"random": Whole()}, {"random": RandomSearch})
