"""JSON Schemas of standards: files of `tests/export/schemas`, unchanged as its README says, and what a document breaks of one."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]  # no stubs

_FOLDER: Final = Path(__file__).parent / "schemas"


def standard(name: str) -> Any:
    """Return a schema by the name of its file; its bytes are those that the table of README.md names."""
    content = (_FOLDER / name).read_bytes()
    table = (_FOLDER / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{re.escape(name)}` .*`([0-9a-f]{{64}})` \|$", table, re.MULTILINE)
    assert row is not None
    assert hashlib.sha256(content).hexdigest() == row[1]
    return json.loads(content)


def broken(schema: Any, document: Any) -> list[str]:
    """Return what a document breaks of a schema, its formats included."""
    validator = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
    return [f"{each.json_path}: {each.message}" for each in validator.iter_errors(document)]
