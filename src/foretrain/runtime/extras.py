"""Packages that only some users need, imported when they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from foretrain.errors import ConfigError


def import_extra(module: str, extra: str) -> ModuleType:
    """Imports a module of an optional package.

    Args:
        module: The module, e.g. ``optuna``.
        extra: The extra of this project that installs it.

    Raises:
        ConfigError: It is not installed; the message says how to.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        remedy = f"pip install 'foretrain[{extra}]'"
        raise ConfigError(package, f"the package cannot be imported ({error})", allowed=remedy) from error
