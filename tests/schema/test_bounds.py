"""Schemas that are refused because a few bytes could grow without bound, and honest ones that are not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from meshport.errors import SchemaError
from meshport.schema import parse_schema
from meshport.schema.bounds import Shapes
from tests.repeats import repeated, repeats
from tests.schema.bombs import laughs, refused
from tests.waiting import PATIENCE_S
from tests.work import counted

BOMBS = repeats(200, 10_000)


@repeated
def test_bombs_are_answered_in_bounds() -> None:
    """Generated bombs are refused by 200,000 lines each at most, in a process that may take 64 MB more."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.schema.bombs", str(BOMBS)],
        capture_output=True,
        text=True,
        timeout=repeats(1, 10) * PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert found["bombs"] == BOMBS
    assert found["accepted"] == []


@pytest.mark.parametrize("levels", [22, 26, 63])
def test_billion_laughs_are_refused(levels: int) -> None:
    """Nested records of two fields that end in an empty record are refused, and said to be a bomb."""
    with pytest.raises(SchemaError, match="more than 1 GB in memory"):
        parse_schema(json.dumps(laughs(levels)))


def test_a_value_too_large_for_a_message_is_refused() -> None:
    """The same records ending in a number need bytes, but more than any message has."""
    with pytest.raises(SchemaError, match="takes more than 1 GB at least"):
        parse_schema(json.dumps(laughs(40, leaf=[{"name": "n", "type": "int"}])))


@pytest.mark.parametrize("behind", [["null", "A"], {"type": "array", "items": "A"}, {"type": "map", "values": "A"}])
def test_recursion_that_can_end_is_accepted(behind: Any) -> None:
    """A record may contain itself within a union, an array or a map."""
    form = {"type": "record", "name": "A", "fields": [{"name": "x", "type": "int"}, {"name": "a", "type": behind}]}
    assert parse_schema(json.dumps(form)).name == "A"


def test_recursion_that_cannot_end_is_refused() -> None:
    """A record that contains itself directly, or through another record, has no values."""
    inner = {"type": "record", "name": "B", "fields": [{"name": "a", "type": "A"}]}
    for kind in ("A", inner):
        with pytest.raises(SchemaError, match="'A' contains itself"):
            parse_schema(json.dumps({"type": "record", "name": "A", "fields": [{"name": "a", "type": kind}]}))


def test_shapes_are_measured_once_for_each_named_type() -> None:
    """A schema of sixty doublings has the width 2**60, and measuring it takes 20,000 lines at most."""
    form = laughs(60, leaf=[{"name": "n", "type": "int"}])
    with counted(20_000):
        assert Shapes(form).of(form).width == 2**60


@pytest.mark.parametrize(
    ("form", "width"),
    [
        ("null", 0),
        ("string", 1),
        ("double", 8),
        ({"type": "fixed", "name": "F", "size": 16}, 16),
        (["null", "double"], 1),
        ({"type": "array", "items": "double"}, 1),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "float"}, {"name": "b", "type": "int"}]}, 5),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}]}, 0),
    ],
)
def test_widths_are_the_least_that_a_value_takes(form: Any, width: int) -> None:
    """The decoder compares counts with these widths: none may be more than the smallest value of the type takes."""
    assert Shapes(form).of(form).width == width


def test_honest_schemas_pass() -> None:
    """A wide record of nullable fields, records in records in arrays, a map of arrays: all are accepted."""
    point = {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}
    wrapped = {"type": "record", "name": "W", "fields": [{"name": "p", "type": point}]}
    wide = [{"name": f"f{index}", "type": ["null", "string"], "default": None} for index in range(500)]
    for form in (
        {"type": "array", "items": wrapped},
        {"type": "record", "name": "Wide", "fields": wide},
        {"type": "map", "values": {"type": "array", "items": "long"}},
        ["null", {"type": "record", "name": "Empty", "fields": []}],
    ):
        assert not refused(form)
