"""The distribution: what a user installs."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import meshport

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this working tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_holds_two_packages(wheel: Path) -> None:
    """Its import packages are meshport and meshport_registry, whole, and nothing else: no test, no product."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {each for each in tops if not each.endswith(".dist-info")} == {"meshport", "meshport_registry"}
    tracked = subprocess.run(
        ["git", "ls-files", "meshport", "registry/meshport_registry"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert {each.removeprefix("registry/") for each in tracked} <= set(names), (
        "jar lock, migrations and templates included"
    )
    assert {"meshport/py.typed"} <= set(names), "its types are the user's too"


def test_the_wheel_names_its_command_and_licence(wheel: Path) -> None:
    """The command `meshport` and the licence are part of it; the extras are the designed ones."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        assert "meshport = meshport.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert f"\nVersion: {meshport.__version__}\n" in metadata
    assert set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE)) >= {"all", "kafka", "process", "registry"}


def test_the_version_is_the_changelogs_newest() -> None:
    """CHANGELOG.md begins with what this version holds."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", text, re.MULTILINE)
    assert versions[0] == meshport.__version__
    assert versions == sorted(versions, key=lambda each: [int(part) for part in each.split(".")], reverse=True)
