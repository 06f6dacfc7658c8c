"""NAS-Bench-101's tfrecords, written by the official protobuf library and framed by TFRecord's own definition."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from foretrain.benchmarks.conversion import import_benchmark
from foretrain.benchmarks.importers.tfrecord import masked_crc32c
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import DataError

CELLS = {
    "0" * 32: ("011001000", "input,conv3x3-bn-relu,output"),
    "f" * 31 + "1": ("0100001000010000", "input,conv1x1-bn-relu,maxpool3x3,output"),
}
HASHES = list(CELLS)
EVALUATIONS = {hash_: np.random.default_rng(row).random((3, 3, 5)) for row, hash_ in enumerate(CELLS)}
"""Repeat x (start, half, end) x (epoch, seconds, train, validation, test)."""


def model_metrics():
    """The class of the message in nasbench/lib/model_metrics.proto, made by protobuf from its definition."""
    file = descriptor_pb2.FileDescriptorProto(name="model_metrics.proto", package="nasbench", syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto
    evaluation = file.message_type.add(name="EvaluationData")
    doubles = ("current_epoch", "training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
    for number, name in enumerate(doubles, start=1):
        evaluation.field.add(name=name, number=number, type=field.TYPE_DOUBLE, label=field.LABEL_OPTIONAL)
    evaluation.field.add(name="checkpoint_path", number=6, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    metrics = file.message_type.add(name="ModelMetrics")
    metrics.field.add(
        name="evaluation_data",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".nasbench.EvaluationData",
        label=field.LABEL_REPEATED,
    )
    metrics.field.add(name="trainable_parameters", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    metrics.field.add(name="total_time", number=3, type=field.TYPE_DOUBLE, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("nasbench.ModelMetrics"))


MODEL_METRICS = model_metrics()


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum by its definition: bit by bit, reversed polynomial 0x1EDC6F41."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def record(module_hash: str, epochs: int, evaluations, adjacency=None, operations=None) -> bytes:
    message = MODEL_METRICS(trainable_parameters=HASHES.index(module_hash) * 10**7 + 300, total_time=1.5)
    for numbers in evaluations:
        point = message.evaluation_data.add(checkpoint_path="/some/path/model.ckpt-0")
        point.current_epoch, point.training_time, *accuracies = map(float, numbers)
        point.train_accuracy, point.validation_accuracy, point.test_accuracy = accuracies
    bits, names = CELLS[module_hash]
    encoded = base64.b64encode(message.SerializeToString()).decode()
    return json.dumps([module_hash, epochs, adjacency or bits, operations or names, encoded]).encode()


def records(lengths=(108,)) -> list[bytes]:
    return [
        record(hash_, epochs, EVALUATIONS[hash_][repeat] / (epochs if epochs < 108 else 1))
        for epochs in lengths
        for repeat in range(3)
        for hash_ in CELLS
    ]


@pytest.fixture
def convert(tmp_path):
    """Writes payloads or raw bytes to a file and imports it."""

    def run(content) -> Benchmark:
        path = tmp_path / "cells.tfrecord"
        path.write_bytes(content if isinstance(content, bytes) else b"".join(map(frame, content)))
        return Benchmark(import_benchmark("nasbench101", path, tmp_path / "out"))

    return run


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283
    for data in (b"", b"123456789", bytes(range(256)) * 5):
        assert masked_crc32c(data) == struct.unpack("<I", masked(data))[0]


def test_every_value_is_read_back_to_the_last_digit(convert):
    benchmark = convert(records((108, 4)))
    assert benchmark.names == [":".join(CELLS[hash_]) for hash_ in HASHES]
    assert benchmark.keys == HASHES
    np.testing.assert_array_equal(benchmark.cost(None, "parameters"), [300, 10**7 + 300])
    for row, hash_ in enumerate(HASHES):
        for epochs in (4, 108):
            published = EVALUATIONS[hash_] / (epochs if epochs < 108 else 1)
            for place, split in enumerate(("train", "valid", "test"), start=2):
                for repeat in range(3):
                    accuracy = benchmark.accuracy([row], "cifar10", split, repeat, epochs)
                    assert accuracy == published[repeat, 2, place] * 100
                    curve = benchmark.curves([row], "cifar10", split, repeat, epochs)[0]
                    assert curve.shape == (epochs,)
                    halves = published[repeat, 1:, place].astype(np.float64) * 100
                    np.testing.assert_allclose(curve[[epochs // 2 - 1, epochs - 1]], halves, rtol=2e-7)
                    assert np.isnan(curve).sum() == epochs - 2
            seconds = benchmark.cost([row], "training_seconds", epochs=epochs)
            np.testing.assert_allclose(seconds, published[:, 2, 1].mean(), rtol=1e-15)


def test_missing_repeats_are_nan(convert):
    benchmark = convert(records()[:3])
    assert np.isnan(benchmark.accuracy([0], split="test", seed=2))
    assert np.isnan(benchmark.accuracy([1], split="test", seed=1))
    assert benchmark.accuracy([1], split="test") == benchmark.accuracy([1], split="test", seed=0)


def wrong_accuracy(value: float) -> list[bytes]:
    evaluations = EVALUATIONS[HASHES[1]][0].copy()
    evaluations[2, 3] = value
    return [*records()[:1], record(HASHES[1], 108, evaluations)]


GOOD = b"".join(map(frame, records()))
SECOND = len(frame(records()[0]))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "cells.tfrecord: holds no architecture"),
        (GOOD[:-1], f"record 5, up to byte {len(GOOD) - 1}: the file ends within it"),
        (GOOD[: SECOND + 5], f"record 1, up to byte {SECOND + 5}: the file ends within its length"),
        (b"\x80\x04" + GOOD, "record 0, up to byte 12: the checksum of its length is wrong"),
        (GOOD[:30] + b"x" + GOOD[31:], f"record 0, up to byte {SECOND}: the checksum of its content is wrong"),
        (GOOD[: SECOND - 1] + b"\0" + GOOD[SECOND:], f"record 0, up to byte {SECOND}: the checksum of its content"),
        (frame(b"x" * 10)[:2] + b"\xff" * 6 + masked(frame(b"x" * 10)[:2] + b"\xff" * 6), "more than any record has"),
        ([b"not json"], r"record 0 \(not json"),
        ([json.dumps(["ab", 108, "011001000", "input"]).encode()], "record 0 .*not enough values"),
        ([record(HASHES[0], 108, EVALUATIONS[HASHES[0]][0][:2])], "2 evaluations, not those of start, half and end"),
        (wrong_accuracy(1.01), "record 1 .*are not all between 0 and 1"),
        ([record(HASHES[0], 0, EVALUATIONS[HASHES[0]][0])], "record 0 .*training for 0 epochs"),
        (wrong_accuracy(-0.01), "record 1 .*are not all between 0 and 1"),
        (wrong_accuracy(float("nan")), "record 1 .*are not all between 0 and 1"),
        ([*records(), records()[0]], "record 6 .*a row too many, 3 are there already"),
        ([record(HASHES[0], 108, EVALUATIONS[HASHES[0]][0], "01"), *records()[1:]], "adjacency digits"),
        ([record(HASHES[0], 108, EVALUATIONS[HASHES[0]][0], operations="input,conv5x5,output")], "conv5x5"),
    ],
)
def test_bad_files_are_refused_with_their_place(convert, tmp_path, content, match):
    with pytest.raises(DataError, match=match):
        convert(content)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.tfrecord"]


def test_a_damaged_message_is_refused(convert):
    content = json.loads(records()[0])
    message = base64.b64decode(content[4])
    content[4] = base64.b64encode(message[:20]).decode()
    with pytest.raises(DataError, match=r"record 0 .*reaches beyond its message"):
        convert([json.dumps(content).encode()])


def test_a_file_of_an_official_name_must_be_the_official_file(tmp_path):
    path = tmp_path / "nasbench_only108.tfrecord"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match=r"has the SHA-256 .* the official file of this name 4c39c3936e"):
        import_benchmark("nasbench101", path, tmp_path / "out")
