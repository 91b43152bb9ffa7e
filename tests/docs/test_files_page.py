"""docs/files.md: its commands work as they are written."""

from __future__ import annotations

import json
import re
from pathlib import Path

from meshport.address import Address
from meshport.cli.record_files import reading_of
from meshport.files.inference import infer_schema
from meshport.files.ingest import Format, Row
from meshport.project.scaffold import init_project
from tests.docs.shell import shell
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")


def test_the_page_makes_a_contract_of_a_nested_array(tmp_path: Path) -> None:
    """The block writes a product whose contract has nested records, a nullable number, a key and a time."""
    init_project(tmp_path)
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    shell(block, tmp_path)
    form = json.loads((tmp_path / "schemas/football/games.events.avsc").read_text(encoding="utf-8"))
    fields = {each["name"]: each["type"] for each in form["fields"]}
    assert list(fields) == ["id", "kick_off", "home", "shots"]
    assert fields["home"]["fields"][1] == {"name": "goals", "type": ["null", "long"], "default": None}
    assert [each["name"] for each in fields["shots"]["items"]["fields"]] == ["minute", "on_target"]


def test_the_page_names_the_suffixes_that_are_read() -> None:
    """Each suffix of the page's rule of formats tells that format."""
    (rule,) = re.findall(r"\| format \| (.*) \|", PAGE)
    json_part, _, csv_part = rule.partition(" are JSON, ")
    for part, form in ((json_part, Format.JSONL), (csv_part.partition(" are CSV")[0], Format.CSV)):
        suffixes = re.findall(r"`(\.\w+)`", part)
        assert suffixes
        for suffix in suffixes:
            for name in (f"x{suffix}", f"x{suffix}.gz"):
                assert reading_of(name, "--from", None, None, None, None, None).form is form


def test_the_page_shows_the_note_that_is_written() -> None:
    """The note on a column of numbers with one NA is that of `new`, word by word."""
    (note,) = re.findall(r"\n    (delay is text.*)\n", PAGE)
    rows = [Row(line, {"delay": "NA" if 17 <= line < 27 else str(line)}) for line in range(2, 1002)]
    assert infer_schema(Address("a", "b"), rows, Format.CSV).notes == (note,)
