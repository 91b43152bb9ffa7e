"""The page about policies: its tables are those of the code, and its blocks are run in the reference mesh."""

from __future__ import annotations

import re
from pathlib import Path

from meshport.policy import Action, PolicySet
from tests.docs.shell import shell
from tests.docs.tables import tables
from tests.repository import commit_reference_mesh

PAGE = Path(__file__).parents[2] / "docs/policies.md"


def test_the_tables_are_those_of_the_code() -> None:
    """Every action and every built-in policy stands on the page, a policy with the reason that it has."""
    page = PAGE.read_text(encoding="utf-8")
    found = [row for rows in tables(page) for row in rows]
    actions = {name for row in found if "action" in row for name in re.findall(r"\w+", row["action"])}
    assert actions == {str(each) for each in Action}
    listed = {row["policy"]: row["why it is there"] for row in found if "policy" in row}
    assert listed == {each.id.removeprefix("meshport/"): each.why for each in PolicySet().policies.values()}


def test_the_blocks_do_what_the_page_says(tmp_path: Path) -> None:
    """The policies and their tests of the page are written, the tests pass, and explanations are as they are shown."""
    commit_reference_mesh(tmp_path / "mesh")
    blocks = re.findall(r"^```(sh|console)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    asked = 0
    for kind, block in blocks:
        if kind == "sh":
            shell(block, tmp_path / "mesh")
            continue
        for command, _, shown in (each.partition("\n") for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
            out = shell(f"{command} || test $? = 1", tmp_path / "mesh")
            assert re.sub(r"\b[0-9a-f]{12}\b", "0123456789ab", out) == shown
            asked += 1
    assert asked == 2
    checked = shell("meshport check 2>&1", tmp_path / "mesh")
    assert "3 files of policies well-formed" in checked
