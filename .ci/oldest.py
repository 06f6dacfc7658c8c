"""Prints constraints that pin every dependency of pyproject.toml to the oldest version that it allows."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def oldest(requirement: str) -> str:
    """Returns ``name==lowest`` of ``name>=lowest,...``."""
    parsed = Requirement(requirement)
    (lowest,) = (part.version for part in parsed.specifier if part.operator == ">=")
    return f"{parsed.name}=={lowest}"


def main() -> None:
    """Prints one line a dependency; given the name of an extra, its dependencies too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in sys.argv[1:] for r in project["optional-dependencies"][extra])]
    print("\n".join(oldest(r) for r in wanted if not r.startswith("foretrain")))


if __name__ == "__main__":
    main()
