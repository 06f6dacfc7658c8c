"""Scoring leaves a network, its gradients, hooks and modes, and all random states exactly as they were."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORKS, ConvNet, Perceptron, images, make
from torch import nn

from foretrain.errors import ConfigError
from foretrain.proxies import PROXIES, score


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything that a network is: tensors and their identities, gradients, modes, hooks, attributes."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "identities": {name: (id(tensor), tensor.data_ptr(), tensor.stride()) for name, tensor in tensors.items()},
        "needs": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "grads": {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        "modes": [module.training for module in model.modules()],
        "attributes": [sorted(module.__dict__) for module in model.modules()],
        "hooks": [
            (list(m._forward_hooks), list(m._forward_pre_hooks), list(m._backward_hooks)) for m in model.modules()
        ],
        "in place": [getattr(module, "inplace", None) for module in model.modules()],
    }


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, torch.Tensor):
        assert torch.equal(before, after)
    else:
        assert before == after


@given(
    kind=st.sampled_from(NETWORKS),
    chosen=st.lists(st.sampled_from(sorted(PROXIES)), min_size=1, max_size=6, unique=True),
    modes=st.lists(st.booleans(), min_size=40, max_size=40),
    frozen=st.booleans(),
    with_gradients=st.booleans(),
    labelled=st.booleans(),
    no_grad=st.booleans(),
)
@settings(max_examples=40)
def test_a_network_is_left_exactly_as_it_was(kind, chosen, modes, frozen, with_gradients, labelled, no_grad):
    model, (x, y) = make(kind), images(5)
    if with_gradients:
        model(x).sum().backward()
    if frozen:
        next(model.parameters()).requires_grad_(False)
    for module, mode in zip(model.modules(), modes, strict=False):
        module.training = mode
    calls = []
    model.register_forward_hook(lambda *arguments: calls.append(1))
    before, inputs = snapshot(model), x.clone()
    states = torch.get_rng_state(), random.getstate()
    with torch.set_grad_enabled(not no_grad):
        score(model, (x, y) if labelled else x, proxies=chosen, batches=[(x.flip(0), y)])
    assert_same(before, snapshot(model))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert torch.equal(x, inputs)
    assert not x.requires_grad


def test_a_failing_network_is_left_as_it_was_too():
    class Fails(ConvNet):
        def forward(self, x):
            x = self.stem(x)
            raise RuntimeError("too late")

    model, batch = Fails(), images()
    model.stem.eval()
    before = snapshot(model)
    scores = score(model, batch)
    assert_same(before, snapshot(model))
    assert scores["snip"].reason == "failed"
    assert "too late" in scores["snip"].detail
    assert scores["l2_norm"].reason is scores["params"].reason is None


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_a_second_call_gives_the_same_scores(kind):
    model, batch = make(kind), images()
    first, second = (score(model, batch) for _ in range(2))
    assert {name: item.value for name, item in first.items()} == {name: item.value for name, item in second.items()}


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_one_proxy_alone_is_what_it_is_among_all(kind):
    model, batch = make(kind).double(), (images()[0].double(), images()[1])
    together = score(model, batch)
    for name in together:
        alone = score(model, batch, proxies=[name])[name]
        assert alone.value == pytest.approx(together[name].value, rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_the_order_of_the_samples_plays_no_role(kind):
    model, (x, y) = make(kind).double(), images()
    order = torch.randperm(len(x))
    names = ["grad_norm", "snip", "plain", "fisher", "jacov", "epe_nas", "nwot", "grasp"]
    first = score(model, (x.double(), y), proxies=names)
    second = score(model, (x.double()[order], y[order]), proxies=names)
    for name in names:
        assert second[name].value == pytest.approx(first[name].value, rel=1e-7), name


def test_data_independent_scores_do_not_see_the_data():
    model = make(ConvNet)
    first, second = (score(model, images(seed=seed)) for seed in (1, 2))
    for name, item in first.items():
        assert (item.value == second[name].value) == (not PROXIES[name].needs_data), name


def test_repeats_average_over_initialisations():
    model, batch = make(Perceptron), images()
    before = copy.deepcopy(model.state_dict())
    scores = score(model, batch, repeats=4)
    assert scores["snip"].standard_error > 0
    assert scores["params"].standard_error == 0
    assert score(model, batch, repeats=4)["snip"].value == scores["snip"].value
    assert score(model, batch, repeats=4, seed=1)["snip"].value != scores["snip"].value
    assert_same(before, model.state_dict())
    with pytest.raises(ConfigError, match="repeats"):
        score(model, batch, repeats=0)
