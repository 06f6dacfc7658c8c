"""Files from strangers: valid files of every format, changed at random and read again.

``--seconds 600`` shares the processor time among the formats, ``--runs 20`` reads so many files of each; the tests of
benchmarks, predictors, runtime and search, whose files are changed, have to be in ``PYTHONPATH``. A reader may refuse a
file with an error of ours or take it. It fails with any other error, when it runs a program, opens a file for writing
outside of its folder, takes more than 2 GB, or takes longer than 30 seconds.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mutations import MUTATORS, bytes_of
from targets import TARGETS
from watch import SECONDS, Watch, attempt

from foretrain.errors import ForetrainWarning

MEMORY = 2 << 30


@dataclass
class Tally:
    """What became of the files of a format."""

    taken: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def fuzz(name: str, seed: int, watch: Watch, keep: Path | None) -> Iterator[Tally]:
    """Reads changed files of a format, one at each step."""
    target, draw, tally = TARGETS[name], random.Random(f"{seed} {name}"), Tally()
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as temporary:
        corpus, work = Path(temporary) / "corpus", Path(temporary) / "work"
        corpus.mkdir()
        relative = target.make(corpus).relative_to(corpus)
        sources = sorted(path for path in (corpus / relative).rglob("*") if path.is_file()) or [corpus / relative]
        shutil.copytree(corpus, work)
        valid = attempt(target, work / relative, watch)
        assert valid is None, f"{name}: the valid file is not read: {valid or 'refused'}"
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
