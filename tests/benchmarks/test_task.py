"""A task names what is seen and what judges; both come from the benchmark's own series."""

from __future__ import annotations

import os

import numpy as np
import pytest

from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.errors import DataError

needs_tables = pytest.mark.skipif("FORETRAIN_DATA" not in os.environ, reason="needs the real tables")


@needs_tables
def test_the_judge_is_another_series_where_one_is_given():
    task = BenchmarkTask(
        "nasbench101", Target("cifar10", "valid", epochs=108), judge=Target("cifar10", "test", epochs=108)
    )
    assert len(task.known) == 30_001
    np.testing.assert_array_equal(task.accuracy, task.benchmark.accuracy(split="valid", epochs=108))
    np.testing.assert_array_equal(task.judged, task.benchmark.accuracy(split="test"))


@needs_tables
def test_without_a_judge_the_target_judges():
    task = BenchmarkTask("nasbench201", Target("cifar100", "valid"))
    assert task.judged is task.accuracy
    assert len(task.known) == 15_625


def test_a_task_opens_its_benchmark_only_when_it_is_used():
    task = BenchmarkTask("no such benchmark", Target())
    with pytest.raises(DataError, match="no such benchmark"):
        _ = task.accuracy
