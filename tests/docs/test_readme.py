"""The README, executed: its shell blocks in order, then its Python block against the mesh that they made."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from meshport.local.cluster import Cluster
from meshport_registry import Settings, running
from tests.docs.shell import shell
from tests.repository import commit_reference_mesh
from tests.running import up
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python|text)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
MAKE, MINE, UP, ASK, BREAK, MEND = (text for language, text in BLOCKS if language == "sh")
(PYTHON,) = (text for language, text in BLOCKS if language == "python")
(VERDICT,) = (text for language, text in BLOCKS if language == "text")


@pytest.mark.usefixtures("kafka_cache")
@pytest.mark.kafka
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    """A reader who types the README's blocks gets a mesh whose aggregate, replay and Python program work."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shell(MINE, folder)
    assert UP.split()[:2] == ["meshport", "up"]
    with up(folder) as running_mesh:
        registry_url = running_mesh.facts["registry_url"]
        shown = shell(ASK, folder)
        assert re.search(r"mean_delay\W+3\.0\W+max_delay\W+11\b", shown)
        assert shown.count('"replayid"') == 3
        assert "network/delays-by-airport" in shown
        program = f"registry_url = {registry_url!r}\n{PYTHON}"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"[0-9a-f]{32}-\d+ 2001-01-0\d .* -?\d+\n", done.stdout), done.stdout


def test_the_gates_story_is_true(kafka: Cluster, tmp_path: Path) -> None:
    """A field is removed: the verdict that the README shows, the default that passes, the waiver, the new major."""
    clone = tmp_path / "clone"
    commit_reference_mesh(clone)
    database = f"sqlite:///{tmp_path / 'registry.db'}"
    with running(Settings(database=database, port=0, bootstrap_servers=kafka.bootstrap_servers)) as url:
        mesh = {"MESHPORT_REGISTRY": url, "MESHPORT_KAFKA": kafka.bootstrap_servers}
        shell("meshport apply", clone, **mesh)  # as `meshport up` does
        assert VERDICT in shell(BREAK, clone)
        before, _, waived = shell(MEND, clone, **mesh).partition("waiver 1: ")
    passed, _, refused = before.partition("player/plays/events@1 breaks its readers")
    assert "7 contracts pass" in passed
    assert "held to FULL_TRANSITIVE against versions 2, 1" in refused
    assert "READER_FIELD_MISSING_DEFAULT_VALUE at played_ms" in refused
    assert "7 contracts pass" in waived
    assert "by Ada (waiver 1)" in waived
    assert (clone / "schemas/player/plays.events.v2.avsc").exists()


def test_the_readme_is_short_and_its_make_targets_exist() -> None:
    """The README stays under 150 lines, and every `make` target that it names is in the Makefile."""
    assert len(TEXT.splitlines()) < 150
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", TEXT)) - {"it"}
    assert {"demo", "test"} <= {line.split()[1] for line in MAKE.splitlines()}
    assert {name for name in named if name not in {"a", "what", "alone"}} <= targets


def test_every_link_leads_somewhere() -> None:
    """Each relative link of a page of the project names a file of the project."""
    for page in (
        "README.md",
        "ARCHITECTURE.md",
        "meshport/gate/README.md",
        "registry/README.md",
        *(f"docs/{each.name}" for each in sorted((ROOT / "docs").glob("*.md"))),
    ):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
