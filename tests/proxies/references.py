"""The proxies once more: plain loops in float64, one thing at a time, nothing shared with the package."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = (nn.Conv2d, nn.Linear)
RECTIFIERS = ("relu", "gelu", "silu")


def layers_of(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, LAYERS)]


def fresh(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).double().train()


def gradients(model: nn.Module, x: Tensor, y: Tensor, loss=F.cross_entropy) -> list[tuple[Tensor, Tensor]]:
    model = fresh(model)
    loss(model(x.double()), y).backward()
    return [
        (layer.weight.detach(), torch.zeros_like(layer.weight) if layer.weight.grad is None else layer.weight.grad)
        for layer in layers_of(model)
    ]


def grad_norm(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return sum(math.sqrt(sum(float(g) ** 2 for g in gradient.flatten())) for _, gradient in gradients(model, x, y))


def snip(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return sum(
        abs(float(w) * float(g))
        for weight, gradient in gradients(model, x, y)
        for w, g in zip(weight.flatten(), gradient.flatten(), strict=True)
    )


def plain(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return sum(float((weight * gradient).sum()) for weight, gradient in gradients(model, x, y))


def l2_norm(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return sum(
        math.sqrt(sum(float(w) ** 2 for w in layer.weight.detach().flatten())) for layer in layers_of(fresh(model))
    )


def fisher(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The gradient of each output by a zero that is added to it."""
    model = fresh(model)
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def add_zero(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        zero = torch.zeros_like(output).requires_grad_()
        calls.append((layer, output.detach().clone(), zero))
        return output + zero

    for layer in layers_of(model):
        layer.register_forward_hook(add_zero)
    F.cross_entropy(model(x.double()), y).backward()
    total = 0.0
    for layer, activation, zero in calls:
        last = isinstance(layer, nn.Linear)
        product = (activation * zero.grad).movedim(-1, 1) if last else activation * zero.grad
        for channel in range(product.shape[1]):
            squares = [float(sample[channel].sum()) ** 2 for sample in product]
            total += 0.5 * sum(squares) / len(squares) * layer.weight[channel].numel()
    return total


def grasp(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The Hessian times the gradient by central differences of the gradient."""
    step = 1e-5
    model = fresh(model)
    pairs = gradients(model, x, y)
    moved = []
    for sign in (1, -1):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for layer, (_, gradient) in zip(layers_of(other), pairs, strict=True):
                layer.weight += sign * step * gradient
        moved.append([gradient for _, gradient in gradients(other, x, y)])
    return -sum(
        float((weight * (up - down) / (2 * step)).sum()) for (weight, _), up, down in zip(pairs, *moved, strict=True)
    )


def flow(model: nn.Module, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    model = fresh(model).eval()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, nn.Identity())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    model(torch.ones_like(x[:1]).double()).sum().backward()
    return [(m.weight.detach(), torch.zeros(()) if m.weight.grad is None else m.weight.grad) for m in layers_of(model)]


def synflow(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return math.log(sum(float((weight * slope).abs().sum()) for weight, slope in flow(model, x)))


def logsynflow(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return sum(float((weight.abs() * (slope.abs() + 1).log()).sum()) for weight, slope in flow(model, x))


def correlations(model: nn.Module, x: Tensor) -> np.ndarray:
    x = x.double().requires_grad_()
    fresh(model)(x).sum().backward()
    return np.corrcoef(x.grad.reshape(len(x), -1).numpy())


def jacov(model: nn.Module, x: Tensor, y: Tensor) -> float:
    values = np.linalg.eig(correlations(model, x))[0].real
    return -sum(math.log(value + 1e-5) + 1 / (value + 1e-5) for value in values)


def epe_nas(model: nn.Module, x: Tensor, y: Tensor) -> float:
    matrix = correlations(model, x)
    total = 0.0
    for label in set(y.tolist()):
        members = [i for i, other in enumerate(y.tolist()) if other == label]
        total += abs(sum(math.log(abs(matrix[i, j]) + 1e-5) for i in members for j in members))
    return total


class Recorder(torch.overrides.TorchFunctionMode):
    """Keeps the input of every rectifier."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in RECTIFIERS:
            self.inputs.append(args[0].detach().clone())
        return func(*args, **(kwargs or {}))


def nwot(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with Recorder() as recorder:
        fresh(model)(x.double())
    kernel = np.zeros((len(x), len(x)))
    for values in recorder.inputs:
        codes = (values.reshape(len(x), -1) > 0).numpy()
        for i in range(len(x)):
            for j in range(len(x)):
                kernel[i, j] += sum(a == b for a, b in zip(codes[i], codes[j], strict=True))
    return float(np.linalg.slogdet(kernel)[1])


REFERENCES = {
    function.__name__: function
    for function in (grad_norm, snip, plain, l2_norm, fisher, grasp, synflow, logsynflow, jacov, epe_nas, nwot)
}
