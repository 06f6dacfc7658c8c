"""TFRecord files, read without TensorFlow.

A record is framed as its length (uint64), the masked CRC32C of the length, the payload and the masked CRC32C of the
payload, all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

import google_crc32c

from foretrain.errors import DataError

_HEADER = 12
_CHECKSUM = 4
_LONGEST = 1 << 24
_DOWNLOAD = "The file is damaged or truncated: download it again"


def read_records(file: IO[bytes], source: object) -> Iterator[bytes]:
    """Yields the payloads.

    Args:
        file: The file, at its beginning.
        source: Its name, for the messages.

    Raises:
        DataError: The file ends within a record or a checksum is wrong; names the record and its place.
    """
    number = 0
    while header := file.read(_HEADER):
        try:
            yield _read_payload(file, header)
        except ValueError as error:
            place = f"record {number}, up to byte {file.tell()}"
            raise DataError(source, f"{place}: {error}", _DOWNLOAD) from error
        number += 1


def masked_crc32c(data: bytes) -> int:
    """Returns TFRecord's checksum: CRC32C, rotated right by 15 bits, plus 0xa282ead8."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_payload(file: IO[bytes], header: bytes) -> bytes:
    if len(header) < _HEADER:
        raise ValueError("the file ends within its length")
    if masked_crc32c(header[:-_CHECKSUM]) != int.from_bytes(header[-_CHECKSUM:], "little"):
        raise ValueError("the checksum of its length is wrong")
    (length,) = struct.unpack_from("<Q", header)
    if length > _LONGEST:
        raise ValueError(f"{length} bytes are more than any record has")
    body = file.read(length + _CHECKSUM)
    if len(body) < length + _CHECKSUM:
        raise ValueError("the file ends within it")
    payload = body[:length]
    if masked_crc32c(payload) != int.from_bytes(body[length:], "little"):
        raise ValueError("the checksum of its content is wrong")
    return payload
