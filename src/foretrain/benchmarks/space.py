"""The search space that a benchmark's architectures belong to, found by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from foretrain.errors import ConfigError, DataError
from foretrain.runtime.config import TARGET, check
from foretrain.spaces.base import SearchSpace


@contextmanager
def errors_of(source: object) -> Iterator[None]:
    """Puts the name of the file before the errors of a space, which know the position of an architecture only.

    Args:
        source: The file that the architectures were read from.

    Raises:
        DataError: As the block raises it, with the file.
    """
    try:
        yield
    except DataError as error:
        raise DataError(source, str(error), "Correct or remove that architecture") from error


def load_space(path: str, skeleton: Mapping[str, int | float], source: object) -> SearchSpace[Any]:
    """Imports a space and builds it with the skeleton that the networks were measured in.

    Args:
        path: Import path of the class, inside ``foretrain.spaces``; nothing else is ever imported.
        skeleton: Arguments of the class; empty for the published skeleton.
        source: Where both were read, for the messages.

    Raises:
        DataError: It lies elsewhere, this version of foretrain lacks it, it is no space, or it refuses the skeleton.
    """
    module, _, name = path.rpartition(".")
    if not f"{module}.".startswith("foretrain.spaces."):
        raise DataError(source, f"names a space outside foretrain.spaces ({path})", "Name one of foretrain's spaces")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DataError(source, f"this version of foretrain has no {path} ({error})", "Check the name") from error
    if not (isinstance(found, type) and issubclass(found, SearchSpace)):
        raise DataError(source, f"{path} is no search space", "Name one of foretrain's spaces")
    if not all(isinstance(value, int | float) for value in skeleton.values()):
        raise DataError(source, f"has a skeleton that does not consist of numbers: {dict(skeleton)}", "Correct it")
    try:
        check({TARGET: path, **skeleton}, SearchSpace)
    except ConfigError as error:
        raise DataError(source, f"has an impossible skeleton: {error}", "Correct it") from error
    return found(**skeleton)
