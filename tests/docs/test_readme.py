"""The README, executed: its shell blocks in an empty directory, in order, then its Python block against that mesh."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import environment, up

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
MAKE, MINE, UP, ASK = (text for language, text in BLOCKS if language == "sh")
(PYTHON,) = (text for language, text in BLOCKS if language == "python")


def shell(script: str, folder: Path) -> str:
    """Run a block as a reader would, in bash, with the environment's commands on the path; the first failure ends it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("kafka_cache")
@pytest.mark.kafka
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    """A reader who types the README's blocks gets a mesh whose aggregate, replay and Python program work."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shell(MINE, folder)
    assert UP.split()[:2] == ["meshport", "up"]
    with up(folder) as running:
        registry_url = running.facts["registry_url"]
        shown = shell(ASK, folder)
        assert re.search(r"mean_delay\W+3\.0\W+max_delay\W+11\b", shown)
        assert shown.count('"replayid"') == 3
        assert "network/delays-by-airport" in shown
        program = f"registry_url = {registry_url!r}\n{PYTHON}"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"[0-9a-f]{32}-\d+ 2001-01-0\d .* -?\d+\n", done.stdout), done.stdout


def test_the_readme_is_short_and_its_make_targets_exist() -> None:
    """The README stays under 150 lines, and every `make` target that it names is in the Makefile."""
    assert len(TEXT.splitlines()) < 150
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", TEXT)) - {"it"}
    assert {"demo", "test"} <= {line.split()[1] for line in MAKE.splitlines()}
    assert {name for name in named if name not in {"a", "what", "alone"}} <= targets


def test_every_link_leads_somewhere() -> None:
    """Each relative link of the README and of ARCHITECTURE.md names a file of the project."""
    for page in ("README.md", "ARCHITECTURE.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page}: {target}"
