"""Fitted predictors as files of tensors and plain values, rebuilt by our own names."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foretrain.errors import CheckpointError, ForetrainWarning
from foretrain.predictors.base import Predictor
from foretrain.predictors.regressor import Regressor
from foretrain.runtime.checkpoints import SCHEMA_VERSION, read_content, rebuild
from foretrain.runtime.files import atomic_path
from foretrain.spaces.base import SearchSpace

_KIND = "__kind__"
_KEYS = {"space", "skeleton", "predictor"}
_PLAIN = (bool, int, float, str, type(None))


def save_predictor(path: str | Path, predictor: Regressor[Any]) -> None:
    """Writes a fitted predictor atomically; it loads with ``weights_only=True``.

    Raises:
        DataError: It was not fitted.
    """
    _ = predictor.learned
    content = {
        "schema_version": SCHEMA_VERSION,
        "space": _path_of(type(predictor.space)),
        "skeleton": {name: value for name, value in vars(predictor.space).items() if isinstance(value, _PLAIN)},
        "predictor": _pack(predictor),
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_predictor(path: str | Path, space: SearchSpace[Any] | None = None) -> Regressor[Any]:
    """Reads what :func:`save_predictor` wrote; the predictor says the same numbers as before.

    Args:
        path: The file.
        space: The space that the architectures to foresee are of; None takes the one that the predictor was fitted on.
            Where its skeleton is another than that there is a warning: the ranking may still hold, the level of the
            accuracies will not.

    Raises:
        CheckpointError: The file is missing or damaged, or the predictor belongs to another space.
    """
    content = read_content(path)
    if missing := _KEYS - content.keys():
        raise CheckpointError(path, f"holds no predictor: it lacks {', '.join(sorted(missing))}", "Give another file")
    space = space or _build_space(path, content)
    if content.get("space") != _path_of(type(space)):
        problem = f"was fitted on {content.get('space')}, not on {_path_of(type(space))}"
        raise CheckpointError(path, problem, "Give the space that it was fitted on")
    skeleton = {name: vars(space).get(name) for name in content["skeleton"]}
    if skeleton != content["skeleton"]:
        message = f"{path}: fitted on networks with {content['skeleton']}, not {skeleton}; trust the ranking at most"
        warnings.warn(message, ForetrainWarning, stacklevel=2)
    try:
        predictor = _unpack(content["predictor"], space)
    except Exception as error:  # a content that somebody made up fails in many ways
        remedy = "Fit it again with this version"
        raise CheckpointError(path, f"its content does not fit this version ({error})", remedy) from error
    if not isinstance(predictor, Regressor):
        raise CheckpointError(path, "holds no predictor", "Give another file")
    return predictor


def _build_space(path: str | Path, content: Mapping[str, Any]) -> SearchSpace[Any]:
    module, _, name = str(content["space"]).rpartition(".")
    found = None
    if module.startswith("foretrain.spaces."):
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), name, None)
    if not (inspect.isclass(found) and issubclass(found, SearchSpace)):
        remedy = "Read it in Python, where load_predictor takes a space"
        raise CheckpointError(path, f"its space {content['space']} is none of foretrain", remedy)
    options = inspect.signature(found).parameters.keys() & content["skeleton"].keys()
    space: SearchSpace[Any] = found(**{name: content["skeleton"][name] for name in options})
    return space


def _pack(value: Any) -> Any:  # noqa: ANN401, PLR0911 - one line for each kind of value
    """Turns a value into tensors, plain values, and dicts that name their kind."""
    if isinstance(value, (*_PLAIN, Tensor)):
        return value
    if isinstance(value, np.ndarray):
        return {_KIND: "array", "values": torch.from_numpy(np.ascontiguousarray(value))}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {_KIND: "dict", "items": {name: _pack(item) for name, item in value.items()}}
    if isinstance(value, list | tuple):
        return {_KIND: type(value).__name__, "items": [_pack(item) for item in value]}
    if isinstance(value, nn.Module):
        weights = {name: weight.detach().cpu() for name, weight in value.state_dict().items()}
        return {_KIND: "network", "class": _path_of(type(value)), "options": value.options, "weights": weights}
    return _pack_object(value)


def _pack_object(value: Any) -> dict[str, Any]:  # noqa: ANN401
    if isinstance(value, Regressor):
        kind = {_KIND: "predictor", "class": _path_of(type(value)), "options": _pack(_options(value))}
        return kind | {"seed": value.seed, "learned": _pack(value._learned), "scores": list(value._score_names)}  # noqa: SLF001
    if isinstance(value, functools.partial):
        return {_KIND: "partial", "class": _path_of(value.func), "options": _pack(value.keywords)}
    if inspect.isclass(value) and issubclass(value, Predictor):
        return {_KIND: "class", "class": _path_of(value)}
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _pack(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: "dataclass", "class": _path_of(type(value)), "fields": content}
    raise TypeError(f"a {type(value).__name__} cannot be written")


def _unpack(packed: Any, space: SearchSpace[Any]) -> Any:  # noqa: ANN401
    if not isinstance(packed, dict):
        return packed
    return _READERS[packed[_KIND]](packed, space)


def _read_items(packed: dict[str, Any], space: SearchSpace[Any]) -> list[Any]:
    return [_unpack(item, space) for item in packed["items"]]


def _read_dict(packed: dict[str, Any], space: SearchSpace[Any]) -> dict[str, Any]:
    return {name: _unpack(item, space) for name, item in packed["items"].items()}


def _read_network(packed: dict[str, Any], space: SearchSpace[Any]) -> nn.Module:  # noqa: ARG001
    network: nn.Module = rebuild(lambda: _find(packed["class"])(**packed["options"]), packed["weights"])
    return network.eval()


def _read_predictor(packed: dict[str, Any], space: SearchSpace[Any]) -> Predictor:
    made: Regressor[Any] = _find(packed["class"])(space=space, seed=packed["seed"], **_unpack(packed["options"], space))
    made._learned = _unpack(packed["learned"], space)  # noqa: SLF001 - the other half of what this file writes
    made._score_names = tuple(packed["scores"])  # noqa: SLF001
    return made


def _read_dataclass(packed: dict[str, Any], space: SearchSpace[Any]) -> Any:  # noqa: ANN401
    return _find(packed["class"])(**{name: _unpack(item, space) for name, item in packed["fields"].items()})


_READERS: dict[str, Callable[[dict[str, Any], SearchSpace[Any]], Any]] = {
    "array": lambda packed, _: packed["values"].numpy(),
    "dict": _read_dict,
    "list": _read_items,
    "tuple": lambda packed, space: tuple(_read_items(packed, space)),
    "network": _read_network,
    "predictor": _read_predictor,
    "partial": lambda packed, space: functools.partial(_find(packed["class"]), **_unpack(packed["options"], space)),
    "class": lambda packed, _: _find(packed["class"]),
    "dataclass": _read_dataclass,
}


def _options(predictor: Regressor[Any]) -> dict[str, Any]:
    """The options of a predictor: the arguments of its constructor, which it keeps under the same names."""
    names = inspect.signature(type(predictor)).parameters.keys() - {"space", "seed"}
    return {name: getattr(predictor, name) for name in sorted(names)}


def _path_of(kind: Callable[..., Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _find(path: str) -> Callable[..., Any]:
    """The class of this name; only classes of this room are ever built.

    Raises:
        ValueError: It lies elsewhere.
    """
    module, _, name = path.rpartition(".")
    if not module.startswith("foretrain.predictors."):
        raise ValueError(f"{path} lies outside foretrain.predictors")
    found = getattr(importlib.import_module(module), name)
    if not inspect.isclass(found) or found.__module__ != module:
        raise ValueError(f"{path} is no class of that module")
    return found
