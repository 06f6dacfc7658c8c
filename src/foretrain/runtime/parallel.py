"""One parallel map for many independent jobs, whose finished items are on disk at once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import joblib
import torch

from foretrain.errors import ForetrainError, ItemsFailedError
from foretrain.runtime.files import read_json, write_json
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.ranks import rank

Item = TypeVar("Item")
Record = dict[str, Any]
_SHOWN_FAILURES = 3
_SECONDS_BETWEEN_LOOKS = 0.5


class ParallelMap:
    """Applies a function to every item in processes of this machine and keeps each result on disk.

    An item's result is a flat record of primitives, written as ``<folder>/<key>.json`` the moment it is finished. A
    call with the same folder runs only the items that have no such file: that is how an interrupted job goes on.
    Every worker computes with ``threads`` threads, also when there is one worker only, so the results do not depend
    on the number of workers.

    Args:
        workers: Number of processes; None takes one per available core.
        threads: Threads of each worker.
    """

    def __init__(self, workers: int | None = None, threads: int = 1) -> None:
        self.workers = workers if workers is not None else int(joblib.cpu_count())
        self.threads = threads

    def __call__(
        self,
        function: Callable[[Item], Record],
        items: Mapping[str, Item],
        folder: str | Path,
        description: str,
    ) -> dict[str, Record]:
        """Runs what is missing and returns the records of all items, in the order of ``items``.

        Of several processes that work on one run, the first one does this and the others wait for its records.

        Args:
            function: Importable (picklable) function of one item; larger results it writes itself, atomically,
                before it returns.
            items: The items by key; keys are file names.
            folder: Where the records are kept.
            description: Text beside the progress bar.

        Raises:
            ItemsFailedError: Some items failed; the others are finished and kept, calling again tries only the rest.
        """
        folder = Path(folder)
        missing = {key: item for key, item in items.items() if not (folder / f"{key}.json").exists()}
        if rank() > 0:
            return _wait_for(items, folder)
        failures: dict[str, str] = {}
        with progress_bar(description, total=len(items), done=len(items) - len(missing)) as advance:
            for key, failure in self._run(function, missing, folder):
                if failure is not None:
                    failures[key] = failure
                advance()
        if failures:
            raise ItemsFailedError(_describe(failures, description, folder))
        return {key: read_json(folder / f"{key}.json") for key in items}

    def _run(self, function: Callable[[Item], Record], items: Mapping[str, Item], folder: Path) -> Any:  # noqa: ANN401 - joblib's generator is untyped
        """Yields (key, failure or None) as the items finish."""
        jobs = (joblib.delayed(_run_item)(function, key, item, folder, self.threads) for key, item in items.items())
        backend = "sequential" if self.workers == 1 else "loky"
        with joblib.parallel_config(backend=backend, n_jobs=self.workers):
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(jobs)


def _run_item(
    function: Callable[[Item], Record], key: str, item: Item, folder: Path, threads: int
) -> tuple[str, str | None]:
    """Runs one item with its number of threads and writes its record; an error comes back as text.

    What is raised on purpose says all in its message, everything else comes with its traceback.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        record = function(item)
        write_json(folder / f"{key}.json", record)
    except ForetrainError as error:
        return key, str(error)
    except Exception:  # noqa: BLE001 - one bad item must not end the others
        return key, traceback.format_exc()
    finally:
        torch.set_num_threads(threads_before)
    return key, None


def _wait_for(keys: Iterable[str], folder: Path) -> dict[str, Record]:
    """The records that another process writes; it takes this one along when it fails."""
    paths = {key: folder / f"{key}.json" for key in keys}
    while not all(path.exists() for path in paths.values()):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return {key: read_json(path) for key, path in paths.items()}


def _describe(failures: Mapping[str, str], description: str, folder: Path) -> str:
    shown = "\n\n".join(f"{key}: {text}" for key, text in list(failures.items())[:_SHOWN_FAILURES])
    return (
        f"{description}: {len(failures)} items failed, the others are kept in {folder}; run the same command again to "
        f"retry the failed ones. The first of them:\n\n{shown}"
    )
