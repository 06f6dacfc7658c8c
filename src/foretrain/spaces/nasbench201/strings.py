"""The two written forms of NAS-Bench-201 cells, which differ in the order of edges and of operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from foretrain.errors import DataError
from foretrain.spaces.nasbench201.cells import EDGES, NUM_CELLS, OPERATIONS, Cells201, from_codes, to_codes

NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")

_TO_NASLIB_EDGE = [EDGES.index(edge) for edge in NASLIB_EDGES]
_FROM_NASLIB_EDGE = [NASLIB_EDGES.index(edge) for edge in EDGES]
_TO_NASLIB_OPERATION = torch.tensor([NASLIB_OPERATIONS.index(name) for name in OPERATIONS])
_FROM_NASLIB_OPERATION = torch.tensor([OPERATIONS.index(name) for name in NASLIB_OPERATIONS], dtype=torch.int8)


def parse_cells(strings: Sequence[str]) -> Cells201:
    """Reads architecture strings ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

    Raises:
        DataError: A string is none of the 15,625 of the space; names its position.
    """
    code_of = _codes_by_string()
    codes = [code_of.get(string, -1) for string in strings]
    if -1 in codes:
        position = codes.index(-1)
        raise DataError(
            "NAS-Bench-201 string",
            f"item {position} is {strings[position]!r}, which is no cell of the space",
            f"The form is |op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of {', '.join(OPERATIONS)}",
        )
    return from_codes(torch.tensor(codes, dtype=torch.long))


def format_cells(cells: Cells201) -> list[str]:
    """Writes the architecture strings; the inverse of :func:`parse_cells`."""
    written = _strings()
    return [written[code] for code in to_codes(cells).tolist()]


def parse_naslib(tuples: Sequence[Sequence[int]]) -> Cells201:
    """Reads NASLib's operation tuples: edges 0-1, 0-2, 0-3, 1-2, 1-3, 2-3; operations skip, none, 3x3, 1x1, pooling.

    Raises:
        DataError: A tuple has not six codes of 0 to 4; names its position.
    """
    for position, item in enumerate(tuples):
        if len(item) != len(EDGES) or not all(code in range(len(OPERATIONS)) for code in item):
            raise DataError(
                "NASLib tuple", f"item {position} is {tuple(item)!r}", "A cell is written as six codes of 0 to 4"
            )
    codes = torch.tensor([list(item) for item in tuples], dtype=torch.long).reshape(-1, len(EDGES))
    return Cells201(_FROM_NASLIB_OPERATION[codes[:, _FROM_NASLIB_EDGE]])


def format_naslib(cells: Cells201) -> list[tuple[int, ...]]:
    """Writes NASLib's operation tuples; the inverse of :func:`parse_naslib`."""
    codes = _TO_NASLIB_OPERATION[cells.ops.cpu()[:, _TO_NASLIB_EDGE].long()]
    return [tuple(row) for row in codes.tolist()]


@cache
def _strings() -> list[str]:
    """The strings of all cells, by operation code."""
    form = "+".join(
        "|" + "".join(f"{{}}~{source}|" for source, target in EDGES if target == node) for node in range(1, 4)
    )
    cells = from_codes(torch.arange(NUM_CELLS))
    return [form.format(*(OPERATIONS[op] for op in ops)) for ops in cells.ops.tolist()]


@cache
def _codes_by_string() -> dict[str, int]:
    return {string: code for code, string in enumerate(_strings())}
