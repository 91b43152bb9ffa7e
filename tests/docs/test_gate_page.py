"""The gate's page, executed: every command that it shows, in order, prints what the page shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshport.local.cluster import Cluster
from meshport_registry import Settings, running
from tests.docs.shell import shell
from tests.repository import commit_reference_mesh

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "meshport/gate/README.md"
PLAY = {
    "play_id": "p-1",
    "user_id": "u-1",
    "artist_id": "a-1",
    "track_id": "t-1",
    "started_at": "2026-03-01T12:00:00Z",
    "track_ms": 200_000,
    "played_ms": 180_000,
    "ended": "COMPLETED",
    "device": "PHONE",
    "country": "DE",
    "offline": False,
    "playlist_id": None,
}


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Each command of the page's console blocks with the output that is shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for command, _, shown in (part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
            yield command, shown


def settled(text: str) -> str:
    """A text without what differs from run to run: commits, days, ports of this machine."""
    text = re.sub(r"\([0-9a-f]{7,}\)", "(3f2c1ab)", text)
    text = re.sub(r"20\d\d-\d\d-\d\d", "2026-11-21", text)
    return re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8081", text)


def told(kafka: Cluster, folder: Path) -> list[tuple[str, str, str]]:
    """Run the page in a clone of the reference mesh: each command, what the page shows, what it printed."""
    clone = folder / "clone"
    commit_reference_mesh(clone)
    (folder / "plays.jsonl").write_text(json.dumps(PLAY) + "\n")
    day = (datetime.now(UTC) + timedelta(days=30)).date()
    ran = []
    settings = Settings(
        database=f"sqlite:///{folder / 'registry.db'}", port=0, bootstrap_servers=kafka.bootstrap_servers
    )
    with running(settings) as url:
        mesh = {"MESHPORT_REGISTRY": url, "MESHPORT_KAFKA": kafka.bootstrap_servers}
        shell("meshport apply && meshport publish player/plays --from ../plays.jsonl", clone, **mesh)
        for command, shown in steps(PAGE.read_text()):
            given = {} if "--against HEAD" in command else mesh  # offline is offline
            out = shell(f"{command.replace('DAY', str(day))} || test $? = 1", clone, **given)
            ran.append((command, shown, out))
    return ran


@pytest.mark.kafka
def test_the_page_shows_what_is_printed(kafka: Cluster, tmp_path: Path) -> None:
    """The page's commands print what it shows, except for days and ports."""
    ran = told(kafka, tmp_path)
    assert len(ran) >= 10
    for command, shown, out in ran:
        assert settled(shown) == settled(out), command
