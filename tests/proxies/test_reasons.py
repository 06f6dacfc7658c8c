"""Where no value can be had there is a reason, and every form of batch and output is understood."""

from __future__ import annotations

import math
from collections import namedtuple

import pytest
import torch
from networks import ConvNet, Perceptron, images, make
from torch import nn
from torch.nn import functional as F

from foretrain.errors import ConfigError, DataError
from foretrain.proxies import PROXIES, score

NEEDS_LABELS = {name for name, proxy in PROXIES.items() if proxy.needs_labels}


def reasons(model: nn.Module, batch: object, **options: object) -> dict[str, str]:
    scores = score(model, batch, **options)
    for item in scores.values():
        assert math.isnan(item.value) == (item.reason is not None)
    return {name: str(item.reason) for name, item in scores.items() if item.reason is not None}


def test_without_labels():
    x, _ = images()
    found = reasons(make(ConvNet), x, batches=[x])
    assert found == dict.fromkeys(NEEDS_LABELS, "no_labels")


def test_without_further_batches_there_is_no_zico():
    assert "zico" not in score(make(ConvNet), images())
    assert reasons(make(ConvNet), images(), proxies=["zico"]) == {"zico": "one_batch"}


def test_without_a_rectifier():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 3))
    assert reasons(model, images()) == {"nwot": "no_rectifier"}


@pytest.mark.parametrize(
    "activation", [F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.hardswish, F.mish, nn.PReLU()]
)
def test_everything_like_a_relu_has_codes(activation):
    class Net(Perceptron):
        def forward(self, x):
            return self.head(activation(self.layers[3](activation(self.layers[1](x.flatten(1))))))

    assert not reasons(Net(), images(), proxies=["nwot"])


def test_equal_samples_have_a_singular_kernel():
    x, y = images()
    x[1] = x[0]
    assert reasons(make(ConvNet), (x, y), proxies=["nwot"]) == {"nwot": "singular_kernel"}


def test_a_dead_network_has_no_signal_and_a_constant_gradient():
    model = make(Perceptron)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    found = reasons(model, images())
    assert found["jacov"] == found["epe_nas"] == "constant_gradient"
    assert found["synflow"] == "no_signal"
    assert found["nwot"] == "singular_kernel"


def test_non_finite_gradients_and_overflow():
    model = make(Perceptron)
    with torch.no_grad():
        model.head.weight.fill_(torch.inf)
    found = reasons(model, images())
    assert found["snip"] == found["grad_norm"] == "non_finite_gradient"
    deep = nn.Sequential(nn.Flatten(), *(nn.Linear(72, 72) for _ in range(3))).double()
    with torch.no_grad():
        for layer in deep[1:]:
            layer.weight.fill_(1e150)
    assert reasons(deep, images()[0].double(), proxies=["synflow"]) == {"synflow": "overflow"}


def test_without_weights():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(72))
    found = reasons(model, images())
    assert {found[name] for name in ("snip", "l2_norm", "synflow", "logsynflow", "fisher", "grasp")} == {"no_weights"}


def test_a_single_sample_and_discrete_inputs():
    x, y = images(1)
    found = reasons(make(Perceptron), (x, y))
    assert found["jacov"] == found["epe_nas"] == "one_sample"
    tokens = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 3), nn.ReLU())
    names = ["snip", "jacov", "epe_nas", "zen", "synflow", "fisher", "flops", "grasp"]
    found = reasons(tokens, (torch.arange(15).reshape(5, 3) % 9, torch.arange(5) % 3), proxies=names)
    assert found == dict.fromkeys(("jacov", "epe_nas", "zen"), "discrete_input")


def test_batch_norm_without_running_statistics_has_no_zen():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.ReLU())
    assert reasons(model, images(), proxies=["zen", "snip", "flops"]) == {"zen": "no_running_statistics"}


def test_memory_that_does_not_suffice():
    class Greedy(Perceptron):
        def forward(self, x):
            raise torch.OutOfMemoryError("out of memory")

    assert reasons(Greedy(), images(), proxies=["snip"]) == {"snip": "out_of_memory"}


def values(model: nn.Module, batch: object) -> list[float]:
    names = ["snip", "jacov", "synflow", "zen", "flops", "nwot"]
    return [item.value for item in score(model, batch, proxies=names).values()]


class Named(Perceptron):
    def forward(self, pixels):
        return {"loss": torch.zeros(()), "logits": super().forward(pixels)}


class Wrapped(Perceptron):
    def forward(self, pixels):
        return namedtuple("Output", "logits")(super().forward(pixels))  # noqa: PYI024


class Pairs(Perceptron):
    def forward(self, batch):
        return super().forward(batch["left"] + batch["right"])


def test_every_form_of_a_batch_gives_the_same_scores():
    x, y = images()
    expected = values(make(Perceptron), (x, y))
    assert values(make(Perceptron), [x, y]) == expected
    assert values(make(Perceptron), ((x,), y)) == expected
    assert values(make(Perceptron), {"image": x, "label": y}) == expected
    assert values(make(Named), {"pixels": x, "labels": y}) == expected
    assert values(make(Wrapped), ({"pixels": x}, y)) == expected


def test_a_dict_of_several_inputs_is_handed_over_as_it_is():
    x, y = images()
    found = score(make(Pairs), {"left": x / 2, "right": x / 2, "target": y}, proxies=["snip"])
    assert found["snip"].value == pytest.approx(values(make(Perceptron), (x, y))[0])


@pytest.mark.parametrize("batch", [3, "abc", (), (1, 2, 3), {"label": torch.zeros(3)}, (torch.zeros(()), None)])
def test_what_is_no_batch_is_refused(batch):
    with pytest.raises(DataError, match="batch"):
        score(make(Perceptron), batch)


def test_an_unknown_proxy_is_refused():
    with pytest.raises(ConfigError, match=r"no such proxy.*'nonsense'.*snip"):
        score(make(Perceptron), images(), proxies=["nonsense"])
