"""The scores of one network."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from foretrain.errors import ConfigError, ForetrainWarning
from foretrain.proxies.batches import split_batch
from foretrain.proxies.passes import Loss, Passes, Task, closure, guarded
from foretrain.proxies.scores import Reason, Score, Scores, Unavailable, average
from foretrain.proxies.subject import Subject, prepared
from foretrain.proxies.table import PROXIES, Proxy
from foretrain.runtime.seeding import derive_seed


def score(
    model: nn.Module,
    batch: object,
    loss: Loss = cross_entropy,
    proxies: Sequence[str] | None = None,
    seed: int = 0,
    repeats: int = 1,
    batches: Sequence[object] = (),
) -> Scores:
    """Scores an untrained network.

    The network is left exactly as it was: weights, buffers, gradients, modes, hooks and the global random states. It
    runs in training mode on the device it lies on; sums run over the weights of its convolutions and linear layers.

    Args:
        model: Any network. Its output is a tensor, an object with ``logits``, a dict with ``"logits"``, or a tuple
            whose first item is the tensor.
        batch: A tensor, a pair ``(inputs, labels)`` or a dict; see :func:`foretrain.proxies.batches.split_batch`.
        loss: Of output and labels, a number: any, for classes or for real targets.
        proxies: Keys of :data:`foretrain.proxies.PROXIES`; None takes all (zico only where ``batches`` are given).
        seed: Seed of all that is drawn: the same call gives the same scores.
        repeats: 1 scores the weights that the network has. A larger number draws so many initialisations, by the
            ``reset_parameters`` of all modules that have one, and averages over them. Parameters of other modules (a
            bare ``nn.Parameter``, say) stay as they are in all of them, so that the standard error, which is over the
            drawn ones only, is too small; there is a warning then. ``foretrain score --repeats`` builds a network
            anew each time and has no such gap.
        batches: Further batches, which zico compares with ``batch``.

    Returns:
        A score for each proxy, in the order asked for; where no value can be had, NaN with the reason.

    Raises:
        ConfigError: There is no such proxy, or ``repeats`` is impossible.
        DataError: The batch cannot be taken apart.
    """
    chosen = _choose(proxies, further=bool(batches))
    if repeats < 1:
        raise ConfigError("repeats", "is impossible", repeats, ">= 1")
    if repeats == 1:
        return _score_weights(model, batch, loss, chosen, seed, batches)
    if fixed := _never_drawn(model):
        message = f"{', '.join(fixed)} have weights but no reset_parameters: the mean over {repeats} initialisations "
        warnings.warn(message + "keeps theirs, and its standard error is too small", ForetrainWarning, stacklevel=2)
    repetitions = []
    for repetition in range(repeats):
        own_seed = derive_seed(seed, "initialisation", repetition)
        repetitions.append(_score_weights(reinitialised(model, own_seed), batch, loss, chosen, own_seed, batches))
    return average(repetitions)


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """Returns a copy of a network with newly drawn weights; the global random states are left as they were.

    Parameters of modules without ``reset_parameters`` keep their values.
    """
    drawn = copy.deepcopy(model)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        for module in drawn.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return drawn


def _never_drawn(model: nn.Module) -> list[str]:
    """Kinds of modules whose own weights :func:`reinitialised` leaves as they are."""
    modules = (module for module in model.modules() if not callable(getattr(module, "reset_parameters", None)))
    return sorted(
        {type(module).__name__ for module in modules if next(module.parameters(recurse=False), None) is not None}
    )


def without_value(proxies: Sequence[str], reason: Unavailable) -> Scores:
    """Returns scores of which none has a value, for a network that could not even be built."""
    return Scores({name: _score_of(PROXIES[name], math.nan, reason, 0.0) for name in proxies}, 0.0)


def _choose(names: Sequence[str] | None, *, further: bool) -> list[Proxy]:
    if names is None:
        return [proxy for name, proxy in PROXIES.items() if further or name != "zico"]
    for name in names:
        if name not in PROXIES:
            raise ConfigError("proxies", "no such proxy", name, PROXIES)
    return [PROXIES[name] for name in dict.fromkeys(names)]


def _score_weights(
    model: nn.Module, batch: object, loss: Loss, proxies: Sequence[Proxy], seed: int, batches: Sequence[object]
) -> Scores:
    started = time.perf_counter()
    subject = Subject(model)
    first, *further = (split_batch(item, model).to(subject.device) for item in (batch, *batches))
    wanted = frozenset(closure([name for proxy in proxies for name in proxy.reads]))
    with prepared(model, seed):
        passes = Passes(Task(subject, first, loss, wanted, seed, further))
        found = [_read(proxy, passes) for proxy in proxies]
        values = _to_numbers([value for value, _ in found])
    scores = {
        proxy.name: _score_of(proxy, value, raw, own + passes.seconds_of(proxy.reads))
        for proxy, (raw, own), value in zip(proxies, found, values, strict=True)
    }
    return Scores(scores, time.perf_counter() - started)


def _read(proxy: Proxy, passes: Passes) -> tuple[Tensor | float | Unavailable, float]:
    """Returns the value of one proxy, still on its device, or why there is none; and the seconds of the reading."""
    try:
        results = [passes.get(name) for name in proxy.reads]
        started = time.perf_counter()
        return guarded(proxy.read, *results), time.perf_counter() - started
    except Unavailable as reason:
        return reason, 0.0


def _to_numbers(values: Sequence[Tensor | float | Unavailable]) -> list[float]:
    """Brings all values to the CPU in one transfer; NaN for what is not there."""
    tensors = [value.detach().double() for value in values if isinstance(value, Tensor)]
    numbers = iter(torch.stack(tensors).tolist() if tensors else [])
    return [
        next(numbers) if isinstance(value, Tensor) else math.nan if isinstance(value, Unavailable) else float(value)
        for value in values
    ]


def _score_of(proxy: Proxy, value: float, raw: Tensor | float | Unavailable, seconds: float) -> Score:
    reason: Reason | None = None
    detail = ""
    if isinstance(raw, Unavailable):
        reason, detail = raw.reason, raw.detail
    elif not math.isfinite(value):
        reason = proxy.minus_infinity if value == -math.inf else proxy.not_finite
        detail = f"the value is {value}"
    return Score(
        proxy=proxy.name,
        value=value if reason is None else math.nan,
        direction=proxy.direction,
        needs_data=proxy.needs_data,
        needs_labels=proxy.needs_labels,
        seconds=seconds,
        reason=reason,
        detail=detail,
    )
