"""Checkpoints of tensors and primitives, rebuilt by our own names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule
from torch import nn

from foretrain import __version__
from foretrain.errors import CheckpointError
from foretrain.runtime.files import atomic_path
from foretrain.runtime.tensors import load_tensors

SCHEMA_VERSION = 1
_KEYS = {"schema_version", "foretrain_version", "class", "hyperparameters", "state_dict"}
Module = TypeVar("Module", bound=LightningModule)
Network = TypeVar("Network", bound=nn.Module)


def save_checkpoint(path: str | Path, module: LightningModule) -> None:
    """Writes a module's class path, hyperparameters (``save_hyperparameters``) and tensors atomically.

    Args:
        path: The file to write.
        module: A LightningModule of this package whose hyperparameters are plain Python values.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "foretrain_version": __version__,
        "class": f"{type(module).__module__}.{type(module).__qualname__}",
        "hyperparameters": dict(module.hparams),
        "state_dict": {name: value.detach().cpu() for name, value in module.state_dict().items()},
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: str | Path, expected: type[Module]) -> Module:
    """Rebuilds the module that :func:`save_checkpoint` wrote, on the CPU and in evaluation mode.

    Only a subclass of ``expected`` that lives inside this package is ever built; nothing else in the file is run.

    Args:
        path: The checkpoint file.
        expected: The class (or a base class) the caller can use.

    Raises:
        CheckpointError: The file is missing, damaged, of another schema version or holds another class.
    """
    content = read_content(path)
    if missing := _KEYS - content.keys():
        raise CheckpointError(path, f"lacks {', '.join(sorted(missing))}", "Restore it or train again")
    module_class = _find_class(path, content["class"], expected)
    try:
        module: Module = rebuild(lambda: module_class(**content["hyperparameters"]), content["state_dict"])
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        raise CheckpointError(
            path, f"its content does not fit {content['class']} ({error})", "Train it again with this version"
        ) from error
    return module.eval()


def rebuild(build: Callable[[], Network], weights: Mapping[str, Any]) -> Network:
    """Builds a network and gives it its weights.

    It is built without memory first: one whose options ask for other sizes than those of its weights takes none.

    Args:
        build: Builds the network.
        weights: Its ``state_dict``.

    Raises:
        ValueError: The weights are not those of such a network. What building raises comes through.
    """
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in build().state_dict().items()}
    found = {name: getattr(value, "shape", None) for name, value in dict(weights).items()}
    if wanted != found:
        name = next(key for key in [*wanted, *found] if wanted.get(key) != found.get(key))
        raise ValueError(f"{name} is {_form(found.get(name))}, not {_form(wanted.get(name))}")
    network = build()
    network.load_state_dict(weights)
    return network


def _form(shape: Any) -> str:  # noqa: ANN401 - a shape or None
    return "missing" if shape is None else str(list(shape))


def read_content(path: str | Path) -> dict[str, Any]:
    """Reads a file of tensors and primitives of this schema version.

    Raises:
        CheckpointError: The file is missing, damaged or of another schema version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(path, "no such checkpoint file", "Give the path of a .ckpt file or of a run folder")
    try:
        content = load_tensors(path)
    except Exception as error:  # damaged bytes fail in many ways
        problem = f"not a readable checkpoint ({type(error).__name__}: {error})"
        raise CheckpointError(path, problem, "Restore it or train again") from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise CheckpointError(path, "not a checkpoint of foretrain", "Give one that train.py wrote")
    if content["schema_version"] != SCHEMA_VERSION:
        raise CheckpointError(
            path,
            f"schema version {content['schema_version']}, this version of foretrain reads {SCHEMA_VERSION}",
            f"Written by foretrain {content.get('foretrain_version', '(unknown)')}: install that, or train again",
        )
    return content


def _find_class(path: str | Path, name: str, expected: type[Module]) -> type[Module]:
    package, _, class_name = str(name).rpartition(".")
    if package.split(".")[0] != "foretrain":
        raise CheckpointError(path, f"names a class outside foretrain ({name})", "Do not use files you do not trust")
    try:
        found = getattr(importlib.import_module(package), class_name)
    except (ImportError, AttributeError) as error:
        raise CheckpointError(path, f"this version has no {name}", "Train it again with this version") from error
    if not (isinstance(found, type) and issubclass(found, expected)):
        raise CheckpointError(path, f"holds a {class_name}, not a {expected.__name__}", "Give another checkpoint")
    return found
