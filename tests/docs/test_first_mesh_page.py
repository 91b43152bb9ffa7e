"""docs/first-mesh.md, executed: its commands in order, from an empty folder, each with the output that the page shows."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.shell import shell
from tests.running import up

TEXT = (Path(__file__).parents[2] / "docs" / "first-mesh.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|sh up|text)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(UP,) = (index for index, (kind, _) in enumerate(BLOCKS) if kind == "sh up")


def run(blocks: list[tuple[str, str]], folder: Path) -> None:
    """Run each block of commands; its output has the lines of the text that follows it, in their order."""
    shown = ""
    for kind, text in blocks:
        if kind == "sh":
            shown = shell(f"exec 2>&1\n{text}", folder)
            continue
        at = 0
        for line in text.splitlines():
            found = shown.find(line, at)
            assert found >= 0, f"{line!r} is not in the rest of\n{shown}"
            at = found + len(line)


@pytest.mark.usefixtures("kafka_cache")
@pytest.mark.kafka
def test_a_first_day_goes_as_the_page_says(tmp_path: Path) -> None:
    """A reader who types the blocks of the page sees what it shows."""
    folder = tmp_path / "city"
    folder.mkdir()
    run(BLOCKS[:UP], folder)
    assert BLOCKS[UP][1].split()[:2] == ["meshport", "up"]
    with up(folder):
        run(BLOCKS[UP + 1 :], folder)


def test_every_block_of_commands_shows_its_output() -> None:
    """After commands that print something there is their output; the files alone are made in silence."""
    silent = [text for (kind, text), (after, _) in pairwise(BLOCKS) if kind == "sh" and after != "text"]
    assert [text.split()[0] for text in silent] == ["cat"]
