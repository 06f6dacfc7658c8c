"""Ways to change a valid file."""

from __future__ import annotations

import bz2
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

import test_nasbench101_importer as tfrecords

_SPECIAL = [b"\x00", b"\xff", b"\x80", b"\x7f", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00" * 8, b"\xff" * 8]
_SPECIAL += [b"nan", b"-1", b"1e999", b"9" * 30, b"[", b"{", b'"', b",", b"\n", b"../../../tmp/x", b"/etc/passwd"]
Draw = random.Random


def bytes_of(data: bytes, draw: Draw) -> bytes:
    """Changes some bytes: flips, overwrites, inserts, removes, repeats, cuts."""
    content = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8])):
        if not content:
            break
        place, length = draw.randrange(len(content)), draw.choice([1, 1, 2, 4, 16, 200])
        way = draw.randrange(7)
        if way == 0:
            content[place] ^= 1 << draw.randrange(8)
        elif way == 1:
            value = draw.choice(_SPECIAL)
            content[place : place + len(value)] = value
        elif way == 2:
            content[place:place] = draw.choice(_SPECIAL)
        elif way == 3:
            del content[place : place + length]
        elif way == 4:
            content[place:place] = content[place : place + length] * draw.choice([1, 2, 50])
        elif way == 5:
            del content[place:]
        else:
            content[place : place + length] = draw.randbytes(length)
    return bytes(content)


def json_of(data: bytes, draw: Draw) -> bytes:
    """Replaces, removes or doubles a value somewhere in a JSON text."""
    if draw.random() < 0.3:
        return bytes_of(data, draw)
    content = json.loads(data)
    odd = [
        None,
        -1,
        0,
        1e308,
        float("nan"),
        float("inf"),
        2**70,
        10**400,
        "",
        "x",
        "../../x",
        [],
        {},
        [[]],
        True,
        "9" * 400,
    ]
    if draw.random() < 0.05:
        return b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(content)
    for _ in range(draw.choice([1, 1, 2])):
        node, key = draw.choice(places)
        if draw.random() < 0.2 and isinstance(node, dict):
            node.pop(key, None)
        else:
            node[key] = draw.choice(odd)
    return json.dumps(content).encode()


def records_of(data: bytes, draw: Draw) -> bytes:
    """Changes the payload of a TFRecord and gives it right checksums."""
    if draw.random() < 0.3:
        return bytes_of(data, draw)
    payloads, place = [], 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        payloads.append(data[place + 12 : place + 12 + length])
        place += length + 16
    changed = draw.randrange(len(payloads))
    payloads[changed] = draw.choice([bytes_of, json_of])(payloads[changed], draw)
    return b"".join(map(tfrecords.frame, payloads))


def bz2_of(data: bytes, draw: Draw) -> bytes:
    """Changes what is compressed."""
    return bytes_of(data, draw) if draw.random() < 0.2 else bz2.compress(bytes_of(bz2.decompress(data), draw), 1)


def zip_of(data: bytes, draw: Draw) -> bytes:
    """Changes a member of an archive, its name or its compression."""
    if draw.random() < 0.2:
        return bytes_of(data, draw)
    source, output = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    names = source.namelist()
    # Of a torch file, the pickle is what decides; its large storages would take most changes
    pickled = [name for name in names if name.endswith("data.pkl")]
    chosen = draw.choice(pickled if pickled and draw.random() < 0.7 else names)
    with zipfile.ZipFile(output, "w") as target:
        for name in names:
            content = source.read(name)
            if name == chosen:
                content = bytes_of(content, draw)
                renamed = draw.choice([name] * 9 + ["../" + name])
            else:
                renamed = name
            target.writestr(renamed, content, draw.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED]))
    return output.getvalue()


MUTATORS: dict[str, Callable[[bytes, Draw], bytes]] = {
    ".json": json_of,
    ".tfrecord": records_of,
    ".pbz2": bz2_of,
    ".pth": zip_of,
    ".ckpt": zip_of,
    ".npz": zip_of,
}
