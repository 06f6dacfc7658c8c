"""The string form of a NAS-Bench-101 cell.

It joins the two fields of a published record, ``raw_adjacency`` and ``raw_operations``, by a colon: the adjacency
matrix of the v vertices row by row as v * v digits, then the v operation names. The cell input -> conv3x3 -> output,
with the input added at the output, is ``011001000:input,conv3x3-bn-relu,output``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.errors import DataError
from foretrain.spaces.nasbench101.cells import ABSENT, MAX_VERTICES, NUM_OPERATIONS, Cells101, prune_valid

OPERATION_NAMES = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3", "input", "output")
"""The published names, at the place of their codes."""

_CODES = {name: code for code, name in enumerate(OPERATION_NAMES)}
_FORM = re.compile(r"([01]+):([^:]+)")


def parse_cells(strings: Sequence[str]) -> Cells101:
    """Reads cells from their string form, dead vertices included.

    Raises:
        DataError: A string is malformed or describes no valid cell; names its position.
    """
    known: dict[str, bytes] = {}
    rows = [_parse(text, f"strings[{position}]", known) for position, text in enumerate(strings)]
    ops = np.frombuffer(bytearray(b"".join(codes for _, codes in rows)), dtype=np.int8)
    adjacency = _parse_adjacency([digits for digits, _ in rows])
    cells = Cells101(torch.from_numpy(adjacency), torch.from_numpy(ops.reshape(-1, MAX_VERTICES)))
    prune_valid(cells)
    return cells


def format_cells(cells: Cells101) -> list[str]:
    """Writes cells in their string form, dead vertices included."""
    adjacency, ops = cells.adjacency.cpu().numpy() + ord("0"), cells.ops.cpu().numpy()
    num_vertices = cells.num_vertices.cpu().numpy()
    strings = np.empty(len(cells), dtype=object)
    for size in np.unique(num_vertices):
        rows = num_vertices == size
        text = adjacency[rows, :size, :size].tobytes().decode()
        digits = [text[start : start + size**2] for start in range(0, len(text), size**2)]
        names = _operation_lists(ops[rows, :size])
        strings[rows] = [f"{left}:{right}" for left, right in zip(digits, names, strict=True)]
    formatted: list[str] = strings.tolist()
    return formatted


def _operation_lists(ops: NDArray[np.int8]) -> list[str]:
    packed = ops @ len(OPERATION_NAMES) ** np.arange(ops.shape[1])
    _, examples, kinds = np.unique(packed, return_index=True, return_inverse=True)
    names = [",".join(OPERATION_NAMES[code] for code in kind) for kind in ops[examples].tolist()]
    return [names[kind] for kind in kinds.tolist()]


def _parse(text: str, place: str, known: dict[str, bytes]) -> tuple[str, bytes]:
    """Returns the adjacency digits and 7 operation codes; ``known`` keeps the operation lists already read."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise _malformed(place, f"'{text}' is not of the form DIGITS:NAME,NAME,...")
    digits, names = form.groups()
    codes = known.get(names)
    if codes is None:
        codes = known[names] = _parse_operations(names, place)
    size = names.count(",") + 1
    if len(digits) != size**2:
        raise _malformed(place, f"{len(digits)} adjacency digits for {size} operations, not {size**2}")
    return digits, codes


def _parse_operations(names: str, place: str) -> bytes:
    ops = names.split(",")
    if not 2 <= len(ops) <= MAX_VERTICES:
        raise _malformed(place, f"{len(ops)} operations are listed, not 2 to {MAX_VERTICES}")
    if ops[0] != "input" or ops[-1] != "output":
        raise _malformed(place, f"the operations lead from '{ops[0]}' to '{ops[-1]}', not from 'input' to 'output'")
    for name in ops[1:-1]:
        if name not in OPERATION_NAMES[:NUM_OPERATIONS]:
            raise _malformed(place, f"unknown operation '{name}'")
    codes = [_CODES[name] for name in ops] + [ABSENT] * (MAX_VERTICES - len(ops))
    return np.array(codes, dtype=np.int8).tobytes()


def _parse_adjacency(digits: list[str]) -> NDArray[np.uint8]:
    adjacency = np.zeros((len(digits), MAX_VERTICES, MAX_VERTICES), dtype=np.uint8)
    lengths = np.array([len(row) for row in digits])
    for size in range(2, MAX_VERTICES + 1):
        rows = np.flatnonzero(lengths == size**2)
        text = "".join(digits[row] for row in rows.tolist())
        adjacency[rows, :size, :size] = np.frombuffer(text.encode(), dtype=np.uint8).reshape(-1, size, size) - ord("0")
    backward = np.tril(adjacency).any(axis=(1, 2))
    if backward.any():
        raise _malformed(f"strings[{backward.argmax()}]", "an edge leads to the same or a lower vertex")
    return adjacency


def _malformed(place: str, problem: str) -> DataError:
    example = "011001000:input,conv3x3-bn-relu,output"
    return DataError(
        place, problem, f"Operations are {', '.join(OPERATION_NAMES[:NUM_OPERATIONS])}; an example is {example}."
    )
