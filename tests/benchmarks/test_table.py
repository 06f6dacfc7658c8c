"""A benchmark's answers: who is asked for, which numbers come, and how splits are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foretrain.benchmarks import catalog
from foretrain.benchmarks.contents import Series
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.table import Benchmark, open_benchmark
from foretrain.errors import DataError

nan = np.nan


def test_accuracy_is_the_mean_over_the_seeds_that_exist(small):
    np.testing.assert_allclose(small.accuracy(None, "cifar10", "valid"), [90.2, 90.2, 81.0, nan], rtol=1e-15)
    np.testing.assert_array_equal(small.accuracy(None, "cifar10", "valid", 888), [90.3, nan, 82.0, nan])


def test_the_longest_training_is_the_default(small):
    np.testing.assert_array_equal(small.accuracy(split="test"), [91.0, 91.5, 81.0, 92.0])
    np.testing.assert_array_equal(small.accuracy(split="test", epochs=12), [61.0, 61.5, 51.0, 62.0])


def test_a_longer_training_does_not_decide_between_data_sets(contents, tmp_path):
    longer = Series("final", "accuracy", "cifar100", "test", 300, ("mean",))
    write_benchmark(replace(contents, series={**contents.series, longer: np.zeros((4, 1))}), tmp_path / "two")
    with pytest.raises(DataError, match=r"several series fit final/test/accuracy"):
        Benchmark(tmp_path / "two").accuracy(split="test")


@pytest.mark.parametrize(
    "archs",
    [
        [2, 0, 2],
        np.array([2, 0, 2], dtype=np.int16),
        torch.tensor([2, 0, 2]),
        lambda b: [b.names[2], b.names[0], b.names[2]],
        lambda b: b.architectures[[2, 0, 2]],
        lambda b: b.space.parse([b.names[2], b.names[0], b.names[2]]),
    ],
)
def test_every_way_to_name_architectures_finds_the_same_rows(small, archs):
    archs = archs(small) if callable(archs) else archs
    np.testing.assert_array_equal(small.accuracy(archs, split="test"), [81.0, 91.0, 81.0])


def test_a_mask_selects_rows(small):
    known = ~np.isnan(small.accuracy(split="valid"))
    np.testing.assert_array_equal(small.rows(known), [0, 1, 2])


def test_another_drawing_of_a_network_is_found(small):
    elsewhere = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    assert elsewhere not in small.names
    np.testing.assert_array_equal(small.rows(small.space.parse([elsewhere, small.names[3]])), [0, 3])


@pytest.mark.parametrize(
    ("archs", "match"),
    [
        ([0, 4], "has no architecture 4"),
        ([-1], "has no architecture -1"),
        (["|none~0|"], r"has no architecture \|none~0\|"),
        ([0.5], "no index by float64"),
        (np.array([True, False]), "no index by bool"),
    ],
)
def test_unknown_architectures_are_named(small, archs, match):
    with pytest.raises(DataError, match=match):
        small.rows(archs)


def test_a_network_that_is_not_in_the_table_is_named(small):
    other = "|skip_connect~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    with pytest.raises(DataError, match=r"has no architecture \|skip_connect~0"):
        small.accuracy(small.space.parse([other]), split="test")


def test_curves_have_a_column_per_epoch_and_nan_where_nothing_was_observed(small):
    curves = small.curves([0, 2, 3], split="valid", seed=888)
    assert curves.dtype == np.float32
    np.testing.assert_array_equal(curves, [[nan, 52, nan, 91], [nan, nan, nan, 82], [nan, nan, nan, nan]])
    np.testing.assert_array_equal(
        small.curves(None, "cifar10", "valid"),
        [[nan, 51, nan, 90.5], [nan, 51, nan, 90], [nan, 40, nan, 81], [nan] * 4],
    )


def test_loss_curves_are_asked_for_by_metric(small):
    np.testing.assert_array_equal(small.curves([1], metric="loss"), [[3, 4, 5]])


def test_scores_and_costs(small):
    np.testing.assert_array_equal(small.scores("nwot"), [-1, -np.inf, nan, 2])
    np.testing.assert_array_equal(small.cost(), [2, 2, 5, nan])
    np.testing.assert_array_equal(small.cost([3, 2], "parameters"), [400, 300])


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda b: b.accuracy(), "several series fit final/accuracy.*final/cifar10/valid/accuracy/200"),
        (lambda b: b.accuracy(split="train"), "no series fits final/train/accuracy. There are: final/cifar10/valid"),
        (lambda b: b.accuracy(dataset="cifar100"), "no series fits final/cifar100/accuracy"),
        (lambda b: b.accuracy(split="test", epochs=36), "no series fits final/test/accuracy/36"),
        (lambda b: b.accuracy(split="valid", seed=1), "has no seed 1. There are: 777, 888, mean"),
        (lambda b: b.scores("zen"), "no series fits score/zen. There are: score/cifar10/nwot"),
    ],
)
def test_a_question_without_an_answer_lists_the_answers_there_are(small, ask, match):
    with pytest.raises(DataError, match=match):
        ask(small)


def test_a_split_is_disjoint_and_depends_on_the_seed_only(small):
    train, test = small.split(2, 2, seed=3)
    assert sorted([*train, *test]) == [0, 1, 2, 3]
    again = small.split(2, 2, seed=3)
    np.testing.assert_array_equal([train, test], again)
    assert any(not np.array_equal(train, small.split(2, 2, seed=seed).train) for seed in range(4, 10))


def test_distinct_networks_are_drawn_once(small):
    for seed in range(8):
        train, test = small.split(1, 2, seed, distinct=True)
        drawn = {*train.tolist(), *test.tolist()}
        assert len(drawn) == 3
        assert not {0, 1} <= drawn
    with pytest.raises(DataError, match=r"has 3 distinct networks to draw from, 2 \+ 2 are asked for"):
        small.split(2, 2, seed=0, distinct=True)


def test_a_split_among_some_rows_draws_only_those(small):
    train, test = small.split(1, 1, seed=0, among=[3, 1, 3])
    assert sorted([*train, *test]) == [1, 3]
    with pytest.raises(DataError, match=r"has 2 architectures to draw from"):
        small.split(2, 1, seed=0, among=[3, 1])


def test_a_larger_training_set_holds_the_smaller_one_beside_the_same_test_set(small):
    few, many = small.split(1, 1, seed=5), small.split(3, 1, seed=5)
    np.testing.assert_array_equal(few.train, many.train[:1])
    np.testing.assert_array_equal(few.test, many.test)


def test_changing_the_mapped_tensors_does_not_change_the_files(small):
    small.architectures.ops[:] = 0
    assert Benchmark(small.folder).architectures.ops.any()


def test_networks_of_no_space_have_names_and_numbers_only(contents, tmp_path):
    names = ["mine-a", "mine-b", "mine-c", "mine-d"]
    description = replace(contents.description, space=None)
    write_benchmark(replace(contents, description=description, architectures=names), tmp_path / "mine")
    mine = Benchmark(tmp_path / "mine")
    assert mine.accuracy(["mine-d"], split="test").tolist() == [92.0]
    with pytest.raises(DataError, match=r"belong to no search space"):
        _ = mine.architectures


def test_keys_of_the_source_win_over_the_canonical_ones(contents, tmp_path):
    write_benchmark(replace(contents, keys=["a", "b", "a", "d"]), tmp_path / "keyed")
    assert Benchmark(tmp_path / "keyed").keys == ["a", "b", "a", "d"]


def test_names_are_found_at_home_and_in_the_package(contents, tmp_path, own_home, monkeypatch):
    monkeypatch.setattr(catalog, "EMBEDDED", tmp_path / "package")
    with pytest.raises(DataError, match=r"digits201: is not on this machine. 'foretrain info digits201'"):
        open_benchmark("digits201")
    write_benchmark(contents, tmp_path / "package" / "digits201")
    assert open_benchmark("digits201").folder == tmp_path / "package" / "digits201"
    write_benchmark(contents, own_home / "benchmarks" / "mine")
    assert open_benchmark("mine").folder == own_home / "benchmarks" / "mine"
    assert open_benchmark(tmp_path / "package" / "digits201").sha256 == open_benchmark("mine").sha256
    assert set(catalog.installed()) == {"digits201", "mine"}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match=r"nasbench102: no benchmark of this name.*nasbench101"):
        open_benchmark("nasbench102")
