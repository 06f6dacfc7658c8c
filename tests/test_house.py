"""The rules of the house: imports run downwards, configs name things that exist."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foretrain.runtime.config import _locate

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "foretrain"
ROOMS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
FLOORS = [
    {"runtime", "metrics", "spaces"},
    {"training", "benchmarks"},
    {"proxies", "curves", "snapshots", "predictors"},
    {"search"},
    {"evaluation"},
    {"integrations"},
]
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
LIES_UNDER_ALL = {"batches", "errors", "forecast"}
ORCHESTRATION = {"module.py", "data.py", "recorder.py", "candidate.py", "training.py"}
"""Files that may know Lightning, besides those of the rooms that are about running: runtime and integrations."""


def _imported_names(path: Path) -> set[str]:
    """What a file imports, lazily or not."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _imported_rooms(path: Path) -> set[str]:
    """Rooms (and top-level modules) of foretrain that a file imports."""
    parts = [name.split(".") for name in _imported_names(path)]
    assert not any(item[0] == "src" for item in parts), f"{path} imports src.*"
    rooms = {item[1] for item in parts if item[0] == "foretrain" and len(item) > 1}
    return {room for room in rooms if (PACKAGE / room).exists() or (PACKAGE / f"{room}.py").exists()}


def test_every_room_has_a_floor():
    assert ROOMS
    assert FLOOR_OF.keys() >= ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_run_downwards(room: str):
    for path in (PACKAGE / room).rglob("*.py"):
        for other in _imported_rooms(path) - LIES_UNDER_ALL - {room}:
            below = FLOOR_OF[other] < FLOOR_OF[room]
            assert below, f"{path.relative_to(ROOT)} imports {other}, which is not on a floor below {room}"


@pytest.mark.parametrize("room", sorted(ROOMS - {"runtime", "integrations"}))
def test_networks_and_functional_cores_know_neither_lightning_nor_hydra(room: str):
    for path in (PACKAGE / room).rglob("*.py"):
        packages = {name.split(".")[0] for name in _imported_names(path)}
        assert "hydra" not in packages, path
        assert path.name in ORCHESTRATION or "lightning" not in packages, path


@pytest.mark.parametrize(
    ("modules", "package"),
    [
        ("foretrain.integrations.command, foretrain.runtime.entry", "torch"),
        ("foretrain.benchmarks.table, foretrain.runtime.parallel", "lightning"),
    ],
)
def test_what_starts_often_does_not_import_what_takes_seconds(modules: str, package: str):
    code = f"import sys, {modules}; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _targets(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if isinstance(node.get("_target_"), str) else []
        return own + [target for value in node.values() for target in _targets(value)]
    if isinstance(node, list):
        return [target for value in node for target in _targets(value)]
    return []


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_target_in_conf_imports(path: Path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for target in _targets(content):
        assert callable(_locate({"_target_": target}, str(path)))


@pytest.mark.parametrize("path", [ROOT / "train.py", ROOT / "predict.py"], ids=lambda p: p.name)
def test_entry_points_are_thin(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "experiment").glob("*.yaml")), ids=lambda p: p.stem)
def test_experiments_are_short_overlays_with_their_command(path: Path):
    text = path.read_text(encoding="utf-8")
    assert "# @package _global_" in text
    assert f"python train.py experiment={path.stem}" in text
    assert len(text.splitlines()) <= 30
