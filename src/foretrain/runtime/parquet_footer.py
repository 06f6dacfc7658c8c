"""What the footer of a Parquet file says of its column chunks, read without Arrow.

pyarrow ends the whole process, with a C++ exception that nobody catches, when it is asked for the metadata of a damaged
column chunk. What has to be known before a file is read comes from here: the footer is a struct in Thrift's compact
protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), whose fields are those of
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

_MAGIC = b"PAR1"
_LONGEST = 10_000_000
_DEEPEST = 30
_ROW_GROUPS, _COLUMNS, _META_DATA, _NUM_VALUES, _UNCOMPRESSED = 4, 1, 3, 5, 6
_TRUE, _FALSE = 1, 2


class ColumnChunk(NamedTuple):
    """One column of one row group.

    Attributes:
        values: How many values it has, those of lists and empty ones too.
        uncompressed: Bytes of its pages, unpacked.
    """

    values: int
    uncompressed: int


def column_chunks(file: BinaryIO) -> list[ColumnChunk]:
    """Returns all column chunks of an open Parquet file.

    Raises:
        ValueError: It has no such footer.
        LookupError, TypeError: The footer is damaged.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > min(size - 8, _LONGEST):
        raise ValueError("no footer of a Parquet file of usual size")
    file.seek(size - 8 - length)
    footer, _ = _struct(file.read(length), 0, 0)
    metadata = [column[_META_DATA] for group in footer[_ROW_GROUPS] for column in group[_COLUMNS]]
    return [ColumnChunk(each[_NUM_VALUES], each[_UNCOMPRESSED]) for each in metadata]


def _struct(data: bytes, place: int, depth: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their number, and the place behind it."""
    if depth > _DEEPEST:
        raise ValueError("structs in structs without end")
    fields: dict[int, Any] = {}
    number = 0
    while header := data[place]:
        place += 1
        if header >> 4:
            number += header >> 4
        else:
            number, place = _signed(data, place)
        kind = header & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], place = _value(data, place, kind, depth)
    return fields, place + 1


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    """A value, and the place behind it."""
    if kind not in _READERS:
        raise ValueError(f"a value of the unknown kind {kind}")
    return _READERS[kind](data, place, depth)


def _bytes(data: bytes, place: int) -> tuple[bytes, int]:
    length, place = _varint(data, place)
    return data[place : place + length], place + length


def _list(data: bytes, place: int, depth: int) -> tuple[list[Any], int]:
    size, kind = data[place] >> 4, data[place] & 15
    place += 1
    if size == 15:
        size, place = _varint(data, place)
    values = []
    for _ in range(_bounded(size, data, place)):
        value, place = _value(data, place, kind, depth + 1)
        values.append(value)
    return values, place


def _map(data: bytes, place: int, depth: int) -> tuple[None, int]:
    """No field that is needed here is a map: it is only passed over."""
    size, place = _varint(data, place)
    if size:
        kinds = (data[place] >> 4, data[place] & 15)
        place += 1
        for kind in kinds * _bounded(size, data, place):
            _, place = _value(data, place, kind, depth + 1)
    return None, place


def _bounded(size: int, data: bytes, place: int) -> int:
    if size > len(data) - place:
        raise ValueError("more values than bytes")
    return size


def _signed(data: bytes, place: int) -> tuple[int, int]:
    """A zigzag integer."""
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("an integer of more than 64 bits")


_READERS: dict[int, Callable[[bytes, int, int], tuple[Any, int]]] = {
    # a byte; booleans of a list take one too
    **dict.fromkeys((1, 2, 3), lambda data, place, _: (data[place], place + 1)),
    # integers of 16, 32 and 64 bits
    **dict.fromkeys((4, 5, 6), lambda data, place, _: _signed(data, place)),
    # a number of float64, passed over
    7: lambda _, place, __: (None, place + 8),
    8: lambda data, place, _: _bytes(data, place),
    # a list, a set
    9: _list,
    10: _list,
    11: _map,
    12: lambda data, place, depth: _struct(data, place, depth + 1),
}
