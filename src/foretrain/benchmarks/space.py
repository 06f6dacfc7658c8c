"""The search space that a benchmark's architectures belong to, found by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foretrain.errors import DataError
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


def load_space(path: str, source: object) -> SearchSpace[Any]:
    """Imports a space and builds it with its published skeleton.

    Args:
        path: Import path of the class, inside ``foretrain.spaces``; nothing else is ever imported.
        source: Where the path was read, for the messages.

    Raises:
        DataError: It lies elsewhere, this version of foretrain lacks it, or it is no space.
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
    return found()
