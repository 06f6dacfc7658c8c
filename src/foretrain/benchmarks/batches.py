"""What passes from a benchmark to an estimator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foretrain.batches import TensorBatch
from foretrain.spaces.encodings.graph import GraphBatch


@dataclass(frozen=True, eq=False)
class EncodedBatch(TensorBatch):
    """b architectures in one encoding, with their accuracies.

    Attributes:
        target: ``float32[b]``, accuracy in percent.
        arch_id: ``int64[b]``, row in the benchmark.
        code: The encoding: a tensor ``[b, ...]``, or a ``GraphBatch`` (whose ``arch_id`` is the same).
    """

    target: Tensor
    arch_id: Tensor
    code: Tensor | GraphBatch


@dataclass(frozen=True, eq=False)
class CurveBatch(TensorBatch):
    """b learning curves of which the beginning was observed.

    Attributes:
        curves: ``float32[b, epochs]``, column e - 1 is epoch e; NaN for what was not observed.
        target: ``float32[b]``, the final value.
        arch_id: ``int64[b]``, row in the benchmark.
    """

    curves: Tensor
    target: Tensor
    arch_id: Tensor
