"""Every proxy agrees with an independent computation on networks of all kinds."""

from __future__ import annotations

import math

import pytest
import torch
from networks import NETWORKS, ConvNet, Perceptron, images, make
from references import REFERENCES, fresh, gradients, layers_of
from torch import nn
from torch.nn import functional as F

from foretrain.proxies import PROXIES, score
from foretrain.runtime.seeding import make_generator


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_scores_equal_the_references_in_double_precision(kind: type[nn.Module]):
    model, (x, y) = make(kind).double(), images()
    x = x.double()
    scores = score(model, (x, y), proxies=list(REFERENCES))
    for name, reference in REFERENCES.items():
        assert scores[name].reason is None, scores[name]
        relative = 1e-5 if name == "grasp" else 1e-9  # its reference is a difference quotient
        assert scores[name].value == pytest.approx(reference(model, x, y), rel=relative, abs=1e-12), name


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_scores_in_single_precision_are_near(kind: type[nn.Module]):
    model, (x, y) = make(kind), images()
    single, double = score(model, (x, y)), score(make(kind).double(), (x.double(), y))
    for name in REFERENCES:
        assert single[name].value == pytest.approx(double[name].value, rel=2e-3, abs=1e-4), name


def test_zen_of_a_network_without_normalisation_is_what_its_definition_says():
    model, (x, _y) = make(Perceptron).double(), images()
    found = score(model, x.double(), proxies=["zen"], seed=5)["zen"].value
    draw = make_generator(5, "zen")
    layers = layers_of(fresh(model))
    weights = [torch.randn(layer.weight.shape, generator=draw).double() for layer in layers]
    noise = [torch.randn(x.shape, generator=draw).double() for _ in range(2)]

    def features(inputs: torch.Tensor) -> torch.Tensor:
        hidden = (inputs.flatten(1) @ weights[0].T).relu()
        return (hidden @ weights[1].T).tanh()

    difference = features(noise[0]) - features(noise[0] + 0.01 * noise[1])
    total = sum(float(sample.abs().sum()) for sample in difference) / len(difference)
    assert found == pytest.approx(math.log(total), rel=1e-10)


def test_zen_adds_the_scales_of_batch_normalisation():
    model, (x, _) = make(ConvNet).double(), images()
    x = x.double()
    draw = make_generator(0, "zen")
    twin = fresh(model)
    parameters = dict(twin.named_parameters())
    with torch.no_grad():
        for module in twin.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        for name, parameter in parameters.items():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=draw).double())
            elif not isinstance(twin.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d):
                parameter.zero_()
        first, second = (torch.randn(x.shape, generator=draw).double() for _ in range(2))
        features = []
        for inputs in (first, first + 0.01 * second):
            stem = twin.stem(inputs)
            features.append(torch.relu(twin.block(stem) + twin.shortcut(stem)))
    total = (features[0] - features[1]).abs().sum((1, 2, 3)).mean().log()
    scales = sum(
        math.log(math.sqrt(float(module.running_var.mean())))
        for module in twin.modules()
        if isinstance(module, nn.BatchNorm2d)
    )
    assert score(model, x, proxies=["zen"])["zen"].value == pytest.approx(float(total) + scales, rel=1e-10)


def test_zico_compares_the_gradients_of_batches():
    model = make(ConvNet).double()
    batches = [(x.double(), y) for x, y in (images(seed=seed) for seed in range(4))]
    found = score(model, batches[0], proxies=["zico"], batches=batches[1:])["zico"].value
    per_batch = [[gradient for _, gradient in gradients(model, *batch)] for batch in batches]
    expected = 0.0
    for layer in zip(*per_batch, strict=True):
        ratios = 0.0
        for values in zip(*(gradient.flatten().tolist() for gradient in layer), strict=True):
            mean = sum(map(abs, values)) / len(values)
            deviation = math.sqrt(sum((abs(value) - mean) ** 2 for value in values) / len(values))
            ratios += mean / deviation if deviation else 0.0
        expected += math.log(ratios) if ratios else 0.0
    assert found == pytest.approx(expected, rel=1e-9)


def test_params_and_flops_are_counted_by_hand():
    model, (x, y) = make(ConvNet), images()
    model.head.bias.requires_grad_(False)
    scores = score(model, (x, y), proxies=["params", "flops", "flops_published"])
    assert scores["params"].value * 1e6 == pytest.approx(sum(p.numel() for p in model.parameters()) - 3)
    macs = 36 * 4 * 18 + 9 * 6 * 18 + 9 * 6 * 6 + 9 * 6 * 4 + 6 * 3
    assert scores["flops"].value * 1e6 == pytest.approx(2 * macs)
    extra = 2 * (36 * 4 + 9 * 6) + (36 * 4 + 9 * 6 + 9 * 6) + 4 * 4 * 6
    assert scores["flops_published"].value * 1e6 == pytest.approx(macs + extra)


@pytest.mark.parametrize("training", [True, False])
def test_attention_is_counted_in_flops(training: bool):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train(training)
    tokens = 5
    projections, attention, perceptron = 4 * 8 * 8 * tokens, 2 * 8 * tokens * tokens, 2 * 8 * 16 * tokens
    found = score(layer, torch.randn(3, tokens, 8), proxies=["flops"])["flops"].value * 1e6
    assert found == pytest.approx(2 * (projections + attention + perceptron))


def test_a_loss_for_real_targets():
    model, (x, _) = make(Perceptron).double(), images()
    target = torch.randn(len(x), 3, dtype=torch.float64)
    found = score(model, (x.double(), target), loss=F.mse_loss, proxies=["snip", "grad_norm", "epe_nas"])
    expected = sum(float((w * g).abs().sum()) for w, g in gradients(model, x, target, F.mse_loss))
    assert found["snip"].value == pytest.approx(expected, rel=1e-10)
    assert found["epe_nas"].reason == "no_classes"


def test_every_proxy_of_the_table_is_tested():
    assert REFERENCES.keys() | {"zen", "zico", "params", "flops", "flops_published"} == PROXIES.keys()
