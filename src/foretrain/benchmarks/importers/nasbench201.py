"""NAS-Bench-201's ``.pth`` file (Dong & Yang 2020), a pickle that torch wrote.

``meta_archs`` lists the 15,625 strings, whose position is the official index; ``arch2infos[index]`` has the trainings
of 12 epochs under ``less`` and those of 200 epochs under ``full``. The file is unpickled as a whole, which takes some
tens of gigabytes of memory (as with the official reader); ``natsbench`` reads one architecture at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foretrain.benchmarks.contents import Contents, Description
from foretrain.benchmarks.importers.arch_results import ArchResults
from foretrain.benchmarks.importers.unpickling import load_torch_file
from foretrain.errors import DataError
from foretrain.runtime.progress import progress_bar

SPACE = "foretrain.spaces.nasbench201.NASBench201"


def read(path: Path) -> Contents:
    """Reads the file.

    Raises:
        DataError: It is damaged, wants a class outside the allow-list, lacks a field or has an impossible accuracy.
    """
    content = load_torch_file(path)
    names, infos = (content.get(key) if isinstance(content, Mapping) else None for key in ("meta_archs", "arch2infos"))
    if not isinstance(names, Sequence) or not isinstance(infos, Mapping):
        raise DataError(path, "lacks 'meta_archs' or 'arch2infos'", "Check that it is NAS-Bench-201-v1_1-096897.pth")
    architectures = [str(name) for name in names]
    results = ArchResults(len(architectures), path)
    with progress_bar("reading architectures", total=len(infos)) as advance:
        for row, info in infos.items():
            results.add(row, info)
            advance()
    description = Description(
        name="nasbench201",
        title="NAS-Bench-201: all 15,625 cells on CIFAR-10, CIFAR-100 and ImageNet16-120",
        space=SPACE,
        source="Dong & Yang 2020, https://github.com/D-X-Y/NAS-Bench-201",
        licence="MIT",
    )
    return Contents(description, architectures, results.series())
