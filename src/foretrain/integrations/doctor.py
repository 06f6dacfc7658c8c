"""What ``foretrain doctor`` looks at: whether this machine has what foretrain needs, and what it could have besides."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

import torch
from packaging.requirements import Requirement

from foretrain.benchmarks.catalog import EMBEDDED, home, installed, tables_folder
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import DataError

PACKAGE = "foretrain"
_MADE_FOR_DEVELOPERS = {"dev", "docs"}


class State(StrEnum):
    """What a finding means."""

    FINE = "fine"
    ABSENT = "absent"
    """Not there, and not needed for most uses."""
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What it belongs to: ``versions``, ``devices``, ``data`` or ``extras``.
        name: What was looked at.
        state: What was found.
        text: The value, or what is wrong and how to mend it.
    """

    topic: str
    name: str
    state: State
    text: str


def examine() -> list[Finding]:
    """Looks at versions, devices, data and extras, in this order; reads no more than each benchmark's description."""
    return [*_versions(), *_devices(), *_data(), *_extras()]


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "python", State.FINE, f"{platform.python_version()} on {platform.platform()}")
    yield Finding("versions", PACKAGE, State.FINE, metadata.version(PACKAGE))
    for requirement in _requirements():
        if not requirement.marker:
            state, text = _installed_version(requirement)
            yield Finding("versions", requirement.name, state, text)


def _devices() -> Iterator[Finding]:
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    yield Finding("devices", "torch build", State.FINE, build)
    yield Finding("devices", "cpu", State.FINE, f"{os.cpu_count()} cores, {torch.get_num_threads()} threads in use")
    if not torch.cuda.is_available():
        idle = ", though there is an NVIDIA driver: install a CUDA build" if shutil.which("nvidia-smi") else ""
        yield Finding("devices", "cuda", State.ABSENT, f"no device that this build of torch can use{idle}")
    for number in range(torch.cuda.device_count()):
        state, text = _try_device(number)
        yield Finding("devices", f"cuda:{number}", state, text)
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", State.FINE, "Apple GPU")


def _data() -> Iterator[Finding]:
    state, text = _home()
    yield Finding("data", "FORETRAIN_HOME", state, text)
    state, text = _tables()
    yield Finding("data", "FORETRAIN_DATA", state, text)
    found = installed()
    if not any(folder.parent == EMBEDDED for folder in found.values()):
        yield Finding("data", "embedded", State.ABSENT, "no benchmark ships with this installation")
    for name, folder in found.items():
        try:
            text, state = f"{len(Benchmark(folder)):,} networks in {folder}", State.FINE
        except DataError as error:
            text, state = str(error), State.WRONG
        yield Finding("data", name, state, text)


def _extras() -> Iterator[Finding]:
    names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    for extra in sorted(set(names) - _MADE_FOR_DEVELOPERS):
        wanted = [item for item in _requirements() if item.marker and item.marker.evaluate({"extra": extra})]
        found = {item.name: _installed_version(item) for item in wanted}
        missing = [name for name, (state, _) in found.items() if state is State.WRONG]
        if missing:
            text = f"lacks {', '.join(missing)}: pip install '{PACKAGE}[{extra}]'"
            yield Finding("extras", extra, State.ABSENT, text)
        else:
            yield Finding("extras", extra, State.FINE, ", ".join(f"{name} {text}" for name, (_, text) in found.items()))


def _requirements() -> list[Requirement]:
    return [Requirement(line) for line in metadata.requires(PACKAGE) or []]


def _installed_version(requirement: Requirement) -> tuple[State, str]:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return State.WRONG, f"missing, {requirement.specifier} is needed: pip install '{requirement}'"
    if not requirement.specifier.contains(version, prereleases=True):
        return State.WRONG, f"{version}, but {requirement.specifier} is needed: pip install '{requirement}'"
    return State.FINE, version


def _try_device(number: int) -> tuple[State, str]:
    """Computes something: a driver that is too old, or a build without this device's kernels, shows then only."""
    properties = torch.cuda.get_device_properties(number)
    about = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    try:
        torch.ones(2, 2, device=f"cuda:{number}").matmul(torch.ones(2, 2, device=f"cuda:{number}")).sum().item()
    except RuntimeError as error:
        return State.WRONG, f"{about}, but it computes nothing: {str(error).splitlines()[0]}"
    return State.FINE, about


def _home() -> tuple[State, str]:
    folder = home()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return State.WRONG, f"{folder} cannot be written to ({error.strerror}): set FORETRAIN_HOME to another folder"
    return State.FINE, f"{folder}{'' if folder.exists() else ' (made when it is first needed)'}"


def _tables() -> tuple[State, str]:
    folder = tables_folder()
    if folder is None:
        return State.ABSENT, "not set; only needed to convert published tables"
    if not folder.is_dir():
        return State.WRONG, f"{folder} is no folder: correct or unset it"
    return State.FINE, str(folder)
