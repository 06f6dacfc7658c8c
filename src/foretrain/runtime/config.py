"""The config's one schema: the signatures of what it builds, checked before anything is built."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from foretrain.errors import ConfigError, ForetrainError

TARGET = "_target_"
PARTIAL = "_partial_"
_PACKAGES = ("foretrain", "lightning.pytorch")
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Resolves all interpolations and returns plain dicts, lists and primitives.

    Raises:
        ConfigError: An interpolation cannot be resolved or a mandatory value is missing.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "(root)")
        raise ConfigError(key, str(error).splitlines()[0]) from error
    return typing.cast("dict[str, Any]", plain)


def check(node: Mapping[str, Any], expected: Any = object, key: str = "") -> None:  # noqa: ANN401 - any type hint
    """Checks a node, and all nodes below it, against the signature of what it builds.

    A node is a dict with ``_target_``, the import path of a class or function of this package or of
    ``lightning.pytorch``; its other keys are the arguments. ``_partial_: true`` builds a partial, whose missing
    arguments come later.

    Args:
        node: The node as plain values.
        expected: The type that the place wants; the target must be, or return, a subclass of it.
        key: Dotted path of the node, for the messages.

    Raises:
        ConfigError: An unknown or missing key, a wrong type, an impossible value or a target that does not fit.
    """
    target = _locate(node, key)
    partial = bool(node.get(PARTIAL, False))
    _check_target_type(target, partial, expected, key, node[TARGET])
    parameters = signature_of(target)
    arguments = {name: value for name, value in node.items() if name not in (TARGET, PARTIAL)}
    for name in arguments.keys() - parameters.keys():
        raise unknown_key(_join(key, name), name, parameters)
    for name, parameter in parameters.items():
        if name in arguments:
            _check_value(arguments[name], parameter.annotation, _join(key, name))
        elif parameter.default is inspect.Parameter.empty and not partial:
            raise ConfigError(_join(key, name), "missing", allowed=_describe(parameter.annotation))


def build(node: Any, key: str = "") -> Any:  # noqa: ANN401 - a config holds any object
    """Builds a checked node: nodes with ``_target_`` become objects, from the leaves upwards.

    Raises:
        ConfigError: A constructor refuses its arguments (values that do not go together).
    """
    if isinstance(node, list):
        return [build(item, f"{key}[{position}]") for position, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    built = {name: build(value, _join(key, name)) for name, value in node.items() if name not in (TARGET, PARTIAL)}
    if TARGET not in node:
        return built
    target = _locate(node, key)
    if node.get(PARTIAL, False):
        return functools.partial(target, **built)
    try:
        return target(**built)
    except ForetrainError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(key, f"{node[TARGET]} refuses these values: {error}") from error


def signature_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the named parameters of a class or function with their type hints resolved."""
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    parameters = inspect.signature(target).parameters
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: parameter.replace(annotation=hints.get(name, Any))
        for name, parameter in parameters.items()
        if parameter.kind not in variable
    }


def unknown_key(key: str, name: str, known: Mapping[str, Any]) -> ConfigError:
    """Returns the error for a key that nothing uses, with the nearest known name."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"unknown key, did you mean '{near[0]}'?" if near else "unknown key"
    return ConfigError(key, hint, allowed=known)


def absent_key(key: str, node: Mapping[str, Any]) -> ConfigError:
    """Returns the error for an override of a key that a composed config does not have.

    Args:
        key: Dotted path of the key.
        node: The node in which it would be; its target may take more than the config says.
    """
    parent, _, name = key.rpartition(".")
    written = [str(other) for other in node if other not in (TARGET, PARTIAL, "hydra")]
    takes = list(signature_of(_locate(node, parent))) if TARGET in node else []
    if name in takes:
        return ConfigError(key, "not in the config, so it has to be added", allowed=f"+{key}=VALUE")
    return unknown_key(key, name, dict.fromkeys([*written, *takes, *([] if parent else ["experiment"])]))


def _locate(node: Mapping[str, Any], key: str) -> Callable[..., Any]:
    """Imports the target of a node; an import error is shown, not hidden."""
    path = node.get(TARGET)
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(_join(key, TARGET), "missing or not an import path", path, "package.module.Name")
    if not any(path.startswith(f"{package}.") for package in _PACKAGES):
        raise ConfigError(_join(key, TARGET), "outside the allowed packages", path, _PACKAGES)
    module, _, name = path.rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(_join(key, TARGET), f"cannot be imported ({error})", path) from error
    except AttributeError as error:
        raise ConfigError(_join(key, TARGET), f"module {module} has no {name}", path) from error
    if not callable(target):
        raise ConfigError(_join(key, TARGET), "is neither a class nor a function", path)
    return typing.cast("Callable[..., Any]", target)


def _check_target_type(target: Callable[..., Any], partial: bool, expected: Any, key: str, path: str) -> None:  # noqa: ANN401
    if partial and typing.get_origin(expected) is Callable:
        expected = typing.get_args(expected)[-1]
    wanted = _wanted_classes(expected)
    if not wanted:
        return
    made = target if inspect.isclass(target) else typing.get_type_hints(target).get("return")
    made = typing.get_origin(made) or made
    if not (inspect.isclass(made) and issubclass(made, wanted)):
        names = [f"a subclass of {item.__module__}.{item.__qualname__}" for item in wanted]
        raise ConfigError(_join(key, TARGET), "builds something else than this place wants", path, names)


def _wanted_classes(expected: Any) -> tuple[type, ...]:  # noqa: ANN401
    """The classes in a hint, without None and Annotated's extras; empty when anything goes."""
    options = typing.get_args(expected) if _is_union(expected) else (expected,)
    origins = [typing.get_origin(option) or option for option in options if option is not NoneType]
    return tuple(option for option in origins if inspect.isclass(option) and option is not object)


def _check_value(value: Any, annotation: Any, key: str) -> None:  # noqa: ANN401
    if isinstance(value, Mapping) and TARGET in value:
        check(value, annotation, key)
    elif isinstance(value, Mapping) and typing.get_origin(annotation) is dict:
        item_type = typing.get_args(annotation)[1]
        for name, item in value.items():
            _check_value(item, item_type, _join(key, str(name)))
    elif isinstance(value, Mapping) and not {dict, Any, Mapping} & {annotation, *_wanted_classes(annotation)}:
        raise ConfigError(_join(key, TARGET), "missing", allowed=_describe(annotation))
    else:
        _check_leaf(value, annotation, key)


def _check_leaf(value: Any, annotation: Any, key: str) -> None:  # noqa: ANN401
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_STRICT)
    except PydanticSchemaGenerationError:
        return
    except Exception:  # noqa: BLE001 - a type that carries its own pydantic config refuses ours
        adapter = TypeAdapter(annotation)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].replace("Input should", "should")
        raise ConfigError(key, problem, value, _describe(annotation)) from error


def _describe(annotation: Any) -> str:  # noqa: ANN401
    """A type hint in words: ``int, >= 1``, ``one of 'sgd', 'adam'``, ``str or null``."""
    if annotation is NoneType:
        return "null"
    if typing.get_origin(annotation) is typing.Annotated:
        base, *constraints = typing.get_args(annotation)
        limits = [_limit(item) for extra in constraints for item in getattr(extra, "metadata", [extra])]
        return ", ".join([_describe(base), *filter(None, limits)])
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(annotation))
    if _is_union(annotation):
        return " or ".join(_describe(option) for option in typing.get_args(annotation))
    return getattr(annotation, "__name__", str(annotation)) if inspect.isclass(annotation) else str(annotation)


def _limit(constraint: object) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
    return ", ".join(f"{sign} {getattr(constraint, name)}" for name, sign in signs.items() if hasattr(constraint, name))


def _is_union(annotation: Any) -> bool:  # noqa: ANN401
    return typing.get_origin(annotation) in (typing.Union, UnionType)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
