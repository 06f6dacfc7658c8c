"""The passes through a network that proxies are read off, each made once however many read it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from foretrain.proxies.batches import Batch, logits_of
from foretrain.proxies.cost import count_published_flops
from foretrain.proxies.scores import Reason, Unavailable
from foretrain.proxies.subject import BATCH_NORMS, Subject, Tensors, without_batch_norm
from foretrain.proxies.watching import ChannelSaliency, CodeKernel, LastFeatures, OverwrittenError
from foretrain.runtime.seeding import make_generator
from foretrain.training.cost import count_flops, count_parameters, unfused_attention
from foretrain.training.modes import in_mode

Loss = Callable[[Any, Any], Tensor]
Result = TypeVar("Result")
NOISE = 0.01
"""Share of the second noise in the perturbed input of the zen score."""


class Forward(NamedTuple):
    """A forward pass in training mode, whose graph is kept.

    Attributes:
        output: What the network put out.
        weights: The weights it was run with, by name.
        inputs: The real input tensors it was run on.
        codes: The kernel of its activation codes, where it was watched.
        saliency: The saliency of its channels, where it was watched; complete after the backward pass.
    """

    output: Any
    weights: Tensors
    inputs: list[Tensor]
    codes: CodeKernel | None
    saliency: ChannelSaliency | None


class Slopes(NamedTuple):
    """Weights of l layers with what belongs to each weight, a gradient say; zero where nothing reaches the layer.

    Attributes:
        weights: One tensor a layer.
        slopes: Tensors of the same shapes.
    """

    weights: list[Tensor]
    slopes: list[Tensor]


class Similarity(NamedTuple):
    """How alike samples look to a network.

    Attributes:
        correlation: ``float64[b, b]``, correlations between the samples' input gradients; NaN for a constant one.
        labels: The labels, or None.
        outputs: Outputs of one sample: the number of classes of a classifier.
    """

    correlation: Tensor
    labels: Any
    outputs: int


class Noise(NamedTuple):
    """How a network of Gaussian weights answers to noise.

    Attributes:
        difference: Mean over the samples of the summed absolute difference that a small perturbation makes.
        log_scales: Sum over the batch normalisations of ``ln sqrt(mean running variance)``.
    """

    difference: Tensor
    log_scales: Tensor


class Spread(NamedTuple):
    """Absolute gradients over several batches, one tensor a layer.

    Attributes:
        means: Means.
        deviations: Standard deviations (of the population).
    """

    means: list[Tensor]
    deviations: list[Tensor]


@dataclass(frozen=True)
class Task:
    """What is scored, on what.

    Attributes:
        subject: The network.
        batch: The batch, on the network's device.
        loss: Of output and labels.
        wanted: Names of the passes that will be asked for: the forward pass watches what they need.
        seed: Seed of all that is drawn.
        further: Further batches, for what compares several.
    """

    subject: Subject
    batch: Batch
    loss: Loss
    wanted: frozenset[str]
    seed: int
    further: Sequence[Batch] = ()


class Passes:
    """The passes of one network, made when they are first asked for.

    Args:
        task: What is scored, on what.

    Attributes:
        copies: Whether the outputs of layers are copied, for a network that overwrites them.
        seconds: Time of each pass, without those that it builds on.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.copies = False
        self.seconds: dict[str, float] = {}
        self._results: dict[str, Any] = {}

    def get(self, name: str) -> Any:  # noqa: ANN401 - each pass has its own result
        """Returns the result of a pass.

        Raises:
            Unavailable: It could not be made; says so again without trying again.
        """
        if name not in self._results:
            inner = sum(self.seconds.values())
            started = self._now()
            try:
                self._results[name] = guarded(MAKERS[name], self)
            except Unavailable as reason:
                self._results[name] = reason
            # a pass asks for those that it builds on: their time is not its own
            self.seconds[name] = self._now() - started - (sum(self.seconds.values()) - inner)
        result = self._results[name]
        if isinstance(result, Unavailable):
            raise result
        return result

    def forget(self, name: str) -> None:
        """Makes a pass anew when it is next asked for."""
        self._results.pop(name, None)

    def seconds_of(self, names: Sequence[str]) -> float:
        """Returns the time of some passes and of those that they build on."""
        return sum(self.seconds.get(name, 0.0) for name in closure(names))

    def _now(self) -> float:
        if self.task.subject.device.type == "cuda":
            torch.cuda.synchronize(self.task.subject.device)
        return time.perf_counter()


def guarded(make: Callable[..., Result], *arguments: object) -> Result:
    """Calls a function; an error becomes a reason.

    Raises:
        Unavailable: The function raised it, or another error.
    """
    try:
        return make(*arguments)
    except Unavailable:
        raise
    except torch.OutOfMemoryError as error:
        raise Unavailable(Reason.OUT_OF_MEMORY, _first_line(error)) from error
    except MemoryError as error:
        raise Unavailable(Reason.OUT_OF_MEMORY, _first_line(error)) from error
    except Exception as error:
        code = Reason.OUT_OF_MEMORY if "can't allocate memory" in str(error) else Reason.FAILED
        raise Unavailable(code, f"{type(error).__name__}: {_first_line(error)}") from error


def closure(names: Sequence[str]) -> set[str]:
    """Returns the passes and all that they build on."""
    found: set[str] = set()
    for name in names:
        found |= {name} | closure(BUILDS_ON.get(name, ()))
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _forward(passes: Passes) -> Forward:
    """One forward pass for everything that reads real data."""
    task, copies = passes.task, passes.copies
    return _in_best_format(task.batch, lambda layout: _run(task, layout, copies=copies))


def _run(task: Task, layout: torch.memory_format, *, copies: bool = False) -> Forward:
    """Runs the network on the batch, with all that is wanted watched."""
    subject, wanted = task.subject, task.wanted
    codes = CodeKernel(task.batch.size) if "codes" in wanted else None
    saliency = ChannelSaliency(copies=copies) if "saliency" in wanted else None
    parameters = {name: _laid_out(tensor, layout) for name, tensor in subject.parameters.items()}
    inputs = task.batch.map(lambda tensor: _laid_out(tensor, layout))
    weights = {name: parameters[name].requires_grad_("gradients" in wanted) for name in subject.weights}
    real = [tensor.requires_grad_("similarity" in wanted) for tensor in inputs.real_inputs]
    with contextlib.ExitStack() as watchers:
        if "curvature" in wanted:
            watchers.enter_context(unfused_attention())
        if saliency is not None:
            watchers.enter_context(saliency.watch(subject))
        if codes is not None:
            watchers.enter_context(codes)
        output = subject.run(parameters, subject.buffers, inputs)
    return Forward(output, weights, real, codes, saliency)


def _codes(passes: Passes) -> Tensor:
    codes = passes.get("forward").codes
    if codes.kernel is None:
        raise Unavailable(Reason.NO_RECTIFIER)
    kernel: Tensor = codes.kernel
    return kernel


def _weights(passes: Passes) -> list[Tensor]:
    subject = passes.task.subject
    parameters = subject.parameters
    if not subject.weights:
        raise Unavailable(Reason.NO_WEIGHTS)
    return [parameters[name] for name in subject.weights]


def _gradients(passes: Passes) -> Slopes:
    """The gradient of the loss; with its own graph where it is to be differentiated again."""
    try:
        return _loss_gradient(passes.task, passes.get("forward"))
    except OverwrittenError:
        passes.copies = True
        passes.forget("forward")
        return _loss_gradient(passes.task, passes.get("forward"))


def _loss_gradient(task: Task, forward: Forward) -> Slopes:
    if task.batch.labels is None:
        raise Unavailable(Reason.NO_LABELS)
    if not forward.weights:
        raise Unavailable(Reason.NO_WEIGHTS)
    output = forward.output if isinstance(forward.output, Tensor) else logits_of(forward.output)
    weights = list(forward.weights.values())
    loss = task.loss(output, task.batch.labels)
    return Slopes(weights, _derivative(loss, weights, create_graph="curvature" in task.wanted))


def _saliency(passes: Passes) -> Tensor:
    """The sum of all saliencies, complete once the gradients are there."""
    passes.get("gradients")
    terms = passes.get("forward").saliency.close()
    if not terms:
        raise Unavailable(Reason.NO_WEIGHTS)
    return torch.stack(terms).sum()


def _curvature(passes: Passes) -> Slopes:
    """H g: the Hessian times the gradient, as the gradient of ``g . g`` with one factor held."""
    weights, gradients = passes.get("gradients")
    if (saliency := passes.get("forward").saliency) is not None:
        saliency.close()  # its hooks fire in this pass too
    product = torch.stack([(gradient.detach() * gradient).sum() for gradient in gradients]).sum()
    return Slopes(weights, _derivative(product, weights))


def _similarity(passes: Passes) -> Similarity:
    """Correlation of the samples' input gradients d(sum of outputs)/dx."""
    forward, batch = passes.get("forward"), passes.task.batch
    if not forward.inputs:
        raise Unavailable(Reason.DISCRETE_INPUT)
    if batch.size < 2:
        raise Unavailable(Reason.ONE_SAMPLE)
    output = logits_of(forward.output)
    gradients = _derivative(output.sum(), forward.inputs)
    rows = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1).double()
    return Similarity(_correlation(rows), batch.labels, output[0].numel())


def _flow(passes: Passes) -> Slopes:
    """dR/dW of R, the sum of the outputs for an input of ones, with absolute weights and no batch normalisation."""
    subject = passes.task.subject
    parameters = {name: _to_double(tensor).abs() for name, tensor in subject.parameters.items()}
    weights = [parameters[name].requires_grad_() for name in subject.weights]
    if not weights:
        raise Unavailable(Reason.NO_WEIGHTS)
    ones = passes.task.batch.map(lambda tensor: torch.ones_like(_to_double(tensor[:1] if tensor.ndim else tensor)))
    buffers = {name: _to_double(tensor) for name, tensor in subject.buffers.items()}
    with without_batch_norm(subject), in_mode(subject.model, training=False), unfused_attention():
        output = logits_of(subject.run(parameters, buffers, ones))
    return Slopes(weights, _derivative(output.sum(), weights))


@torch.no_grad()
def _noise(passes: Passes) -> Noise:
    """Answers of a network of Gaussian weights to noise x and to x + 0.01 e, before global pooling."""
    task = passes.task
    if not task.batch.real_inputs:
        raise Unavailable(Reason.DISCRETE_INPUT)
    generator = make_generator(task.seed, "zen")
    parameters = _gaussian(task.subject, generator)
    first = task.batch.map(lambda tensor: _gaussian_like(tensor, generator))
    other = task.batch.map(lambda tensor: _gaussian_like(tensor, generator))
    noise = iter(other.inputs)
    second = first.map(lambda tensor: _perturbed(tensor, next(noise)))
    return _in_best_format(first, lambda layout: _answer(task.subject, parameters, (first, second), layout))


def _answer(subject: Subject, parameters: Tensors, inputs: Sequence[Batch], layout: torch.memory_format) -> Noise:
    buffers = _fresh_buffers(subject)
    parameters = {name: _laid_out(tensor, layout) for name, tensor in parameters.items()}
    features = [_features(subject, parameters, buffers, batch.map(lambda x: _laid_out(x, layout))) for batch in inputs]
    difference = (features[0] - features[1]).abs().flatten(1).sum(1, dtype=torch.float64).mean()
    scales = [buffers[f"{path}.running_var".lstrip(".")].double().mean().log() / 2 for path, _ in subject.batch_norms]
    return Noise(difference, torch.stack(scales).sum() if scales else torch.zeros_like(difference))


def _features(subject: Subject, parameters: Tensors, buffers: Tensors, batch: Batch) -> Tensor:
    with LastFeatures() as watcher:
        output = subject.run(parameters, buffers, batch)
    found = watcher.features
    return logits_of(output) if found is None or len(found) != batch.size else found


def _gaussian(subject: Subject, generator: torch.Generator) -> Tensors:
    """Parameters with weights of N(0, 1), without biases, and with normalisations that change nothing."""
    parameters = subject.parameters
    for name in subject.weights:
        parameters[name] = _gaussian_like(parameters[name], generator)
    for path, module in subject.model.named_modules():
        weight, bias = (f"{path}.{name}".lstrip(".") for name in ("weight", "bias"))
        if weight not in subject.weights and isinstance(module, (*BATCH_NORMS, torch.nn.GroupNorm, torch.nn.LayerNorm)):
            parameters |= {name: torch.ones_like(parameters[name]) for name in [weight] if name in parameters}
        elif weight not in subject.weights:
            continue
        parameters |= {name: torch.zeros_like(parameters[name]) for name in [bias] if name in parameters}
    return parameters


def _fresh_buffers(subject: Subject) -> Tensors:
    """Buffers with the running statistics of a batch normalisation that has seen nothing."""
    buffers = subject.buffers
    for path, _ in subject.batch_norms:
        mean, variance = (f"{path}.{name}".lstrip(".") for name in ("running_mean", "running_var"))
        if variance not in buffers:
            raise Unavailable(Reason.NO_RUNNING_STATISTICS, path)
        buffers[mean].zero_()
        buffers[variance].fill_(1)
    return buffers


def _spread(passes: Passes) -> Spread:
    """Mean and deviation of the absolute gradients over the batch and the further ones."""
    task = passes.task
    if not task.further:
        raise Unavailable(Reason.ONE_BATCH)
    gradients = [[slope.detach().abs() for slope in passes.get("gradients").slopes]]
    for batch in task.further:
        alone = Task(task.subject, batch, task.loss, frozenset({"gradients"}), task.seed)
        forward = _in_best_format(batch, partial(_run, alone))
        gradients.append([slope.abs() for slope in _loss_gradient(alone, forward).slopes])
    layers = [torch.stack(layer).double() for layer in zip(*gradients, strict=True)]
    return Spread([layer.mean(0) for layer in layers], [layer.std(0, correction=0) for layer in layers])


def _size(passes: Passes) -> int:
    """Trainable parameters."""
    return count_parameters(passes.task.subject.model)


def _cost(passes: Passes) -> int:
    """Floating-point operations of one sample."""
    return _per_sample(passes, count_flops)


def _published_cost(passes: Passes) -> int:
    """Operations of one sample as the authors of NAS-Bench-201 count them."""
    return _per_sample(passes, count_published_flops)


def _per_sample(passes: Passes, count: Callable[..., int]) -> int:
    """Counts on two samples, as some normalisations refuse one."""
    task = passes.task
    few = task.batch.map(lambda tensor: tensor[:2] if tensor.ndim else tensor)
    return count(task.subject.model, *few.positional, **few.named) // few.size


def _in_best_format(batch: Batch, run: Callable[[torch.memory_format], Result]) -> Result:
    """Runs on images in the channels-last format, which is about twice as fast on a CPU.

    A network that cannot be run in it (one that calls ``view`` on its feature maps) is run in the usual one.
    """
    images = any(tensor.ndim == 4 and tensor.device.type == "cpu" for tensor in batch.inputs)
    if images:
        try:
            return run(torch.channels_last)
        except RuntimeError as error:
            if "view" not in str(error):
                raise
    return run(torch.contiguous_format)


def _laid_out(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """Returns the tensor in a format where it has four dimensions, always as another tensor than the one given."""
    return (tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor).detach()


def _derivative(value: Tensor, at: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """Returns the derivatives of a number, zero where it does not depend on a tensor; the graph is kept."""
    if not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in at]
    found = torch.autograd.grad(value, at, retain_graph=True, create_graph=create_graph, allow_unused=True)
    slopes: Sequence[Tensor | None] = found  # None for what is not used, whatever PyTorch's types say
    return [torch.zeros_like(x) if slope is None else slope for x, slope in zip(at, slopes, strict=True)]


def _correlation(rows: Tensor) -> Tensor:
    """Correlations between the rows; NaN for a constant one."""
    centred = rows - rows.mean(1, keepdim=True)
    scaled: Tensor = centred / torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return scaled @ scaled.T


def _to_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _perturbed(tensor: Tensor, noise: Tensor) -> Tensor:
    return tensor + NOISE * noise if tensor.is_floating_point() else tensor


def _gaussian_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, the same on every device; integers stay as they are."""
    if not tensor.is_floating_point():
        return tensor
    return torch.randn(tensor.shape, generator=generator).to(tensor)


MAKERS: dict[str, Callable[[Passes], Any]] = {
    "weights": _weights,
    "forward": _forward,
    "codes": _codes,
    "gradients": _gradients,
    "saliency": _saliency,
    "curvature": _curvature,
    "similarity": _similarity,
    "spread": _spread,
    "flow": _flow,
    "noise": _noise,
    "size": _size,
    "cost": _cost,
    "published_cost": _published_cost,
}
"""The passes by name."""
BUILDS_ON = {
    "codes": ("forward",),
    "gradients": ("forward",),
    "saliency": ("gradients",),
    "curvature": ("gradients",),
    "similarity": ("forward",),
    "spread": ("gradients",),
}
"""What a pass reads itself."""
