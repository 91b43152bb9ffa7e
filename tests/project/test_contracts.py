"""`meshport check` tells an author what the gate would refuse of a contract by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshport.errors import SchemaError
from meshport.project.contracts import check_contracts
from meshport.project.project import Project
from tests.project.test_check import project

TODAY = datetime(2026, 11, 28, tzinfo=UTC).date()


def source(root: Path, form: Any, default: Any) -> Project:
    """Return a project whose source-aligned product has a field of the type, with the default as JSON text."""
    project(root, None)
    fields = [{"name": "player", "type": "string"}, {"name": "at", "type": "string"}, {"name": "x", "type": form}]
    schema = {"type": "record", "name": "E", "fields": fields}
    text = json.dumps(schema)
    if default is not None:
        text = text.removesuffix("}]}") + f', "default": {default}' + "}]}"
    (root / "schemas/football/events.events.avsc").write_text(text, encoding="utf-8")
    return Project(root)


@pytest.mark.parametrize(
    ("form", "default"),
    [
        ("float", "1e39"),
        (["null", "float"], "1e39"),
        ("int", "2147483648"),
        ({"type": "array", "items": "long"}, "[9223372036854775808]"),
        ({"type": "enum", "name": "Kind", "symbols": ["A"]}, '"B"'),
        ({"type": "fixed", "name": "Two", "size": 2}, '"a"'),
        ("bytes", '"\\u0100"'),
        ({"type": "string", "logicalType": "uuid"}, '"no uuid"'),
    ],
    ids=str,
)
def test_a_default_that_is_no_value_is_refused(tmp_path: Path, form: Any, default: str) -> None:
    """The error names the port, the rule and the field, and what to do."""
    product = source(tmp_path, form, default).products[0]
    with pytest.raises(SchemaError) as caught:
        check_contracts(product, today=TODAY)
    assert caught.value.rule == "DEFAULT_MISFIT"
    assert caught.value.message.startswith("football/events/events@1: DEFAULT_MISFIT at x: the default of 'x' is ")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("give 'x' a default of its type, such as ")


@pytest.mark.parametrize("default", ["NaN", "-Infinity", "1e400", "1" + "0" * 400])
def test_a_number_that_no_double_holds_is_refused_by_the_parser(tmp_path: Path, default: str) -> None:
    """What JSON does not have, and what it has and no type holds, never becomes a schema."""
    with pytest.raises(SchemaError):
        _ = source(tmp_path, "double", default).products


@pytest.mark.parametrize(
    "form",
    [
        {"type": "double", "unit": "K"},
        {"type": "float", "connect.default": 0},
        [{"type": "double", "unit": "K"}, "null"],
        {"type": "int", "unit": "s"},
    ],
    ids=str,
)
def test_a_whole_number_is_a_default_of_a_double_with_attributes(tmp_path: Path, form: Any) -> None:
    """Attributes do not change a type: `"default": 0`, which the gate advises, is as good as of a bare double."""
    assert check_contracts(source(tmp_path, form, "0").products[0], today=TODAY) == ()


def test_a_whole_number_is_a_default_of_a_polyseme(tmp_path: Path) -> None:
    """The link to a global identifier is an attribute too."""
    (tmp_path / "schemas/common").mkdir(parents=True)
    (tmp_path / "schemas/common/amount.avsc").write_text('{"polyseme": "amount", "type": "double"}', encoding="utf-8")
    found = source(tmp_path, {"type": "double", "polyseme": "amount"}, "0")
    assert check_contracts(found.products[0], today=TODAY) == ()


def test_an_ignored_logical_type_is_reported(tmp_path: Path) -> None:
    """A contract that a registered product may have is reported with the advice, not refused."""
    amount = {"type": "bytes", "logicalType": "decimal", "precision": "10", "scale": "2"}
    (found,) = check_contracts(source(tmp_path, amount, None).products[0], today=TODAY)
    assert str(found).startswith(
        "LOGICAL_TYPE_IGNORED at x: the logical type \"decimal\" of 'x' has the precision '10'"
    )
    assert found.advice
