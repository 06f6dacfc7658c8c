"""Prints what shared passes save: scores together, each on its own, and the passes that nobody can do without.

Command: ``python bench/proxies.py [--networks 3] [--batch 64]``. NAS-Bench-201 networks in the published skeleton, on
noise in the size of CIFAR-10 images; CPU seconds of one thread.

- together: ``score`` with all of them at once;
- alone, ours: ``score`` once for each proxy on a fresh copy of the network;
- alone, plain: each proxy on a fresh copy as its definition is usually written, one ``backward`` each, in PyTorch's
  default memory format;
- passes: what no implementation can do without, bare: one forward pass, the backward passes to weights and inputs (and
  the second-order one), the flow pass in double precision, two forward passes without gradients.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from foretrain.proxies import score
from foretrain.runtime.seeding import make_generator
from foretrain.spaces.nasbench201 import NASBench201
from timing import seconds

ELEVEN = ["grad_norm", "snip", "fisher", "plain", "l2_norm", "synflow", "jacov", "epe_nas", "nwot", "zen", "params"]
ALL = [*ELEVEN, "logsynflow", "grasp", "flops"]
LAYERS = (nn.Conv2d, nn.Linear)
Batch = tuple[Tensor, Tensor]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = make_generator(0, "bench")
    space = NASBench201()
    batch = torch.randn(options.batch, 3, 32, 32, generator=generator), torch.arange(options.batch) % 10
    archs = space.sample(options.networks, generator)
    rows = [measure(space.build(archs[index], 3, 10), batch) for index in range(options.networks)]
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:52} {median(values):7.2f}   (from {min(values):.2f} to {max(values):.2f})")


def measure(model: nn.Module, batch: Batch) -> dict[str, float]:
    """Returns seconds and ratios of one network."""

    def timed(work: Callable[[], object]) -> float:
        return seconds(work, runs=1)

    eleven = timed(lambda: score(model, batch, proxies=ELEVEN))
    everything = timed(lambda: score(model, batch, proxies=ALL))
    alone = timed(lambda: [score(copy.deepcopy(model), batch, proxies=[name]) for name in ELEVEN])
    plain = timed(lambda: [work(copy.deepcopy(model).train(), *batch) for work in PLAIN])
    needed = timed(lambda: passes(model, batch, second_order=False))
    needed_by_all = timed(lambda: passes(model, batch, second_order=True))
    return {
        "eleven together, CPU seconds": eleven,
        "all together, CPU seconds": everything,
        "eleven: alone, ours / together": alone / eleven,
        "eleven: alone, plain / together": plain / eleven,
        "eleven: together / passes": eleven / needed,
        "all: together / passes": everything / needed_by_all,
    }


def passes(model: nn.Module, batch: Batch, *, second_order: bool) -> None:
    """The passes that are physically needed, in the faster memory format, and nothing else."""
    network = copy.deepcopy(model).train().to(memory_format=torch.channels_last)
    x = batch[0].contiguous(memory_format=torch.channels_last).requires_grad_()
    weights = [layer.weight for layer in network.modules() if isinstance(layer, LAYERS)]
    output = network(x)
    loss = cross_entropy(output, batch[1])
    found = torch.autograd.grad(loss, weights, retain_graph=True, create_graph=second_order, allow_unused=True)
    if second_order:
        product = torch.stack([(g.detach() * g).sum() for g in found if g is not None]).sum()
        torch.autograd.grad(product, weights, retain_graph=True, allow_unused=True)
    torch.autograd.grad(output.sum(), x)
    with torch.no_grad():
        network(x)
        network(x)
    plain_flow(copy.deepcopy(model), *batch)


def plain_gradients(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """One forward and one backward pass: what grad_norm, snip and plain each do on their own."""
    cross_entropy(model(x), y).backward()
    weights = [layer.weight for layer in model.modules() if isinstance(layer, LAYERS)]
    return [(weight * weight.grad).abs().sum() for weight in weights if weight.grad is not None]


def plain_fisher(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """Activation times gradient at every layer."""
    found: list[Tensor] = []

    def watch(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        space = list(range(2, output.ndim))
        output.register_hook(lambda g: found.append(_saliency(output.detach() * g, space)))

    for layer in model.modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(watch)
    cross_entropy(model(x), y).backward()
    return found


def plain_codes(model: nn.Module, x: Tensor, *_: Tensor) -> Tensor:
    """Both kernels of every ReLU, as they are usually written."""
    kernels: list[Tensor] = []

    def watch(_layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        code = (inputs[0].flatten(1) > 0).float()
        kernels.append(code @ code.T + (1 - code) @ (1 - code).T)

    for layer in model.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(watch)
    model(x)
    return torch.stack(kernels).sum(0).slogdet()[1]


def plain_jacobian(model: nn.Module, x: Tensor, *_: Tensor) -> Tensor:
    """The correlation of input gradients."""
    x = x.clone().requires_grad_()
    model(x).sum().backward()
    return torch.corrcoef(x.grad.flatten(1).double())


def plain_flow(model: nn.Module, x: Tensor, *_: Tensor) -> None:
    """The flow of ones through absolute weights in double precision."""
    model = model.double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = lambda inputs: inputs
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    model(torch.ones_like(x[:1]).double()).sum().backward()


@torch.no_grad()
def plain_zen(model: nn.Module, x: Tensor, *_: Tensor) -> Tensor:
    """Two passes of noise."""
    for layer in model.modules():
        if isinstance(layer, LAYERS):
            nn.init.normal_(layer.weight)
    first = torch.randn_like(x)
    return (model.features(first) - model.features(first + 0.01 * torch.randn_like(x))).abs().sum()


def plain_weights(model: nn.Module, *_: Tensor) -> float:
    """What needs no pass."""
    return sum(float(parameter.detach().norm()) for parameter in model.parameters())


def _saliency(product: Tensor, space: list[int]) -> Tensor:
    return ((product.sum(space) if space else product) ** 2).mean(0).sum()


PLAIN = (
    *[plain_gradients] * 3,
    plain_fisher,
    plain_codes,
    *[plain_jacobian] * 2,
    plain_flow,
    plain_zen,
    *[plain_weights] * 2,
)
"""The eleven, one after the other."""

if __name__ == "__main__":
    main()
