"""The sequence predictor: any length, padded or packed, gives what the single sequence gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foretrain.snapshots.predictor import SequencePredictor, training_steps

INPUTS = 6


def make_predictor(dropout: float = 0.0) -> SequencePredictor:
    torch.manual_seed(0)
    return SequencePredictor(INPUTS, hidden=5, dropout=dropout).double()


def make_codes(lengths: list[int], seed: int = 0) -> Tensor:
    """Codes whose padding is full of large values."""
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randn(len(lengths), max(lengths), INPUTS, generator=draw, dtype=torch.float64)
    codes[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 1e3
    return codes


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_padded_and_packed_batches_equal_single_sequences(lengths: list[int], seed: int):
    predictor, codes = make_predictor().eval(), make_codes(lengths, seed)
    padded = predictor(codes)
    packed = pack_padded_sequence(codes, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(predictor.lstm(packed)[0], batch_first=True)
    from_packed = predictor.head(states).squeeze(-1).sigmoid()
    for row, length in enumerate(lengths):
        single = predictor(codes[row : row + 1, :length])[0]
        torch.testing.assert_close(padded[row, :length], single)
        torch.testing.assert_close(from_packed[row, :length], single)


def test_a_prediction_knows_the_snapshots_so_far_only():
    predictor, codes = make_predictor().eval(), make_codes([30])
    whole = predictor(codes)[0]
    prefixes = torch.stack([predictor(codes[:, :k])[0, -1] for k in range(1, 31)])
    torch.testing.assert_close(whole, prefixes)
    assert ((whole > 0) & (whole < 1)).all()


@pytest.mark.parametrize("lengths", [[30, 30], [30, 12, 11, 10, 3, 1]])
def test_the_loss_is_that_of_all_training_sequences(lengths: list[int]):
    predictor, codes = make_predictor(), make_codes(lengths)
    target = torch.linspace(20, 90, len(lengths), dtype=torch.float64)
    errors = [
        (predictor(codes[row : row + 1, :k])[0, -1] - target[row] / 100).abs()
        for row, length in enumerate(lengths)
        for k in sorted({*range(1, 11), length})
        if k <= length
    ]
    loss = predictor.loss(codes, torch.tensor(lengths), target)
    torch.testing.assert_close(loss, torch.stack(errors).mean())
    ours, theirs = (torch.autograd.grad(value, predictor.lstm.weight_hh_l0)[0] for value in (loss, sum(errors)))
    torch.testing.assert_close(ours, theirs / len(errors))


def test_eleven_sequences_per_network():
    steps = training_steps(torch.tensor([30, 11, 10, 4]), 30, train_lengths=10)
    assert steps.sum(1).tolist() == [11, 11, 10, 4]
    assert steps[0].nonzero().flatten().tolist() == [*range(10), 29]


def test_padding_has_no_gradient():
    lengths = [7, 3]
    codes = make_codes(lengths).requires_grad_()
    make_predictor().loss(codes, torch.tensor(lengths), torch.tensor([50.0, 60.0])).backward()
    assert codes.grad is not None
    assert codes.grad[0].any()
    assert not codes.grad[1, 3:].any()


def test_training_starts_near_the_median_target():
    predictor = make_predictor()
    torch.nn.init.zeros_(predictor.head.weight)
    predictor.start_from(torch.tensor([10.0, 90.0, 97.0], dtype=torch.float64))
    torch.testing.assert_close(predictor(make_codes([4])), torch.full((1, 4), 0.9, dtype=torch.float64))
    assert predictor.start_from(torch.tensor([100.0])).head.bias.isfinite().all()


def test_dropout_acts_in_training_only():
    predictor, codes = make_predictor(dropout=0.5), make_codes([20])
    assert not torch.equal(predictor(codes), predictor(codes))
    predictor.eval()
    assert torch.equal(predictor(codes), predictor(codes))
