"""Forecasts from any number of devices as one table."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from foretrain.batches import TensorBatch
from foretrain.errors import DataError
from foretrain.runtime.files import atomic_path


class PredictionTable(BasePredictionWriter):
    """Writes what ``Trainer.predict`` gives as one Parquet file with the columns ``arch_id`` and ``forecast``.

    Every device writes each of its batches at once, so that none keeps them in memory; the first one then puts them
    together, ordered by ``arch_id``, and makes sure that it has every network once. Devices of several machines need
    the folder under the same path. Use ``return_predictions=False``.

    Args:
        path: The file; the parts lie beside it until it is written.
        expected: The ``arch_id`` of all networks.
    """

    def __init__(self, path: str | Path, expected: Iterable[int]) -> None:
        super().__init__("batch")
        self.path = Path(path)
        self.expected = sorted(expected)
        self._parts = self.path.with_name(f".{self.path.name}.parts")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes what an earlier, interrupted prediction left."""
        if trainer.is_global_zero:
            shutil.rmtree(self._parts, ignore_errors=True)
        trainer.strategy.barrier()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Any,  # noqa: ANN401 - Lightning's
        batch: TensorBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Writes a batch: its field ``arch_id`` and the forecasts ``[b]`` or ``[b, t]``."""
        ids: Tensor = batch.arch_id  # type: ignore[attr-defined]
        part = pa.table({"arch_id": ids.cpu().numpy(), "forecast": prediction.cpu().tolist()})
        with atomic_path(self._parts / f"{trainer.global_rank}-{batch_idx}.parquet") as temporary:
            pq.write_table(part, temporary)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Puts the parts together.

        Raises:
            DataError: A network is missing or there twice.
        """
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            parts = [pq.read_table(part) for part in sorted(self._parts.glob("*.parquet"))]
            table = pa.concat_tables(parts).sort_by("arch_id")
            if table["arch_id"].to_pylist() != self.expected:
                there = pc.value_counts(table["arch_id"]).to_pylist()
                twice = [entry["values"] for entry in there if entry["counts"] > 1]
                missing = sorted(set(self.expected) - {entry["values"] for entry in there})
                problem = f"networks {missing[:3]} are missing, {twice[:3]} are there more than once"
                raise DataError(self.path, problem, "Give every device its share of the networks")
            with atomic_path(self.path) as temporary:
                pq.write_table(table, temporary)
            shutil.rmtree(self._parts)
        trainer.strategy.barrier()
