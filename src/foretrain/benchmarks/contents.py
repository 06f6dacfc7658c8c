"""What a benchmark holds: series of numbers, one row per architecture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foretrain.errors import DataError

Kind = Literal["final", "curve", "cost", "score"]

ACCURACY = "accuracy"
LOSS = "loss"
TRAINING_SECONDS = "training_seconds"
LATENCY_SECONDS = "latency_seconds"
PARAMETERS = "parameters"
FLOPS = "flops"

MEAN = "mean"
"""Seed of a series whose source gives only the mean over seeds."""
SINGLE = "single"
"""Seed of a series whose source gives one value and does not say of which seed, or that has no seed."""

_KINDS = ("final", "curve", "cost", "score")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_LONGEST_LABEL = 100
_LONGEST_TRAINING = 1_000_000


@dataclass(frozen=True)
class Series:
    """What one array of numbers is.

    Attributes:
        kind: ``final`` values at the end of training, a ``curve`` over the epochs, a ``cost`` or a ``score`` of the
            untrained network.
        name: What was measured: ``accuracy`` (percent), ``loss``, ``training_seconds``, ``parameters``, ..., or the
            name of a score.
        dataset: The data set, as the source names it, or None.
        split: ``train``, ``valid``, ``test``, or another name that the source has, or None.
        epochs: Length of the training in epochs, or None for what does not depend on it. Training for 12 epochs is
            another run than the first 12 epochs of a long one.
        seeds: The seeds, in the order of the array's second dimension.
        observed: The epochs of a curve, counted from 1, in the order of its third dimension; None stands for all.

    Raises:
        DataError: A name has characters that cannot stand in a file name, or epochs are impossible.
    """

    kind: Kind
    name: str
    dataset: str | None = None
    split: str | None = None
    epochs: int | None = None
    seeds: tuple[int | str, ...] = (SINGLE,)
    observed: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise DataError("benchmark series", f"unknown kind '{self.kind}'", f"Known are {', '.join(_KINDS)}")
        if not self.seeds:
            raise DataError("benchmark series", f"{self.path} has no seeds", "Name at least one")
        if self.epochs is not None and not 0 <= self.epochs <= _LONGEST_TRAINING:
            allowed = f"Trainings have 0 to {_LONGEST_TRAINING} epochs"
            raise DataError("benchmark series", f"{self.name} of {str(self.epochs)[:20]} epochs", allowed)
        for part in (*self._parts(), *map(str, self.seeds)):
            _check_label(part, "benchmark series")
        if self.kind == "curve" and not _are_epochs(self.epochs_observed, self.epochs):
            problem = f"{self.path} is a curve of {self.epochs} epochs, observed at {self.epochs_observed}"
            raise DataError("benchmark series", problem, "Epochs are counted from 1 to the length of the training")

    @property
    def path(self) -> str:
        """Where the series lies in the benchmark: kind, data set, split, name and epochs joined by slashes."""
        return "/".join(self._parts())

    @property
    def columns(self) -> list[str]:
        """Names of the columns, one a seed."""
        return [f"{self.path}/{seed}" for seed in self.seeds]

    @property
    def epochs_observed(self) -> tuple[int, ...]:
        """The epochs of a curve, counted from 1."""
        return tuple(range(1, (self.epochs or 0) + 1)) if self.observed is None else self.observed

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of the numbers of one architecture."""
        return (len(self.seeds), len(self.epochs_observed)) if self.kind == "curve" else (len(self.seeds),)

    def _parts(self) -> list[str]:
        parts = (self.kind, self.dataset, self.split, self.name, self.epochs)
        return [str(part) for part in parts if part is not None]


@dataclass(frozen=True)
class Description:
    """What a benchmark is and where it comes from.

    Attributes:
        name: Its short name.
        title: What it is, in one line.
        space: Import path of the search space whose strings name the architectures, or None for networks that belong
            to no space.
        source: Who measured it, and where it is described.
        licence: Licence of the numbers.
        source_file: The file or folder it was read from.
        source_sha256: SHA-256 of that file; of several files, of the lines ``<sha256>  <name>`` in order of name.
        skeleton: Arguments of the space, for networks that were measured in another skeleton than the published one.

    Raises:
        DataError: The name has characters that cannot stand in a file name.
    """

    name: str
    title: str
    space: str | None
    source: str
    licence: str
    source_file: str = ""
    source_sha256: str = ""
    skeleton: Mapping[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_label(self.name, "benchmark name")


@dataclass(frozen=True)
class Contents:
    """A benchmark in memory: what an importer returns.

    Attributes:
        description: What it is.
        architectures: The n architectures in their published string form.
        series: The numbers: ``float64[n, seeds]`` and for curves ``float32[n, seeds, epochs]``; NaN for what was not
            measured.
        keys: Keys that are equal for equal networks, where the source gives them.
    """

    description: Description
    architectures: Sequence[str]
    series: Mapping[Series, NDArray[Any]]
    keys: Sequence[str] | None = None


def check_contents(contents: Contents, source: object) -> None:
    """Checks that the contents are fit to be a benchmark.

    Args:
        contents: What an importer returned.
        source: Where it was read from, for the message.

    Raises:
        DataError: An architecture is there twice, a series is there twice or has another length, an accuracy is
            outside 0..100, or a cost or score is infinite; names the first such place.
    """
    if not contents.architectures:
        raise DataError(source, "holds no architecture", "Check that it is the right file")
    _check_unique(contents.architectures, source)
    _check_paths(list(contents.series), source)
    for series, values in contents.series.items():
        expected = (len(contents.architectures), *series.item_shape)
        if values.shape != expected:
            raise DataError(source, f"{series.path} has the shape {values.shape}, not {expected}", "Import it again")
        _check_values(series, values, contents.architectures, source)


def _are_epochs(observed: Sequence[int], epochs: int | None) -> bool:
    return isinstance(epochs, int) and len(observed) > 0 and all(0 < epoch <= epochs for epoch in observed)


def _check_label(text: str, what: str) -> None:
    if len(text) > _LONGEST_LABEL:
        raise DataError(what, f"'{text[:20]}...' is too long for a file name", f"At most {_LONGEST_LABEL} characters")
    if not _LABEL.fullmatch(text):
        allowed = "Use letters, digits and _ . + - and begin with a letter or digit"
        raise DataError(what, f"'{text}' cannot be part of a file name", allowed)


def _check_unique(architectures: Sequence[str], source: object) -> None:
    if len(set(architectures)) == len(architectures):
        return
    first: dict[str, int] = {}
    for row, architecture in enumerate(architectures):
        if first.setdefault(architecture, row) != row:
            problem = f"architecture {architecture} is there twice, in rows {first[architecture]} and {row}"
            raise DataError(source, problem, "Remove one of them")


def _check_paths(series: Sequence[Series], source: object) -> None:
    paths = [item.path for item in series]
    for path in paths:
        if paths.count(path) > 1:
            raise DataError(source, f"the series {path} is there twice", "Remove one of them")


def _check_values(series: Series, values: NDArray[Any], architectures: Sequence[str], source: object) -> None:
    limit, problem = (100.0, "outside 0..100") if series.name == ACCURACY else (np.inf, "negative")
    if series.kind == "score" or series.name == LOSS:
        return
    for rows in _blocks(len(values)):
        block = values[rows]
        bad = (block < 0) | (block > limit) | np.isinf(block)
        if bad.any():
            place = np.argwhere(bad)[0]
            row, seed = rows.start + int(place[0]), series.seeds[place[1]]
            epoch = f", epoch {series.epochs_observed[place[2]]}" if series.kind == "curve" else ""
            where = f"architecture {row} ({architectures[row]}), {series.path}, seed {seed}{epoch}"
            value = float(block[tuple(place)])
            raise DataError(source, f"{where}: {value} is {problem}", "Correct or remove that row")


def _blocks(length: int, size: int = 1 << 16) -> Iterator[slice]:
    """Slices that cover ``length`` rows, so that a check of a large array needs no copy of it."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
