"""The rules of the house: imports run downwards, configs name things that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from foretrain.runtime.config import _locate

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "foretrain"
FLOORS = [
    {"runtime", "metrics", "spaces"},
    {"training", "benchmarks"},
    {"proxies", "curves", "snapshots", "predictors"},
    {"search"},
    {"evaluation"},
    {"integrations"},
]
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
LIES_UNDER_ALL = {"errors", "forecast"}


def _imported_rooms(path: Path) -> set[str]:
    """Rooms (and top-level modules) of foretrain that a file imports, lazily or not."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    assert not any(item[0] == "src" for item in parts), f"{path} imports src.*"
    rooms = {item[1] for item in parts if item[0] == "foretrain" and len(item) > 1}
    return {room for room in rooms if (PACKAGE / room).exists() or (PACKAGE / f"{room}.py").exists()}


def test_every_room_has_a_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms
    assert rooms <= FLOOR_OF.keys()


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()))
def test_imports_run_downwards(room: str):
    for path in (PACKAGE / room).rglob("*.py"):
        for other in _imported_rooms(path) - LIES_UNDER_ALL - {room}:
            below = FLOOR_OF[other] < FLOOR_OF[room]
            assert below, f"{path.relative_to(ROOT)} imports {other}, which is not on a floor below {room}"


def test_networks_and_functional_cores_know_neither_lightning_nor_hydra():
    orchestration = {"module.py", "data.py", "recorder.py", "candidate.py", "training.py", "classes.py"}
    for room in ("spaces", "metrics", "snapshots", "training"):
        for path in (PACKAGE / room).rglob("*.py"):
            if path.name in orchestration:
                continue
            text = path.read_text(encoding="utf-8")
            assert "import hydra" not in text, path
            assert "lightning" not in {line.split()[1].split(".")[0] for line in text.splitlines() if _imports(line)}, (
                path
            )


def _imports(line: str) -> bool:
    return line.startswith(("import ", "from "))


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
