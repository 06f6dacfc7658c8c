"""One's own candidate networks by name: of a library, or of a Python file."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

from torch import nn

from foretrain.errors import ConfigError
from foretrain.spaces.literals import syntax_of


@dataclass(frozen=True)
class Model:
    """A network that can be built.

    Attributes:
        name: What it is called in tables.
        build: Builds it, from the number of image channels and the number of outputs.
    """

    name: str
    build: Callable[[int, int], nn.Module]


def find_models(specs: Sequence[str]) -> list[Model]:
    """Returns the networks that specs stand for; none is built yet.

    - ``timm:PATTERN`` and ``torchvision:PATTERN``: the models of these libraries, ``*`` and ``?`` as in file names;
    - ``FILE.py:NAME`` or ``FILE.py:NAME(ARGUMENTS)``: a class or function in a file, called with these literal
      arguments; the file is run;
    - another file: a text file with such a spec on each line, ``#`` begins a comment.

    Raises:
        ConfigError: A spec is malformed, a library is not installed, or nothing fits a pattern.
    """
    found = [model for spec in specs for line in _lines(spec) for model in _find(line)]
    names = [model.name for model in found]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError("models", "is named twice", repeated, "each network once")
    return found


def _lines(spec: str) -> list[str]:
    """The specs in a text file, else the spec itself."""
    if spec.partition(":")[0] in _LIBRARIES or ".py:" in spec or not Path(spec).is_file():
        return [spec]
    try:
        text = Path(spec).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("models", f"cannot be read ({error})", spec, _FORMS) from error
    return list(filter(None, (line.partition("#")[0].strip() for line in text.splitlines())))


def _find(spec: str) -> Iterator[Model]:
    source, _, name = spec.partition(":")
    if source in _LIBRARIES:
        yield from _LIBRARIES[source](_import(source), name)
    elif ".py:" in spec:
        path, _, call = spec.rpartition(".py:")
        yield _from_file(Path(f"{path}.py"), call, spec)
    else:
        raise ConfigError("models", "is neither a file nor a spec", spec, _FORMS)


_FORMS = "timm:PATTERN, torchvision:PATTERN, FILE.py:NAME(ARGUMENTS), or a text file with one of these on each line"


def _import(library: str) -> ModuleType:
    try:
        return importlib.import_module("torchvision.models" if library == "torchvision" else library)
    except ImportError as error:
        raise ConfigError(
            "models", f"{library} is not installed ({error})", library, f"pip install {library}"
        ) from error


def _timm(library: ModuleType, pattern: str) -> Iterator[Model]:
    for name in _matching(library.list_models(), pattern, "timm"):

        def build(channels: int, outputs: int, name: str = name) -> nn.Module:
            network: nn.Module = library.create_model(name, pretrained=False, in_chans=channels, num_classes=outputs)
            return network

        yield Model(f"timm:{name}", build)


def _torchvision(library: ModuleType, pattern: str) -> Iterator[Model]:
    for name in _matching(library.list_models(module=library), pattern, "torchvision"):

        def build(channels: int, outputs: int, name: str = name) -> nn.Module:  # noqa: ARG001 - they take three channels
            network: nn.Module = library.get_model(name, weights=None, num_classes=outputs)
            return network

        yield Model(f"torchvision:{name}", build)


_LIBRARIES = {"timm": _timm, "torchvision": _torchvision}


def _matching(names: Sequence[str], pattern: str, library: str) -> list[str]:
    matching = [name for name in names if fnmatch(name, pattern)]
    if not matching:
        raise ConfigError("models", f"{library} has no such model", pattern, f"{len(names)} names, e.g. {names[0]}")
    return matching


def _from_file(path: Path, call: str, spec: str) -> Model:
    """The network of a call; the file is run when it is built, so that a broken one is a row like any other."""
    try:
        parsed = syntax_of(call)
        name = parsed if isinstance(parsed, ast.Name) else parsed.func  # type: ignore[attr-defined]
        arguments = [ast.literal_eval(item) for item in getattr(parsed, "args", [])]
        named = {str(item.arg): ast.literal_eval(item.value) for item in getattr(parsed, "keywords", [])}
        called = name.id
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            "models", "is no call of a name with literal arguments", spec, "FILE.py:NAME(1, x='a')"
        ) from error
    if not path.is_file():
        raise ConfigError("models", f"there is no file {path}", spec, "FILE.py:NAME(ARGUMENTS)")

    def build(channels: int, outputs: int) -> nn.Module:  # noqa: ARG001 - its arguments say it all
        network: nn.Module = getattr(_run_file(path), called)(*arguments, **named)
        return network

    return Model(spec, build)


def _run_file(path: Path) -> ModuleType:
    name = f"_foretrain_models_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} cannot be run")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses and pickles look their module up there
    specification.loader.exec_module(module)
    return module
