"""The formats that can be imported: one module and one function each, imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from foretrain.errors import DataError


@dataclass(frozen=True)
class Format:
    """One format of benchmark files.

    Attributes:
        name: Its name on the command line.
        function: ``module:function`` in this package: a function of the path that returns the contents.
        reads: What it reads, in one line.
        files: The files that it reads in a folder (a ``*`` stands for any name); empty where the path is the file.
    """

    name: str
    function: str
    reads: str
    files: tuple[str, ...] = ()

    def sources(self, path: Path) -> list[Path]:
        """Returns the files that are read, in order of name.

        Raises:
            DataError: One of them is missing.
        """
        if not self.files:
            if not path.is_file():
                raise DataError(path, "no such file", f"The format {self.name} reads {self.reads}")
            return [path]
        return sorted(file for pattern in self.files for file in self._matches(path, pattern))

    def load(self) -> Callable[[Path], Any]:
        """Imports the function."""
        module, _, function = self.function.partition(":")
        loaded: Callable[[Path], Any] = getattr(import_module(f"{__name__}.{module}"), function)
        return loaded

    def _matches(self, path: Path, pattern: str) -> list[Path]:
        found = [file for file in path.glob(pattern) if file.is_file()]
        if not found:
            raise DataError(path / pattern, "no such file", f"The format {self.name} reads {self.reads}")
        return found


FORMATS = {
    entry.name: entry
    for entry in (
        Format("nasbench101", "nasbench101:read", "nasbench_only108.tfrecord or nasbench_full.tfrecord"),
        Format("nasbench201", "nasbench201:read", "NAS-Bench-201-v1_1-096897.pth"),
        Format("natsbench", "natsbench:read", "the folder NATS-tss-v1_0-3ffb9-simple", ("*.pickle.pbz2",)),
        Format(
            "synetune",
            "synetune:read",
            "Syne Tune's folder nasbench201",
            ("hyperparameters.parquet", "metadata.json", "objectives_evaluations.npy"),
        ),
        Format("suite-zero", "suite_zero:read", "zc_nasbench101.json, zc_nasbench201.json or zc_nasbench301.json"),
        Format("long-table", "long_table:read", "a CSV or Parquet file: arch, dataset, seed, epoch, split, accuracy"),
        Format(
            "tables-nasbench201",
            "foretrain_data:nasbench201",
            "the folder FORETRAIN_DATA",
            (
                "nasbench201/accuracies.parquet",
                "nasbench201/curves_c10valid_100.npz",
                "nasbench201/proxies_freerea_c10_c100.parquet",
                "nasbench201/proxies_suite_zero_c10.parquet",
            ),
        ),
        Format(
            "tables-nasbench101",
            "foretrain_data:nasbench101",
            "the folder FORETRAIN_DATA",
            ("nasbench101/cells_30k_val_accuracy.parquet", "nasbench101/cells_test_accuracy.parquet"),
        ),
        Format(
            "tables-nasbench301",
            "foretrain_data:nasbench301",
            "the folder FORETRAIN_DATA",
            ("darts/nasbench301_surrogate_1218.parquet",),
        ),
        Format(
            "tables-naap440", "foretrain_data:naap440", "the folder FORETRAIN_DATA", ("curves/naap440_cifar10.npz",)
        ),
    )
}
