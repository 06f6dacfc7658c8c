"""NAS-Bench-101's protobuf message ``ModelMetrics``: the evaluations of one training.

``ModelMetrics``: 1 repeated ``EvaluationData``, 2 trainable parameters, 3 total time. ``EvaluationData``: 1 epoch,
2 training time, 3, 4, 5 training, validation and test accuracy, 6 checkpoint path.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

SPLITS = ("train", "valid", "test")
_EVALUATION_DATA, _TRAINABLE_PARAMETERS, _TRAINING_TIME = 1, 2, 2
_ACCURACIES = (3, 4, 5)
_VARINT, _DOUBLE, _BYTES = 0, 1, 2


class Evaluation(NamedTuple):
    """How a network did at one moment of its training.

    Attributes:
        accuracies: On the training, validation and test images, 0..1.
        seconds: Of training so far.
    """

    accuracies: list[float]
    seconds: float


class Metrics(NamedTuple):
    """One training.

    Attributes:
        half: After half of its epochs.
        end: After all of them.
        parameters: Trainable parameters.
    """

    half: Evaluation
    end: Evaluation
    parameters: int


def parse_metrics(message: bytes) -> Metrics:
    """Reads a ``ModelMetrics`` message.

    Raises:
        ValueError: It is no such message, has not three evaluations, or an accuracy at half or end is not between 0
            and 1.
        IndexError: It ends within a number.
        struct.error: It ends within a number.
    """
    evaluations: list[Evaluation] = []
    parameters = 0
    for number, value in _fields(message):
        if number == _EVALUATION_DATA:
            evaluations.append(_parse_evaluation(value))
        elif number == _TRAINABLE_PARAMETERS:
            parameters = value
    if len(evaluations) < 3:
        raise ValueError(f"{len(evaluations)} evaluations, not those of start, half and end")
    for evaluation in evaluations[1:]:
        if not all(0 <= accuracy <= 1 for accuracy in evaluation.accuracies):
            raise ValueError(f"the accuracies {evaluation.accuracies} are not all between 0 and 1")
    return Metrics(evaluations[1], evaluations[2], parameters)


def _parse_evaluation(message: bytes) -> Evaluation:
    values = dict(_fields(message))
    accuracies = [values.get(number, float("nan")) for number in _ACCURACIES]
    return Evaluation(accuracies, values.get(_TRAINING_TIME, float("nan")))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yields field numbers and values of a protobuf message: integers, doubles and bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _DOUBLE:
            yield tag >> 3, struct.unpack_from("<d", message, position)[0]
            position += 8
        elif kind == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
        elif kind == _BYTES:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a protobuf field reaches beyond its message")
            yield tag >> 3, message[position : position + length]
            position += length
        else:
            raise ValueError(f"a protobuf field of wire type {kind}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Reads a base-128 integer; returns it and the position behind it."""
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
