"""The entry points as a user runs them: in a process of their own, or (quicker) in this one."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ended:
    """How a script ended and what it printed."""

    code: int
    printed: str
    errors: str


def command(script: str, *overrides: str) -> list[str]:
    return [sys.executable, "-W", "ignore", str(ROOT / script), *overrides]


def run_apart(script: str, *overrides: str, folder: Path, **env: str) -> Ended:
    """Runs a script in a process of its own, from a working folder."""
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | env
    done = subprocess.run(
        command(script, *overrides), capture_output=True, text=True, check=False, cwd=folder, env=variables, timeout=300
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_here(script: str, *overrides: str, folder: Path) -> Ended:
    """Runs a script in this process, which has paid for the imports already."""
    printed, errors = io.StringIO(), io.StringIO()
    code = 0
    with (
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", [script, *overrides]),
        mock.patch.dict(os.environ),
        mock.patch.object(logging.root, "handlers", []),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, printed.getvalue(), errors.getvalue())
