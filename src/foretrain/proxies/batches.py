"""How a batch of any form is handed to a network, and how its output is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from foretrain.errors import DataError

LABEL_KEYS = ("labels", "label", "targets", "target", "y")
"""Keys under which the labels of a dict are looked for, in this order."""


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of a network, and the labels.

    Attributes:
        positional: Positional arguments.
        named: Keyword arguments.
        labels: The labels, or None.
    """

    positional: tuple[Any, ...]
    named: Mapping[str, Any]
    labels: Any = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Returns the batch with every input tensor changed."""
        named = {name: map_tensors(value, change) for name, value in self.named.items()}
        return replace(self, positional=map_tensors(self.positional, change), named=named)

    def to(self, device: torch.device) -> Self:
        """Returns the batch on a device."""
        moved = self.map(lambda tensor: tensor.to(device))
        return replace(moved, labels=map_tensors(self.labels, lambda tensor: tensor.to(device)))

    @property
    def inputs(self) -> list[Tensor]:
        """The input tensors."""
        return list(_tensors((self.positional, dict(self.named))))

    @property
    def size(self) -> int:
        """Number of samples: the length of the first input tensor."""
        return len(self.inputs[0])

    @property
    def real_inputs(self) -> list[Tensor]:
        """The input tensors of floating-point numbers."""
        return [tensor for tensor in self.inputs if tensor.is_floating_point()]


def split_batch(batch: object, model: nn.Module) -> Batch:
    """Takes a batch apart.

    - a tensor: the input, without labels;
    - a pair ``(inputs, labels)``, where ``inputs`` may itself be a tensor, a tuple of positional or a dict of keyword
      arguments;
    - a dict: labels under one of :data:`LABEL_KEYS`; the rest are keyword arguments where the network's ``forward`` has
      parameters of these names, else a single value is the positional argument, else the rest is handed over as the
      dict it is.

    Args:
        batch: The batch.
        model: The network it is for.

    Raises:
        DataError: It has another form, or holds no tensor.
    """
    if isinstance(batch, Tensor):
        found = Batch((batch,), {})
    elif isinstance(batch, Mapping):
        found = _from_dict(batch, model)
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        found = replace(_from_inputs(batch[0]), labels=batch[1])
    else:
        form = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
        raise DataError("batch", f"is a {form}", "Give a tensor, a pair (inputs, labels) or a dict")
    if not found.inputs or found.inputs[0].ndim == 0:
        raise DataError("batch", "holds no tensor of inputs with a first dimension for the samples", "Give one")
    return found


def logits_of(output: object) -> Tensor:
    """Returns the tensor a network put out: itself, ``.logits`` or ``["logits"]``, or the first of a tuple.

    Raises:
        TypeError: There is no tensor in these places.
    """
    logits = output
    if isinstance(output, Mapping):
        logits = output.get("logits", next(iter(output.values()), None))
    elif hasattr(output, "logits"):
        logits = output.logits
    elif isinstance(output, tuple | list) and output:
        logits = output[0]
    if not isinstance(logits, Tensor):
        raise TypeError(f"the network put out a {type(output).__name__}, in which no tensor of outputs was found")
    return logits


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401 - any nesting
    """Returns a nesting of tuples, lists and dicts with its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(item, change) for item in value)
    return value


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _from_inputs(inputs: object) -> Batch:
    if isinstance(inputs, Mapping):
        return Batch((), dict(inputs))
    return Batch(tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,), {})


def _from_dict(batch: Mapping[str, Any], model: nn.Module) -> Batch:
    key = next((name for name in LABEL_KEYS if name in batch), None)
    rest = {name: value for name, value in batch.items() if name != key}
    labels = None if key is None else batch[key]
    parameters = inspect.signature(model.forward).parameters
    if rest.keys() <= parameters.keys():
        return Batch((), rest, labels)
    if len(rest) == 1:
        return Batch(tuple(rest.values()), {}, labels)
    return Batch((rest,), {}, labels)
