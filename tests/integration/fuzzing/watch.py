"""Reads a file and notices what a reader must not do."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from target import Target

from foretrain.errors import ForetrainError

SECONDS = 30


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
    tempfile.tempdir = str(watch.allowed)  # temporary files may be made, and are looked for there
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
        watch.allowed = tempfile.tempdir = None
    return f"{outcome or ''} did {watch.seen[0]}" if watch.seen else outcome
