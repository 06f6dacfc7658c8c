"""The page: what runs hold, put into one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from foretrain.evaluation.report import format_cell
from foretrain.integrations.report.markdown import image_source, render
from foretrain.integrations.report.measures import direction_of, measures_of
from foretrain.integrations.report.points import points_of
from foretrain.integrations.report.runs import Run, find_runs
from foretrain.runtime.files import require_writable, write_text

_MOST_TABLE_ROWS = 500
_FRAME_KEYS = ("run_dir", "hydra", "logger", "parallel")
_UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def write_page(folders: Sequence[Path], out: Path) -> list[Run]:
    """Writes one HTML page of finished runs.

    Text that comes from the runs is escaped everywhere, and the page's own policy keeps a browser from running or
    loading anything but what foretrain put there. The same folders give the same bytes.

    Args:
        folders: Run folders, or folders that hold runs at any depth.
        out: The file to write.

    Returns:
        The runs that are on the page.

    Raises:
        DataError: A folder holds no finished run, or a file in it is damaged, or no file can be made where the page
            goes; nothing is written then.
    """
    require_writable(out)
    runs = find_runs(folders)
    write_text(out, _html(runs))
    return runs


def _html(runs: Sequence[Run]) -> str:
    style, script = _asset("page.css"), _asset("page.js")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["cell"] = lambda value: format_cell(value, 4)
    return environment.from_string(_asset("page.html")).render(
        title=runs[0].name if len(runs) == 1 else f"{len(runs)} runs side by side",
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}",
        overview=[_overview(run) for run in runs],
        differences=_differences(runs),
        measures=measures_of(runs),
        runs=[_card(run) for run in runs],
        data=_script_data(_data(runs)),
    )


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    """What the plots draw from."""
    measures = measures_of(runs)
    return {
        "runs": [run.name for run in runs],
        "measures": [asdict(measure) for measure in measures],
        "directions": {measure.metric: direction_of(measure.metric) for measure in measures},
        "predictions": [None if run.predictions is None else points_of(run.predictions) for run in runs],
    }


def _overview(run: Run) -> dict[str, str]:
    """One row of the first table."""
    provenance = run.provenance
    versions = provenance.get("versions")
    devices = provenance.get("devices") or []
    seconds = run.seconds.get("total")
    return {
        "run": run.name,
        "experiment": run.config.get("name", ""),
        "seed": str(provenance.get("seed", run.config.get("seed", ""))),
        "written": str(provenance.get("written", ""))[:16].replace("T", " "),
        "seconds": f"{seconds:.1f}" if isinstance(seconds, float) else str(seconds or ""),
        "device": ", ".join(map(str, devices if isinstance(devices, list) else [devices])),
        "torch": str(versions.get("torch", "")) if isinstance(versions, dict) else "",
        "commit": str(provenance.get("git_commit") or "")[:10],
    }


def _differences(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The keys of the configs that are not the same in all runs, without those that only say where a run lies."""
    keys = dict.fromkeys(key for run in runs for key in run.config if key.partition(".")[0] not in _FRAME_KEYS)
    rows = [(key, [run.config.get(key, "") for run in runs]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _card(run: Run) -> dict[str, Any]:
    """All of one run that has no place in the comparison."""
    mentioned = [name for name in run.figures if f"({name})" in run.report]
    return {
        "name": run.name,
        "folder": str(run.folder),
        "report": render(run.report, run.figures),
        "figures": {name: image_source(image) for name, image in run.figures.items() if name not in mentioned},
        "tables": {name: _table(table) for name, table in run.tables.items()},
        "seconds": run.seconds,
        "config": run.config,
        "provenance": json.dumps(run.provenance, indent=2),
    }


def _table(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "columns": [str(name) for name in table.columns],
        "numeric": [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes],
        "rows": list(table.head(_MOST_TABLE_ROWS).itertuples(index=False, name=None)),
        "length": len(table),
    }


def _script_data(value: object) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_UNSAFE))  # noqa: S704 - escaped here


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a content security policy names the one inline element that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
