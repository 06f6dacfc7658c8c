"""Files from strangers: valid files of every format, changed at random and read again.

``--seconds 600`` shares the processor time among the formats, ``--runs 20`` reads so many files of each; the tests of
benchmarks and predictors, whose files are changed, have to be in ``PYTHONPATH``. A reader may refuse a file with an
error of ours or take it. It fails with any other error, when it runs a program, opens a file for writing outside of its
folder, takes more than 2 GB, or takes longer than 30 seconds.
"""

from __future__ import annotations

import argparse
import bz2
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import test_nasbench101_importer as tfrecords
import test_nasbench201_importers as pickles
import test_other_importers as others
import torch
from tiny import FACTORIES, SPACES, networks

from foretrain.benchmarks.contents import Contents, Description, Series
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.importers import FORMATS
from foretrain.benchmarks.table import Benchmark
from foretrain.errors import ForetrainError, ForetrainWarning
from foretrain.integrations.histories import read_histories
from foretrain.predictors.persistence import load_predictor, save_predictor
from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint
from foretrain.runtime.files import read_json, write_json
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recorder import Snapshots
from foretrain.snapshots.storage import PER_SNAPSHOT, SnapshotFolder, read_snapshots

MEMORY = 2 << 30
SECONDS = 30
_SPECIAL = [b"\x00", b"\xff", b"\x80", b"\x7f", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00" * 8, b"\xff" * 8]
_SPECIAL += [b"nan", b"-1", b"1e999", b"9" * 30, b"[", b"{", b'"', b",", b"\n", b"../../../tmp/x", b"/etc/passwd"]
Draw = random.Random


def bytes_of(data: bytes, draw: Draw) -> bytes:
    """Changes some bytes: flips, overwrites, inserts, removes, repeats, cuts."""
    content = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8])):
        if not content:
            break
        place, length = draw.randrange(len(content)), draw.choice([1, 1, 2, 4, 16, 200])
        way = draw.randrange(7)
        if way == 0:
            content[place] ^= 1 << draw.randrange(8)
        elif way == 1:
            value = draw.choice(_SPECIAL)
            content[place : place + len(value)] = value
        elif way == 2:
            content[place:place] = draw.choice(_SPECIAL)
        elif way == 3:
            del content[place : place + length]
        elif way == 4:
            content[place:place] = content[place : place + length] * draw.choice([1, 2, 50])
        elif way == 5:
            del content[place:]
        else:
            content[place : place + length] = draw.randbytes(length)
    return bytes(content)


def json_of(data: bytes, draw: Draw) -> bytes:
    """Replaces, removes or doubles a value somewhere in a JSON text."""
    if draw.random() < 0.3:
        return bytes_of(data, draw)
    content = json.loads(data)
    odd = [None, -1, 0, 1e308, float("nan"), float("inf"), 2**70, "", "x", "../../x", [], {}, [[]], True, "9" * 400]
    if draw.random() < 0.05:
        return b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(content)
    for _ in range(draw.choice([1, 1, 2])):
        node, key = draw.choice(places)
        if draw.random() < 0.2 and isinstance(node, dict):
            node.pop(key, None)
        else:
            node[key] = draw.choice(odd)
    return json.dumps(content).encode()


def records_of(data: bytes, draw: Draw) -> bytes:
    """Changes the payload of a TFRecord and gives it right checksums."""
    if draw.random() < 0.3:
        return bytes_of(data, draw)
    payloads, place = [], 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        payloads.append(data[place + 12 : place + 12 + length])
        place += length + 16
    changed = draw.randrange(len(payloads))
    payloads[changed] = draw.choice([bytes_of, json_of])(payloads[changed], draw)
    return b"".join(map(tfrecords.frame, payloads))


def bz2_of(data: bytes, draw: Draw) -> bytes:
    """Changes what is compressed."""
    return bytes_of(data, draw) if draw.random() < 0.2 else bz2.compress(bytes_of(bz2.decompress(data), draw), 1)


def zip_of(data: bytes, draw: Draw) -> bytes:
    """Changes a member of an archive, its name or its compression."""
    if draw.random() < 0.2:
        return bytes_of(data, draw)
    source, output = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    names = source.namelist()
    # Of a torch file, the pickle is what decides; its large storages would take most changes
    pickled = [name for name in names if name.endswith("data.pkl")]
    chosen = draw.choice(pickled if pickled and draw.random() < 0.7 else names)
    with zipfile.ZipFile(output, "w") as target:
        for name in names:
            content = source.read(name)
            if name == chosen:
                content = bytes_of(content, draw)
                renamed = draw.choice([name] * 9 + ["../" + name])
            else:
                renamed = name
            target.writestr(renamed, content, draw.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED]))
    return output.getvalue()


MUTATORS: dict[str, Callable[[bytes, Draw], bytes]] = {
    ".json": json_of,
    ".tfrecord": records_of,
    ".pbz2": bz2_of,
    ".pth": zip_of,
    ".ckpt": zip_of,
    ".npz": zip_of,
}


@dataclass
class Target:
    """A format: how a valid file comes about, and what reads it.

    Attributes:
        make: Writes valid files at the path that it gets, and returns the path to read.
        read: Reads it, as far as a user of it would.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def imported(name: str) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        FORMATS[name].sources(path)
        contents = FORMATS[name].load()(path)
        write_benchmark(contents, path.parent / "out" / "benchmark")
        read_benchmark(path.parent / "out" / "benchmark")

    return read


def read_benchmark(path: Path) -> None:
    benchmark = Benchmark(path)
    _ = benchmark.names[:2], benchmark.description.space is None or (benchmark.space, benchmark.keys[:2])
    for series in benchmark.series:
        if series.kind == "curve":
            benchmark.curves(None, series.dataset, series.split)
    for series in benchmark.series:
        if series.kind == "final":
            benchmark.accuracy(None, series.dataset, series.split)


def make_tfrecord(folder: Path) -> Path:
    (folder / "cells.tfrecord").write_bytes(b"".join(map(tfrecords.frame, tfrecords.records())))
    return folder / "cells.tfrecord"


def make_pth(folder: Path) -> Path:
    torch.save(pickles.pth_content(short_results()), folder / "cells.pth")
    return folder / "cells.pth"


def short_results() -> list[dict[str, Any]]:
    return [{length: pickles.arch_results(row, 12) for length in ("12", "200")} for row in range(3)]


def make_nats(folder: Path) -> Path:
    return pickles.nats_folder(folder / "nats", short_results())


def make_synetune(folder: Path) -> Path:
    others.syne_tune_folder(folder / "nasbench201")
    return folder / "nasbench201"


def make_suite_zero(folder: Path) -> Path:
    name = "(0, 1, 2, 3, 4, 0)"
    entry = {proxy: {"score": 1.5, "time": 0.1} for proxy in ("synflow", "jacov")}
    content = {"cifar10": {name: entry | {"val_accuracy": 80.0}, "(2, 2, 2, 3, 4, 0)": entry | {"val_accuracy": 81.0}}}
    (folder / "zc_nasbench201.json").write_text(json.dumps(content))
    return folder / "zc_nasbench201.json"


def long_rows() -> pd.DataFrame:
    rows = [(f"net{n}", "digits", s, e, "valid", 50.0 + e) for n in range(3) for s in (0, 1) for e in (1, 2)]
    return pd.DataFrame(rows, columns=["arch", "dataset", "seed", "epoch", "split", "accuracy"])


def make_long_csv(folder: Path) -> Path:
    long_rows().to_csv(folder / "long.csv", index=False)
    return folder / "long.csv"


def make_long_parquet(folder: Path) -> Path:
    long_rows().to_parquet(folder / "long.parquet", index=False)
    return folder / "long.parquet"


def make_checkpoint(folder: Path) -> Path:
    save_checkpoint(folder / "model.ckpt", SnapshotPredictor([4, 4, 4], 4))
    return folder / "model.ckpt"


def make_predictor(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        space = SPACES["nasbench201"]
        save_predictor(folder / "predictor.ckpt", FACTORIES[name](space).fit(*networks(space, 20)))
        return folder / "predictor.ckpt"

    return make


def make_snapshots(folder: Path) -> Path:
    recorded = SnapshotFolder(folder / "snapshots")
    recorded.create(1, 2, {}, {}, {})
    snapshots = Snapshots(
        steps=torch.arange(1, 3), features=torch.rand(2, 2, 2, 100, 12), layers=["a", "b"], rows=torch.tensor([3, 100])
    )
    plain = {name: [1.0, 2.0] for name in PER_SNAPSHOT}
    record = {
        "architecture": "x",
        "hyperparameters": {},
        "final_val_accuracy": 1.0,
        "test_accuracy": 2.0,
        "seconds": 1.0,
    }
    recorded.write_index({key: recorded.write(key, snapshots, record | plain) for key in ("one", "two")})
    return recorded.path


def make_npz(folder: Path) -> Path:
    np.savez(folder / "some.npz", one=np.ones((1, 2, 2, 100, 12), np.float16))
    return folder / "some.npz"


def make_benchmark(folder: Path) -> Path:
    series = {
        Series("final", "accuracy", "digits", "valid", 4, (1, 2)): np.array([[50.0, 51.0], [60.0, 61.0]]),
        Series("curve", "accuracy", "digits", "valid", 4): np.ones((2, 1, 4), np.float32),
        Series("score", "nwot", "digits"): np.array([[1.0], [2.0]]),
    }
    description = Description("small", "Two", "foretrain.spaces.nasbench201.NASBench201", "nowhere", "CC0-1.0")
    write_benchmark(Contents(description, pickles.CELLS[:2], series), folder / "benchmark")
    return folder / "benchmark"


def make_histories(folder: Path) -> Path:
    pd.DataFrame({"epoch": [1, 2, 3], "val/accuracy": [50.0, 60.0, 65.0]}).to_csv(folder / "run.csv", index=False)
    return folder / "run.csv"


def make_json(folder: Path) -> Path:
    write_json(folder / "some.json", {"a": [1, 2, {"b": None}], "c": 1.5})
    return folder / "some.json"


TARGETS = {
    "nasbench101": Target(make_tfrecord, imported("nasbench101")),
    "nasbench201": Target(make_pth, imported("nasbench201")),
    "natsbench": Target(make_nats, imported("natsbench")),
    "synetune": Target(make_synetune, imported("synetune")),
    "suite-zero": Target(make_suite_zero, imported("suite-zero")),
    "long-csv": Target(make_long_csv, imported("long-table")),
    "long-parquet": Target(make_long_parquet, imported("long-table")),
    "benchmark": Target(make_benchmark, read_benchmark),
    "checkpoint": Target(make_checkpoint, lambda path: load_checkpoint(path, SnapshotPredictor)),
    "predictor": Target(make_predictor("process"), load_predictor),
    "predictor-network": Target(make_predictor("mlp"), load_predictor),
    "snapshots": Target(make_snapshots, read_snapshots),
    "snapshots-npz": Target(make_npz, read_snapshots),
    "histories": Target(make_histories, lambda path: read_histories(path, "val/accuracy")),
    "records": Target(make_json, read_json),
}


@dataclass
class Tally:
    """What became of the files of a format."""

    taken: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


class Watch:
    """Notices what a reader must not do."""

    def __init__(self) -> None:
        self.allowed: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
            self.seen.append(f"{event} {arguments[:1]}")
        elif event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir") or (event == "open" and _writes(arguments)):
            path = arguments[0]
            inside = isinstance(path, int) or Path(os.fsdecode(path)).resolve().is_relative_to(self.allowed)
            if not inside and os.fsdecode(path) != os.devnull:
                self.seen.append(f"{event} {path}")


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return any(sign in (mode or "") for sign in "wax+") or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))


def attempt(target: Target, path: Path, watch: Watch) -> str | None:
    """Reads a file; returns None for taken, "" for refused, or what went wrong."""
    watch.seen.clear()
    watch.allowed = path.parent.resolve()
    signal.alarm(SECONDS)
    try:
        target.read(path)
        outcome = None
    except ForetrainError:
        outcome = ""
    except BaseException as error:  # noqa: BLE001 - everything else is what is looked for
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
        outcome = f"{type(error).__name__}: {str(error)[:200]} ({where})"
    finally:
        signal.alarm(0)
        watch.allowed = None
    return f"{outcome or ''} did {watch.seen[0]}" if watch.seen else outcome


def fuzz(name: str, seed: int, watch: Watch, keep: Path | None) -> Iterator[Tally]:
    """Reads changed files of a format, one at each step."""
    target, draw, tally = TARGETS[name], random.Random(f"{seed} {name}"), Tally()
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as temporary:
        corpus, work = Path(temporary) / "corpus", Path(temporary) / "work"
        corpus.mkdir()
        relative = target.make(corpus).relative_to(corpus)
        sources = sorted(path for path in (corpus / relative).rglob("*") if path.is_file()) or [corpus / relative]
        shutil.copytree(corpus, work)
        assert attempt(target, work / relative, watch) is None, f"{name}: the valid file is not read"
        while True:
            shutil.rmtree(work)
            shutil.copytree(corpus, work)
            source = draw.choice(sources)
            changed = work / source.relative_to(corpus)
            changed.write_bytes(MUTATORS.get(source.suffix, bytes_of)(source.read_bytes(), draw))
            outcome = attempt(target, work / relative, watch)
            tally.taken += outcome is None
            tally.refused += outcome == ""
            if outcome:
                tally.failures.append(outcome)
                if keep is not None:
                    shutil.copytree(work, keep / f"{name}-{len(tally.failures)}", dirs_exist_ok=True)
            yield tally


def main() -> int:
    """Reads files until the time or the number is over and prints a table; returns 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", default=list(TARGETS))
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    warnings.simplefilter("ignore", ForetrainWarning)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    signal.signal(signal.SIGALRM, _late)
    watch, failed = Watch(), False
    print("| format | files | taken | refused | failed |\n| --- | --- | --- | --- | --- |")
    for name in options.formats:
        end = time.process_time() + options.seconds / len(options.formats)
        files = fuzz(name, options.seed, watch, options.keep)
        tally, number = next(files), 1
        while (number < options.runs) if options.runs else (time.process_time() < end):
            tally, number = next(files), number + 1
        print(f"| {name} | {number} | {tally.taken} | {tally.refused} | {len(tally.failures)} |", flush=True)
        for text in sorted(set(tally.failures))[:20]:
            print(f"  {name}: {text}", file=sys.stderr, flush=True)
        failed |= bool(tally.failures)
    return int(failed)


def _late(*_: object) -> None:
    raise TimeoutError(f"longer than {SECONDS} seconds")


if __name__ == "__main__":
    sys.exit(main())
