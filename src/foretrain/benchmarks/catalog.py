"""The benchmarks that are known by name, and where their converted folders are looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "benchmark.json"
EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True)
class OfficialFile:
    """A file (or folder) as its authors publish it.

    Attributes:
        name: Its name.
        size: Its size in words, or empty where it is not stated.
        sha256: Its SHA-256, or None where none is published.
    """

    name: str
    size: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """A benchmark that is known by name.

    Attributes:
        name: Its short name, the one to open it by.
        title: What it is, in one line.
        described: Where its official files are described.
        licence: Licence of the numbers.
        format: The format that imports the official files; empty for what ships with the package.
        files: The official files, any of which will do.
        tables: The format that makes it from the tables in the folder ``FORETRAIN_DATA``, or None.
    """

    name: str
    title: str
    described: str
    licence: str
    format: str = ""
    files: tuple[OfficialFile, ...] = ()
    tables: str | None = None


CATALOG = {
    entry.name: entry
    for entry in (
        Entry(
            "digits201",
            "NAS-Bench-201 cells in a small skeleton, trained on scikit-learn's digits; ships with foretrain",
            "README of foretrain",
            "Apache-2.0",
        ),
        Entry(
            "digits101",
            "NAS-Bench-101 cells in a small skeleton, trained on scikit-learn's digits; ships with foretrain",
            "README of foretrain",
            "Apache-2.0",
        ),
        Entry(
            "nasbench101",
            "NAS-Bench-101: all 423,624 cells of at most 7 vertices on CIFAR-10, three repeats",
            "https://github.com/google-research/nasbench",
            "Apache-2.0",
            "nasbench101",
            (
                OfficialFile(
                    "nasbench_only108.tfrecord",
                    "about 499 MB, training for 108 epochs",
                    "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
                ),
                OfficialFile(
                    "nasbench_full.tfrecord",
                    "about 1.95 GB, training for 4, 12, 36 and 108 epochs",
                    "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
                ),
            ),
            "tables-nasbench101",
        ),
        Entry(
            "nasbench201",
            "NAS-Bench-201: all 15,625 cells on CIFAR-10, CIFAR-100 and ImageNet16-120, up to three seeds, with curves",
            "https://github.com/D-X-Y/NAS-Bench-201",
            "MIT",
            "nasbench201",
            (OfficialFile("NAS-Bench-201-v1_1-096897.pth", "4.7 GB"),),
            "tables-nasbench201",
        ),
        Entry(
            "natsbench",
            "NATS-Bench, topology: the cells of NAS-Bench-201 with more runs",
            "https://github.com/D-X-Y/NATS-Bench",
            "MIT",
            "natsbench",
            (OfficialFile("NATS-tss-v1_0-3ffb9-simple"),),
        ),
        Entry(
            "synetune-nasbench201",
            "Syne Tune's copy of NAS-Bench-201: test and training error per epoch",
            "https://github.com/syne-tune/syne-tune",
            "Apache-2.0",
            "synetune",
            (OfficialFile("hyperparameters.parquet"), OfficialFile("objectives_evaluations.npy")),
        ),
        Entry(
            "suite-zero-nasbench101",
            "NAS-Bench-Suite-Zero: 13 zero-cost scores of NAS-Bench-101 networks",
            "https://github.com/automl/NASLib/tree/zerocost",
            "Apache-2.0",
            "suite-zero",
            (OfficialFile("zc_nasbench101.json"),),
        ),
        Entry(
            "suite-zero-nasbench201",
            "NAS-Bench-Suite-Zero: 13 zero-cost scores of NAS-Bench-201 networks",
            "https://github.com/automl/NASLib/tree/zerocost",
            "Apache-2.0",
            "suite-zero",
            (OfficialFile("zc_nasbench201.json"),),
        ),
        Entry(
            "suite-zero-nasbench301",
            "NAS-Bench-Suite-Zero: 13 zero-cost scores of DARTS networks",
            "https://github.com/automl/NASLib/tree/zerocost",
            "Apache-2.0",
            "suite-zero",
            (OfficialFile("zc_nasbench301.json"),),
        ),
        Entry(
            "nasbench301",
            "1,218 DARTS networks with the accuracy that the NAS-Bench-301 surrogate predicts, and 12 scores",
            "https://github.com/automl/NASLib",
            "Apache-2.0",
            tables="tables-nasbench301",
        ),
        Entry(
            "naap440",
            "NAAP-440: learning curves of 440 plain convolutional networks on CIFAR-10, 90 epochs",
            "https://github.com/talcs/NAAP-440",
            "MIT",
            tables="tables-naap440",
        ),
    )
}


def home() -> Path:
    """The folder of converted benchmarks: ``FORETRAIN_HOME``, else ``~/.cache/foretrain``."""
    return Path(os.environ.get("FORETRAIN_HOME") or Path.home() / ".cache" / "foretrain")


def default_folder(name: str) -> Path:
    """Where the benchmark of a name is kept unless the user chose another place."""
    return home() / "benchmarks" / name


def find_folder(name: str) -> Path | None:
    """Returns the converted folder of a name, or the folder whose path was given; None where there is none."""
    candidates = [default_folder(name), EMBEDDED / name] if _is_name(name) else []
    for folder in (*candidates, Path(name)):
        if (folder / MANIFEST).is_file():
            return folder
    return None


def installed() -> dict[str, Path]:
    """The converted benchmarks that can be opened by name."""
    roots = (EMBEDDED, home() / "benchmarks")
    found = {path.parent.name: path.parent for root in roots for path in sorted(root.glob(f"*/{MANIFEST}"))}
    return {name: folder for name, folder in found.items() if not name.startswith(".")}


def tables_folder() -> Path | None:
    """The folder of published tables, ``FORETRAIN_DATA``, or None where it is not set."""
    folder = os.environ.get("FORETRAIN_DATA")
    return Path(folder) if folder else None


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and Path(name).name == name
