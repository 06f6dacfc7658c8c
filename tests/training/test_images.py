"""Image data: the splits are fixed, the official bytes are read as they are meant, bad files are named."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from foretrain.errors import ConfigError, DataError, ForetrainWarning
from foretrain.training.images import IMAGE_SETS, ImageSplit, open_images

CIFAR10_FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
PIXELS = 3072


def write_rows(path: Path, labels: list[list[int]], seed: int = 0) -> np.ndarray:
    """Writes a file in the official form and returns its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), PIXELS), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.hstack([np.array(labels, dtype=np.uint8), pixels]).tofile(path)
    return pixels


def as_rows(split: ImageSplit) -> Counter[bytes]:
    """The images with their labels, as a multiset."""
    rows = torch.cat([split.labels[:, None], split.images.flatten(1).long()], dim=1)
    return Counter(row.numpy().tobytes() for row in rows)


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    for number, name in enumerate(CIFAR10_FILES):
        write_rows(tmp_path / "cifar-10-batches-bin" / name, [[label % 10] for label in range(20)], seed=number)
    return tmp_path / "cifar-10-batches-bin"


@pytest.fixture
def cifar100(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-100-binary"
    write_rows(folder / "train.bin", [[label % 20, 99 - label] for label in range(50)], seed=1)
    write_rows(folder / "test.bin", [[3, 77], [19, 0]], seed=2)
    return folder


def test_digits_are_split_into_three_parts_without_overlap() -> None:
    images, source = open_images("digits"), load_digits()
    assert [len(images.train), len(images.validation), len(images.test)] == [797, 500, 500]
    everything = ImageSplit(torch.from_numpy(source.images).to(torch.uint8), torch.from_numpy(source.target))
    assert as_rows(images.train) + as_rows(images.validation) + as_rows(images.test) == as_rows(everything)
    assert all(len(part.labels.unique()) == 10 for part in (images.train, images.validation, images.test))
    assert images.train.images.shape[1:] == (1, 8, 8)
    assert not images.mirrored


def test_the_split_of_digits_is_the_published_one() -> None:
    order = np.random.RandomState(0).permutation(1797)
    assert order[:5].tolist() == [1081, 1707, 927, 713, 262], "the permutation is part of the data set"
    labels = torch.from_numpy(load_digits().target[order])
    images = open_images("digits")
    assert torch.equal(torch.cat([images.train.labels, images.validation.labels, images.test.labels]), labels)


def test_fewer_training_images_are_the_first_of_all() -> None:
    everything, few = open_images("digits"), open_images("digits", train_images=100)
    assert torch.equal(few.train.images, everything.train.images[:100])
    assert torch.equal(few.validation.images, everything.validation.images)
    assert few.mean == everything.mean
    assert few.fingerprint != everything.fingerprint == open_images("digits").fingerprint


def test_reduced_images_are_means_of_blocks_and_have_their_own_statistics(cifar10: Path) -> None:
    whole, reduced = open_images("cifar10", cifar10), open_images("cifar10", cifar10, side=16)
    blocks = whole.validation.images.double().reshape(-1, 3, 16, 2, 16, 2).mean(dim=(3, 5))
    assert (reduced.validation.images - blocks).abs().max() <= 0.5
    assert reduced.validation.images.dtype == torch.uint8
    assert torch.equal(reduced.test.labels, whole.test.labels)
    assert reduced.std[0] == pytest.approx(reduced.train.images[:, 0].double().std(correction=0).item())
    assert reduced.fingerprint != whole.fingerprint
    with pytest.raises(ConfigError, match=r"side: the images are 32 pixels wide.*5.*Allowed: 1, 2, 4, 8, 16, 32"):
        open_images("cifar10", cifar10, side=5)


def test_fingerprint_is_of_the_plain_bytes() -> None:
    images = open_images("digits")
    digest = hashlib.sha256()
    for part in (images.train, images.validation, images.test):
        digest.update(part.images.numpy().tobytes() + part.labels.numpy().tobytes())
    assert images.fingerprint == digest.hexdigest()


def test_statistics_are_those_of_the_training_images(cifar10: Path) -> None:
    images = open_images("cifar10", cifar10)
    pixels = images.train.images.double()
    torch.testing.assert_close(torch.tensor(images.mean).double(), pixels.mean((0, 2, 3)), rtol=1e-6, atol=0)
    expected = pixels.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(images.std).double(), expected, rtol=1e-6, atol=0)


def test_partial_cifar10_keeps_the_shares_and_tells(foretrain_data: Path) -> None:
    folder = foretrain_data / "cifar-10-batches-bin"
    with pytest.warns(ForetrainWarning, match=r"1 of 5 training files .* 8000 images for training, 2000 for valid"):
        images = open_images("cifar10", folder)
    assert [len(images.train), len(images.validation), len(images.test)] == [8000, 2000, 2000]
    row = np.fromfile(folder / "test_batch.bin", dtype=np.uint8, count=1 + PIXELS)
    assert images.test.labels[0] == row[0]
    assert images.test.images[0].flatten().tolist() == row[1:].tolist()
    assert images.test.labels.bincount().tolist() == [200] * 10
    assert images.channels == 3
    assert all(110 < mean < 130 for mean in images.mean), "CIFAR-10's known channel means are 125, 123, 114"


def test_whole_cifar10_is_found_in_its_folder_or_beside(cifar10: Path) -> None:
    images = open_images("cifar10", cifar10)
    assert [len(images.train), len(images.validation), len(images.test)] == [80, 20, 20]
    assert open_images("cifar10", cifar10.parent).fingerprint == images.fingerprint
    assert max(as_rows(images.train).values()) == 1
    assert not as_rows(images.train) & as_rows(images.validation)


def test_cifar100_has_the_fine_labels_and_planes_of_colour(cifar100: Path) -> None:
    images = open_images("cifar100", cifar100)
    assert [len(images.train), len(images.validation), len(images.test)] == [40, 10, 2]
    assert images.test.labels.tolist() == [77, 0]
    assert images.num_classes == 100
    row = np.fromfile(cifar100 / "test.bin", dtype=np.uint8)[: 2 + PIXELS]
    channel, y, x = 1, 5, 7
    assert images.test.images[0, channel, y, x] == row[2 + channel * 1024 + y * 32 + x]


def test_files_in_the_root_itself_are_read(cifar100: Path, tmp_path: Path) -> None:
    elsewhere = cifar100.rename(tmp_path / "my images")
    assert len(open_images("cifar100", elsewhere).test) == 2


def test_moving_to_a_device_keeps_what_is_there() -> None:
    images = open_images("digits")
    assert images.to("cpu").train.images is images.train.images
    assert images.to("meta").test.labels.device.type == "meta"


@pytest.mark.parametrize("name", [name for name in IMAGE_SETS if name != "digits"])
@pytest.mark.parametrize("root", [None, "/no/such/folder"])
def test_a_missing_root_tells_the_expected_files(name: str, root: str | None) -> None:
    with pytest.raises(ConfigError, match=r"data\.root.*test.*\.bin.*cs\.toronto\.edu") as caught:
        open_images(name, root)
    assert (root or "needs the folder") in str(caught.value)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no such data set.*'imagenet'.*cifar10, cifar100, digits"):
        open_images("imagenet")
    for number in (0, 798):
        with pytest.raises(ConfigError, match=rf"data.train_images.*{number}.*1 to 797"):
            open_images("digits", train_images=number)


@pytest.mark.parametrize("name", ["data_batch_1.bin", "test_batch.bin"])
def test_a_missing_file_is_named(cifar10: Path, name: str) -> None:
    (cifar10 / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: no such file. Needed is .*data_batch_5.bin"):
        open_images("cifar10", cifar10)


@pytest.mark.parametrize(("length", "whole"), [(0, 0), (100, 0), (3073 * 20 - 1, 3073 * 19)])
def test_a_truncated_file_is_refused(cifar10: Path, length: int, whole: int) -> None:
    path = cifar10 / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=rf"data_batch_3.bin: .*{length} bytes.*3073.*offset {whole}\. Unpack"):
        open_images("cifar10", cifar10)


@pytest.mark.parametrize(("byte", "value", "allowed"), [(0, 20, 19), (1, 100, 99)])
def test_a_label_out_of_range_is_refused(cifar100: Path, byte: int, value: int, allowed: int) -> None:
    path = cifar100 / "train.bin"
    content = bytearray(path.read_bytes())
    offset = 7 * (2 + PIXELS) + byte
    content[offset] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"label {value} in row 7 \(offset {offset}\) is out of range 0 to {allowed}"):
        open_images("cifar100", cifar100)
