"""One's own data for scoring: a batch from an archive of arrays, a folder of images, or CIFAR's binary files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imread
from PIL import Image
from torch import Tensor

from foretrain.errors import DataError
from foretrain.runtime.reading import load_archive
from foretrain.runtime.seeding import make_generator
from foretrain.training.images import open_images

_INPUTS, _LABELS = ("x", "images", "inputs"), ("y", "labels", "targets")
_PIXELS = 20_000_000
_ENDINGS = {".png", ".jpg", ".jpeg"}


def read_batch(path: Path, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws a batch of inputs and labels.

    - ``.npz``: an array ``x`` (or ``images``, ``inputs``), samples first, and ``y`` (or ``labels``, ``targets``);
    - a folder with a subfolder of PNG or JPEG images for each class, all of one size;
    - the folder of CIFAR-10's official binary files.

    Bytes are taken for pixels: their channels come first, and each is brought to mean 0 and deviation 1 over the batch.
    Other inputs are taken as they are.

    Args:
        path: The file or folder.
        size: Samples in the batch; fewer where there are fewer.
        seed: Seed of the draw.

    Raises:
        DataError: The data are not what they should be.
    """
    if not path.exists():
        raise DataError(path, "no such file or folder", "Check the path")
    inputs, labels = _read_archive(path, size, seed) if path.is_file() else _read_folder(path, size, seed)
    if inputs.dtype == torch.uint8:
        inputs = _normalise(inputs.float())
    elif inputs.is_floating_point():
        inputs = inputs.float()
    return inputs, labels.float() if labels.is_floating_point() else labels.long()


def _read_archive(path: Path, size: int, seed: int) -> tuple[Tensor, Tensor]:
    try:
        arrays = load_archive(path)
        inputs, labels = (torch.from_numpy(arrays[_find(names, arrays, path)]) for names in (_INPUTS, _LABELS))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        remedy = "Give an .npz file with the arrays x and y, or a folder"
        raise DataError(path, f"is no archive with inputs and labels ({error})", remedy) from error
    if len(inputs) != len(labels):
        raise DataError(path, f"has {len(inputs)} inputs and {len(labels)} labels", "Give a label for each input")
    chosen = _draw(len(inputs), size, seed)
    inputs = inputs[chosen]
    if inputs.dtype == torch.uint8 and inputs.ndim == 4 and inputs.shape[-1] in (1, 3):
        inputs = inputs.permute(0, 3, 1, 2).contiguous()
    return inputs, labels[chosen]


def _find(names: Sequence[str], arrays: Collection[str], path: Path) -> str:
    """The first of the names that the archive has."""
    for name in names:
        if name in arrays:
            return name
    remedy = f"Save it as {' or '.join(names)}"
    raise DataError(path, f"has the arrays {', '.join(arrays) or '(none)'}, and none of {', '.join(names)}", remedy)


def _read_folder(path: Path, size: int, seed: int) -> tuple[Tensor, Tensor]:
    if (path / "data_batch_1.bin").is_file() or (path / "cifar-10-batches-bin").is_dir():
        images = open_images("cifar10", path).train
        chosen = _draw(len(images), size, seed)
        return images.images[chosen], images.labels[chosen]
    classes = sorted(item for item in path.iterdir() if item.is_dir())
    files = [(file, label) for label, folder in enumerate(classes) for file in sorted(folder.iterdir())]
    files = [(file, label) for file, label in files if file.suffix.lower() in _ENDINGS]
    if not files:
        raise DataError(path, "holds no PNG or JPEG images in subfolders", "Give each class a subfolder")
    picked = [files[place] for place in _draw(len(files), size, seed).tolist()]
    pixels = [_read_image(file) for file, _ in picked]
    if len({image.shape for image in pixels}) > 1:
        raise DataError(path, "holds images of different sizes", "Bring them to one size first")
    return torch.stack(pixels), torch.tensor([label for _, label in picked])


def _read_image(path: Path) -> Tensor:
    """Pixels as bytes, channels first; transparency is dropped."""
    try:
        with Image.open(path) as header:
            width, height = header.size
        pixels = np.asarray(imread(path)) if width * height <= _PIXELS else None
    except Exception as error:  # damaged bytes fail in many ways
        raise DataError(path, f"is no readable image ({error})", "Remove or replace it") from error
    if pixels is None:
        raise DataError(path, f"has {width} x {height} pixels", f"Give images of at most {_PIXELS}")
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels).round().astype(np.uint8)
    image = torch.from_numpy(pixels.copy())
    return image[None] if image.ndim == 2 else image[..., :3].permute(2, 0, 1)


def _draw(count: int, size: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=make_generator(seed, "scoring batch"))[:size]


def _normalise(pixels: Tensor) -> Tensor:
    dims = [dim for dim in range(pixels.ndim) if dim != 1]
    deviation = pixels.std(dims, keepdim=True)
    return (pixels - pixels.mean(dims, keepdim=True)) / torch.where(deviation > 0, deviation, 1)
