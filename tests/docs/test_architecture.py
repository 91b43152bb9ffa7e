"""ARCHITECTURE.md against the code that it describes."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "meshport"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_the_table_names_every_package_and_module_of_the_library() -> None:
    """Each package of meshport/, each module at its root and each package of process/ has a row, and no row names another."""
    rows = re.findall(r"^\| (`[^|]+`) \|", TEXT, re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([a-z0-9_/]+)`", row)}
    packages = {file.parent.relative_to(LIBRARY).as_posix() for file in LIBRARY.glob("*/__init__.py")} - {"process"}
    packages |= {file.parent.relative_to(LIBRARY).as_posix() for file in (LIBRARY / "process").glob("*/__init__.py")}
    modules = {file.stem for file in LIBRARY.glob("*.py")} - {"__init__", "__main__"}
    assert named == packages | modules


def test_every_path_that_it_names_exists() -> None:
    """A path in backticks is one of the repository, of meshport/ or of meshport/process/."""
    paths = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.py)(?:[`<])", TEXT))
    assert paths
    bases = (ROOT, LIBRARY, LIBRARY / "process", LIBRARY / "process" / "state", LIBRARY / "process" / "logic")
    assert [path for path in sorted(paths) if not any((base / path).exists() for base in bases)] == []
