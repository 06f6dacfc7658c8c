"""Typed batches: what is selected, moved and refused is the same for all of them, nested ones included."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from foretrain.batches import TensorBatch


@dataclass(frozen=True, eq=False)
class Inner(TensorBatch):
    values: Tensor


@dataclass(frozen=True, eq=False)
class Outer(TensorBatch):
    inner: Inner
    number: Tensor


def outer(n: int = 4) -> Outer:
    return Outer(Inner(torch.arange(3 * n).view(n, 3)), torch.arange(n))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [1]),
        (-1, [3]),
        (slice(1, 3), [1, 2]),
        ([3, 0, 0], [3, 0, 0]),
        (torch.tensor([2, 1]), [2, 1]),
        (torch.tensor([True, False, False, True]), [0, 3]),
        (torch.empty(0, dtype=torch.long), []),
    ],
)
def test_selection_reaches_every_field(index, expected):
    chosen = outer()[index]
    assert chosen.number.tolist() == expected
    assert chosen.inner.values[:, 0].tolist() == [3 * number for number in expected]
    assert len(chosen) == chosen.batch_size == len(chosen.inner) == len(expected)


def test_iteration_gives_batches_of_one():
    assert [sample.number.tolist() for sample in outer(3)] == [[0], [1], [2]]


@pytest.mark.parametrize("index", [4, -5])
def test_a_sample_that_is_not_there(index):
    with pytest.raises(IndexError, match=f"sample {index} of 4"):
        outer()[index]


def test_moving_reaches_every_field():
    moved = outer().to("meta")
    assert moved.device.type == moved.inner.device.type == moved.number.device.type == "meta"


def test_fields_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"Outer: fields of different lengths \[2, 3\]"):
        Outer(Inner(torch.zeros(2, 1)), torch.zeros(3))
