"""The two written forms of DARTS architectures: the genotype and the compact tuple."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from foretrain.errors import DataError
from foretrain.spaces.darts.cells import (
    NUM_CELLS,
    NUM_INPUTS,
    NUM_NODES,
    NUM_SLOTS,
    OPERATIONS,
    CellPairs,
    invalid_nodes,
)
from foretrain.spaces.literals import literal_of, syntax_of

_CODES = {name: code for code, name in enumerate(OPERATIONS)}
_CONCATENATED = list(range(NUM_INPUTS, NUM_INPUTS + NUM_NODES))
_CELL_NAMES = ("normal", "reduction")
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")


class _Form(NamedTuple):
    name: str
    example: str


_GENOTYPE = _Form(
    "DARTS genotype",
    "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=[...])",
)
_COMPACT = _Form(
    "DARTS tuple", "(((input, operation), ... 8 pairs of the normal cell), (... 8 pairs of the reduction cell))"
)


def parse_genotypes(strings: Sequence[str]) -> CellPairs:
    """Reads genotypes as DARTS prints them; ``range(2, 6)`` is as good as ``[2, 3, 4, 5]``.

    Raises:
        DataError: A string is malformed or describes no architecture of the space; names its position.
    """
    return _collect([_read_genotype(text, position) for position, text in enumerate(strings)], _GENOTYPE)


def format_genotypes(archs: CellPairs) -> list[str]:
    """Writes genotypes; the inverse of :func:`parse_genotypes`."""
    return [
        f"Genotype(normal={_edges(normal)}, normal_concat={_CONCATENATED}, "
        f"reduce={_edges(reduction)}, reduce_concat={_CONCATENATED})"
        for normal, reduction in _pairs(archs)
    ]


def parse_compact(strings: Sequence[str]) -> CellPairs:
    """Reads compact tuples: for each cell eight pairs (input, operation code), two for each node.

    Raises:
        DataError: A string is malformed or describes no architecture of the space; names its position.
    """
    return _collect([_read_compact(text, position) for position, text in enumerate(strings)], _COMPACT)


def format_compact(archs: CellPairs) -> list[str]:
    """Writes compact tuples; the inverse of :func:`parse_compact`."""
    return [str(cells) for cells in _pairs(archs)]


def _pairs(archs: CellPairs) -> list[tuple[tuple[tuple[int, int], ...], ...]]:
    """For each architecture both cells as eight pairs (input, operation code)."""
    pairs = torch.stack([archs.inputs, archs.ops], dim=-1).flatten(2, 3).tolist()
    return [tuple(tuple((source, op) for source, op in cell) for cell in cells) for cells in pairs]


def _edges(cell: tuple[tuple[int, int], ...]) -> list[tuple[str, int]]:
    return [(OPERATIONS[op], source) for source, op in cell]


def _read_genotype(text: str, position: int) -> list[Any]:
    try:
        fields = _fields(text)
        return [[(source, _CODES[name]) for name, source in fields[cell]] for cell in ("normal", "reduce")]
    except KeyError as error:
        raise _malformed(_GENOTYPE, position, f"unknown operation {error}") from error
    except (ValueError, TypeError) as error:
        raise _malformed(_GENOTYPE, position, str(error)) from error


def _fields(text: str) -> dict[str, Any]:
    """The four fields of a written genotype; nothing in the text is run."""
    call = syntax_of(text)
    if not isinstance(call, ast.Call) or call.args or {keyword.arg for keyword in call.keywords} != set(_FIELDS):
        raise ValueError(f"{text!r} is no Genotype with its four fields")
    fields = {str(keyword.arg): _value(keyword.value) for keyword in call.keywords}
    if any(list(fields[name]) != _CONCATENATED for name in ("normal_concat", "reduce_concat")):
        raise ValueError(f"the output must be the concatenation of nodes {_CONCATENATED}")
    return fields


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - a literal is any value
    """A literal, or a call of ``range`` on literals."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        numbers = range(*(ast.literal_eval(argument) for argument in node.args))
        return list(numbers[: NUM_NODES + 1])  # a longer one is refused as well, without its memory
    return ast.literal_eval(node)


def _read_compact(text: str, position: int) -> Any:  # noqa: ANN401 - checked by _collect
    try:
        return literal_of(text)
    except ValueError as error:
        raise _malformed(_COMPACT, position, str(error)) from error


def _collect(items: Sequence[Any], form: _Form) -> CellPairs:
    """Makes a batch of nested lists [cell][edge](input, code)."""
    for position, item in enumerate(items):
        if not _is_well_formed(item):
            raise _malformed(form, position, "it has not eight pairs of small numbers for each of two cells")
    numbers = torch.tensor(items, dtype=torch.int8).reshape(-1, NUM_CELLS, NUM_NODES, NUM_SLOTS, 2)
    archs = CellPairs(numbers[..., 0].contiguous(), numbers[..., 1].contiguous())
    bad = invalid_nodes(archs).nonzero()
    if len(bad):
        position, cell, node = bad[0].tolist()
        rule = f"must read two different nodes before it, with operations 0 to {len(OPERATIONS) - 1}"
        raise _malformed(form, position, f"node {NUM_INPUTS + node} of the {_CELL_NAMES[cell]} cell {rule}")
    return archs


def _is_well_formed(item: Any) -> bool:  # noqa: ANN401 - what it checks
    return _is_list(item, NUM_CELLS) and all(
        _is_list(cell, NUM_NODES * NUM_SLOTS) and all(_is_list(edge, 2) and _are_small(edge) for edge in cell)
        for cell in item
    )


def _is_list(item: Any, length: int) -> bool:  # noqa: ANN401 - what it checks
    return isinstance(item, list | tuple) and len(item) == length


def _are_small(edge: Sequence[Any]) -> bool:
    return all(isinstance(number, int) and number in range(100) for number in edge)


def _malformed(form: _Form, position: int, problem: str) -> DataError:
    return DataError(form.name, f"item {position}: {problem}", f"The form is {form.example}")
