"""Files of tensors and plain values that may come from anybody."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PLAIN = 1_000_000


def load_tensors(path: str | Path) -> Any:  # noqa: ANN401 - whatever was saved
    """Reads what ``torch.save`` wrote, tensors and plain values only, on the CPU.

    Code is never run. Nothing in the file may become far larger than it looks: no compressed or overlapping members, no
    tensor with more values than the file holds, no list that holds another one again and again.

    Raises:
        ValueError: It would be too large.
        OSError: It cannot be opened. Damaged bytes raise whatever comes to torch's unpickler.
    """
    path = Path(path)
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > size:
        raise ValueError(f"{size} bytes that become {unpacked}")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if _count(content, {}) > _PLAIN + size:
        raise ValueError("its lists hold each other again and again")
    return content


def _count(node: Any, known: dict[int, int]) -> int:  # noqa: ANN401
    """Number of values in a nested value, where one that is there twice counts twice.

    Raises:
        ValueError: It holds itself, or a tensor that the file does not hold.
    """
    if isinstance(node, Tensor):
        _check_whole(node)
    if not isinstance(node, dict | list | tuple | set):
        return 1
    if id(node) not in known:
        known[id(node)] = -1
        known[id(node)] = 1 + sum(_count(item, known) for item in _items(node))
    if known[id(node)] < 0:
        raise ValueError("a list of it holds itself")
    return known[id(node)]


def _items(node: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(node, dict):
        yield from node.keys()
        yield from node.values()
    else:
        yield from node


def _check_whole(tensor: Tensor) -> None:
    """Refuses tensors that are larger than their memory: repeated ones, sparse ones, those without values."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor {list(tensor.shape)} is not there as a whole")
