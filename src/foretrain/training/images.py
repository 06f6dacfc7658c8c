"""Image classification data as tensors: scikit-learn's digits, CIFAR-10 and CIFAR-100.

CIFAR is read from the official *binary* files (https://www.cs.toronto.edu/~kriz/cifar.html): rows of plain bytes, the
label bytes first, then 3,072 bytes of one 32x32 image, red, green and blue plane. No pickle is ever opened.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from foretrain.errors import ConfigError, DataError, ForetrainWarning

_CIFAR_SHAPE = (3, 32, 32)
_CIFAR_BYTES = 3 * 32 * 32
_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_DIGITS_TRAIN, _DIGITS_VALIDATION = 797, 500


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images with their classes.

    Attributes:
        images: ``uint8[n, channels, height, width]``, pixels as the file has them.
        labels: ``int64[n]``, classes from 0.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> Self:
        """Selects images."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def to(self, device: torch.device | str) -> Self:
        """Moves both tensors to a device; they are not copied where they are already there."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set of images in its three parts.

    Attributes:
        name: Key in :data:`IMAGE_SETS`.
        train: What networks are trained on.
        validation: What they are compared on.
        test: What the final accuracy is told on.
        num_classes: Number of classes.
        mean: Mean of each channel over all training images, in the unit of the pixels.
        std: Standard deviation of each channel over all training images, in the unit of the pixels.
        mirrored: Whether the mirror image of an image belongs to the same class (a 2 is no 2 in the mirror).
    """

    name: str
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrored: bool

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all images and labels: what the data are, wherever they came from."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for tensor in (split.images, split.labels):
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.train.images.shape[1]

    def to(self, device: torch.device | str) -> Self:
        """Moves all images to a device; they are not copied where they are already there."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


def open_images(
    name: str, root: str | Path | None = None, train_images: int | None = None, side: int | None = None
) -> ImageSet:
    """Reads a data set, split the same way every time.

    ======== ======= ========== ======= =========================================================================
    name     train   validation test    split
    ======== ======= ========== ======= =========================================================================
    digits   797     500        500     of a fixed permutation of the 1,797 images, in this order
    cifar10  40,000  10,000     10,000  the first fifth of a fixed permutation of the official training images is for
    cifar100 40,000  10,000     10,000  validation; the official test images. The sizes are those of NAS-Bench-101
    ======== ======= ========== ======= =========================================================================

    The permutations are ``numpy.random.RandomState(0).permutation(n)``, whose numbers NumPy guarantees for all
    versions.

    Args:
        name: A key of :data:`IMAGE_SETS`.
        root: The folder of the official binary files, or its parent; digits needs none. Later batches of CIFAR-10 may
            be missing: a warning tells what was found, and the split keeps its shares.
        train_images: Only the first so many training images; None takes all.
        side: Height and width to which all images are reduced by the mean of equal blocks of pixels (the "box" method
            of Chrabaszcz et al. 2017, https://arxiv.org/abs/1707.08819); None keeps them as they are.

    Raises:
        ConfigError: There is no such data set, no such ``root``, or ``train_images`` or ``side`` is impossible.
        DataError: A file is missing, truncated or holds a label that is out of range.
    """
    if name not in IMAGE_SETS:
        raise ConfigError("data.image", "no such data set", name, IMAGE_SETS)
    images = IMAGE_SETS[name](None if root is None else Path(root))
    images = images if side is None else _reduced(images, side)
    if train_images is None:
        return images
    if not 1 <= train_images <= len(images.train):
        raise ConfigError(
            "data.train_images", "impossible number of images", train_images, f"1 to {len(images.train)}, or null"
        )
    return replace(images, train=images.train[:train_images])


@lru_cache(maxsize=2)
def open_images_once(
    name: str, root: str | None = None, train_images: int | None = None, side: int | None = None
) -> ImageSet:
    """Returns what :func:`open_images` reads, which is kept: the many jobs of a worker process share it."""
    return open_images(name, root, train_images, side)


def _reduced(images: ImageSet, side: int) -> ImageSet:
    whole = images.train.images.shape[-1]
    if side < 1 or whole % side:
        allowed = ", ".join(str(number) for number in range(1, whole + 1) if whole % number == 0)
        raise ConfigError("data.side", f"the images are {whole} pixels wide", side, allowed)
    train, validation, test = (
        replace(split, images=F.avg_pool2d(split.images.float(), whole // side).round().byte())
        for split in (images.train, images.validation, images.test)
    )
    return _image_set(images.name, train, validation, test, images.num_classes, mirrored=images.mirrored)


def _read_digits(root: Path | None) -> ImageSet:  # noqa: ARG001 - the images come with scikit-learn
    digits = load_digits()
    pixels = torch.from_numpy(digits.images.astype(np.uint8)).unsqueeze(1)
    everything = _permuted(ImageSplit(pixels, torch.from_numpy(digits.target.astype(np.int64))))
    end = _DIGITS_TRAIN + _DIGITS_VALIDATION
    train, validation = everything[:_DIGITS_TRAIN], everything[_DIGITS_TRAIN:end]
    return _image_set("digits", train, validation, everything[end:], num_classes=10, mirrored=False)


@dataclass(frozen=True)
class _CifarFiles:
    """The official binary form of one CIFAR.

    Attributes:
        name: Key in :data:`IMAGE_SETS`.
        folder: Name of the folder in the official archive.
        train: Training files; those after the first may be missing.
        test: The test file.
        classes: For each label byte of a row how many classes it tells apart; the last byte is the class.
    """

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    classes: tuple[int, ...]

    def __call__(self, root: Path | None) -> ImageSet:
        """Reads and splits the files under ``root``."""
        folder = self._find(root)
        found = [file for file in self.train if file == self.train[0] or (folder / file).is_file()]
        parts = [self._read(folder / file) for file in found]
        images, labels = (torch.cat(column) for column in zip(*((p.images, p.labels) for p in parts), strict=True))
        training = _permuted(ImageSplit(images, labels))
        cut = len(training) // 5
        test = self._read(folder / self.test)
        if len(found) < len(self.train):
            self._tell_what_was_found(folder, len(found), len(training), len(test))
        return _image_set(self.name, training[cut:], training[:cut], test, self.classes[-1], mirrored=True)

    def _find(self, root: Path | None) -> Path:
        """The folder of the files: ``root`` itself or the official folder in it."""
        if root is None or not root.is_dir():
            problem = f"{self.name} needs the folder of its official binary files" if root is None else "no such folder"
            raise ConfigError("data.root", problem, None if root is None else str(root), self._expected())
        inner = root / self.folder
        return inner if inner.is_dir() else root

    def _read(self, path: Path) -> ImageSplit:
        """Reads one file of rows."""
        if not path.is_file():
            raise DataError(path, "no such file", f"Needed is {self._expected()}")
        rows = self._rows(path)
        labels = rows[:, : len(self.classes)]
        self._check_labels(path, labels)
        images = rows[:, len(self.classes) :].reshape(-1, *_CIFAR_SHAPE)
        return ImageSplit(
            torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels[:, -1].astype(np.int64))
        )

    def _rows(self, path: Path) -> np.ndarray:
        length = len(self.classes) + _CIFAR_BYTES
        content = np.fromfile(path, dtype=np.uint8)
        whole = len(content) // length * length
        if whole == 0 or whole != len(content):
            raise DataError(
                path,
                f"truncated: {len(content)} bytes are not a multiple of the {length} bytes of a row; the last whole "
                f"row ends at offset {whole}",
                f"Unpack the archive from {_CIFAR_PAGE} again",
            )
        return content.reshape(-1, length)

    def _check_labels(self, path: Path, labels: np.ndarray) -> None:
        bad = np.argwhere(labels >= np.array(self.classes))
        if len(bad):
            row, byte = (int(position) for position in bad[0])
            offset = row * (len(self.classes) + _CIFAR_BYTES) + byte
            raise DataError(
                path,
                f"label {labels[row, byte]} in row {row} (offset {offset}) is out of range 0 to "
                f"{self.classes[byte] - 1}",
                f"This is not a file of {self.name}, or it is damaged: unpack the archive from {_CIFAR_PAGE} again",
            )

    def _tell_what_was_found(self, folder: Path, files: int, training: int, test: int) -> None:
        cut = training // 5
        warnings.warn(
            f"{folder}: {files} of {len(self.train)} training files are there; using {training - cut} images for "
            f"training, {cut} for validation and {test} for test",
            ForetrainWarning,
            stacklevel=4,
        )

    def _expected(self) -> str:
        files = ", ".join((*self.train, self.test))
        return f"a folder with {files} (or the folder that holds it as {self.folder}), from {_CIFAR_PAGE}"


IMAGE_SETS: dict[str, Callable[[Path | None], ImageSet]] = {
    "digits": _read_digits,
    "cifar10": _CifarFiles(
        name="cifar10",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        classes=(10,),
    ),
    "cifar100": _CifarFiles(
        name="cifar100", folder="cifar-100-binary", train=("train.bin",), test="test.bin", classes=(20, 100)
    ),
}
"""Data sets by name, each with the function that reads it from a root folder."""


def _permuted(split: ImageSplit) -> ImageSplit:
    # Unlike those of NumPy's newer generators, the numbers of RandomState are guaranteed to stay.
    order = np.random.RandomState(0).permutation(len(split))
    return split[torch.from_numpy(order)]


def _image_set(
    name: str, train: ImageSplit, validation: ImageSplit, test: ImageSplit, num_classes: int, *, mirrored: bool
) -> ImageSet:
    """Adds the statistics of the training images, from histograms: a float copy of CIFAR would take half a gigabyte."""
    pixels = train.images.movedim(1, 0).flatten(1)
    counts = torch.stack([channel.bincount(minlength=256) for channel in pixels]).double()
    values = torch.arange(256, dtype=torch.float64)
    mean = (counts @ values) / pixels.shape[1]
    std = (counts @ values.square() / pixels.shape[1] - mean.square()).sqrt()
    return ImageSet(name, train, validation, test, num_classes, tuple(mean.tolist()), tuple(std.tolist()), mirrored)
