"""No dependency without a reason, none that nobody imports, none that is imported and not declared."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMES_WITH = {"click": "typer", "configspace": "smac", "pytorch-lightning": "lightning"}
"""Packages whose objects another one hands out, which requires them itself."""


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements} - {"foretrain"}


def imported_packages() -> set[str]:
    """Top-level modules that the source imports, statically or as an extra."""
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_extra":
                found |= {
                    argument.value.split(".")[0] for argument in node.args[:1] if isinstance(argument, ast.Constant)
                }
    return found - set(sys.stdlib_module_names) - {"foretrain"}


def distributions(modules: set[str]) -> set[str]:
    table = importlib.metadata.packages_distributions()
    return {canonicalize_name(name) for module in modules for name in table.get(module, [module])}


def test_the_page_names_every_dependency_and_no_other():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    main, extras = page.split("## Extras")
    assert set(re.findall(r"^\| `([\w.-]+)` \|", main, re.MULTILINE)) == names(PROJECT["dependencies"])
    listed = set(re.findall(r"^\| `(\w+)` \| `([\w.-]+)` \|", extras, re.MULTILINE))
    declared = PROJECT["optional-dependencies"].items()
    assert listed == {(extra, name) for extra, requirements in declared for name in names(requirements)}
    assert all(len(line.split("|")[-2].strip()) > 3 for line in page.splitlines() if line.startswith("| `"))


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    imported = distributions(imported_packages())
    required = names(PROJECT["dependencies"])
    optional = {
        name for extra in ("baselines", "ray", "cluster") for name in names(PROJECT["optional-dependencies"][extra])
    }
    assert {COMES_WITH.get(name, name) for name in imported} - optional <= required
    assert required - imported == set()


def test_constraints_pin_every_dependency_with_digests():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#")
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    text = (ROOT / "constraints-hashed.txt").read_text()
    found = re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;\\]+)", text, re.MULTILINE)
    hashed = {canonicalize_name(name): version for name, version in found}
    wanted = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["dev"])
    assert wanted <= pinned.keys()
    assert {name: hashed.get(name) for name in wanted} == {name: pinned[name] for name in wanted}
    blocks = re.split(r"\n(?=[\w.-]+(?:\[.*\])?==)", text)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)


def test_extras_that_pinned_packages_ask_for_are_pinned_too():
    """With ``--require-hashes`` pip takes ``coverage==1`` for no pin of ``coverage[toml]``."""
    text = (ROOT / "constraints-hashed.txt").read_text()
    pinned = [Requirement(line) for line in re.findall(r"^[\w.-]+(?:\[.*\])?==[^\s;\\]+", text, re.MULTILINE)]
    extras = {canonicalize_name(item.name): item.extras for item in pinned}
    asked: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        if canonicalize_name(distribution.metadata["Name"]) in extras:
            for item in map(Requirement, distribution.requires or ()):
                if item.extras and (item.marker is None or item.marker.evaluate({"extra": ""})):
                    asked.setdefault(canonicalize_name(item.name), set()).update(item.extras)
    assert all(wanted <= extras[name] for name, wanted in asked.items()), asked


def test_the_oldest_versions_are_the_lower_bounds():
    printed = subprocess.run([sys.executable, ROOT / ".ci" / "oldest.py"], capture_output=True, text=True, check=True)
    pins = dict(line.split("==") for line in printed.stdout.splitlines())
    assert pins["torch"] == "2.6"
    assert pins["lightning"] == "2.6.4"
    assert len(pins) == len(PROJECT["dependencies"])


def test_the_wheel_has_all_that_the_package_reads(tmp_path: Path):
    """Built without the network; ``make wheel`` installs it, and what it needs, where there is nothing else."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path / "dist", source]
    subprocess.run([*pip, *wheel], check=True)
    (built,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        packed = {name for name in archive.namelist() if name.startswith("foretrain/")}
    wanted = [path for path in (source / "src" / "foretrain").rglob("*") if path.is_file()]
    assert packed == {path.relative_to(source / "src").as_posix() for path in wanted}
