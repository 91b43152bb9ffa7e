"""Migrations between two lines: refused unless every event that the earlier contract can hold becomes one of the later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.codec import codec_for
from meshport.compat import Contract, Finding, Outcome, judge_new
from meshport.compat.samples import samples
from meshport.errors import ProcessError
from meshport.expression.migrated import RecordMigration
from meshport.product import Product
from meshport.schema import Schema, parse_schema
from tests.compat.contracts import TODAY

OLD = {"sensor": "string", "seconds": "int", "note": ["null", "string"], "kind": {"enum": ["AIR", "WATER"]}}


def schema(fields: Mapping[str, Any], defaults: Mapping[str, Any] = {}) -> Schema:
    """A record of these fields; `{"enum": [...]}` is an enum."""
    made = []
    for name, kind in fields.items():
        form = (
            {"type": "enum", "name": "Kind", "symbols": kind["enum"]}
            if isinstance(kind, dict) and "enum" in kind
            else kind
        )
        made.append({"name": name, "type": form} | ({"default": defaults[name]} if name in defaults else {}))
    return parse_schema(json.dumps({"type": "record", "name": "Reading", "fields": made}))


def found(
    migration: Mapping[str, str], new: Schema, *, old: Schema | None = None, key: Any = "sensor"
) -> list[Finding]:
    """What the gate finds of a line with this migration."""
    port = {"name": "events", "key": "sensor", "partitions": 1}
    product = Product.model_validate(
        {
            "address": "mesh://tests/readings",
            "id": "5a1e0c3e-2f0c-4d0e-9d57-6f1f7d9b4a10",
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [
                port,
                port
                | {"major": 2, "key": key, "migration": {"until": "2026-01-01T00:00:00Z", "fields": dict(migration)}},
            ],
        }
    )
    first, second = product.output_ports
    verdict = judge_new(Contract(product, second, new, Contract(product, first, old or schema(OLD))), today=TODAY)
    assert (verdict.outcome is Outcome.BREAKING) == any(each.rule == "MIGRATION" for each in verdict.findings)
    return [each for each in verdict.findings if each.rule == "MIGRATION"]


@pytest.mark.parametrize(
    ("fields", "migration", "path", "words"),
    [
        ({"sensor": "string", "ms": "long"}, {}, "ms", "ms"),
        ({"sensor": "string", "ms": "int"}, {"ms": "seconds * 1000"}, "ms", "ms is 2147483647000"),
        ({"sensor": "string", "note": "string"}, {}, "note", "note is None"),
        ({"sensor": "string", "kind": {"enum": ["AIR"]}}, {}, "kind", "WATER"),
        ({"sensor": "string", "rate": "double"}, {"rate": "60 / seconds"}, "rate", "division by zero"),
        ({"sensor": "string", "first": "string"}, {"first": "1 + note"}, "first", "first is None"),
        ({"sensor": "string", "ms": "long"}, {"ms": "secnds * 1000"}, "ms", "'secnds'"),
        ({"sensor": "string", "ms": "long"}, {"ms": "seconds *"}, "ms", "no expression"),
        ({"sensor": "string"}, {"sensor": "upper(sensor)"}, "sensor", "its record key has sensor = "),
    ],
    ids=["required field", "too large", "null", "symbol", "zero", "types", "misspelt", "syntax", "key"],
)  # fmt: skip
def test_a_wrong_migration_is_refused(
    fields: Mapping[str, Any], migration: Mapping[str, str], path: str, words: str
) -> None:
    """The finding names the field, and quotes a value that the earlier contract can hold."""
    finding = next(each for each in found(migration, schema(fields)) if each.path == f"migration.fields.{path}")
    assert words in finding.message
    assert finding.advice


def test_another_number_of_key_fields_is_refused() -> None:
    """Events of one thing would have two keys."""
    (finding,) = found({}, schema({"sensor": "string", "kind": OLD["kind"]}), key=["sensor", "kind"])
    assert "its record key has 1 fields, and that of tests/readings/events@2 has 2" in finding.message


def test_a_right_migration_passes() -> None:
    """Renamed, computed, made not null, dropped and new fields."""
    new = {"id": "string", "ms": "long", "note": "string", "kind": "string", "unit": "string"}
    migration = {"id": "sensor", "ms": "seconds * 1000", "note": "coalesce(note, '')"}
    assert found(migration, schema(new, {"unit": "s"}), key="id") == []


def test_a_symbol_that_comes_later() -> None:
    """A migration that fitted is refused once the earlier contract can hold more than it takes."""
    new = schema(OLD)
    assert found({}, new) == []
    grown = schema(OLD | {"kind": {"enum": ["AIR", "WATER", "SOIL"]}})
    (finding,) = found({}, new, old=grown)
    assert "SOIL" in finding.message


def test_what_passes_migrates_every_sample() -> None:
    """Where the gate finds nothing, each event of the earlier contract becomes one of the later."""
    old, new = schema(OLD), schema({"sensor": "string", "ms": "long", "note": "string", "kind": OLD["kind"]})
    fields = {"ms": "seconds * 1000", "note": "coalesce(note, 'none')"}
    assert found(fields, new) == []
    migrate = RecordMigration(fields, old, new)
    for body in samples(old):
        before = codec_for(old).decode(body)
        after = codec_for(new).decode(codec_for(new).encode(migrate(before)))
        expected = {
            **before,
            "ms": before["seconds"] * 1000,
            "note": "none" if before["note"] is None else before["note"],
        }
        assert after == {name: expected[name] for name in new.field_names}


@given(st.integers(-(2**31), 2**31 - 1), st.none() | st.text(), st.sampled_from(["AIR", "WATER"]))
def test_a_record_is_computed_field_by_field(seconds: int, note: str | None, kind: str) -> None:
    """A field with an expression has its value, another one that of its name; no other field is in the record."""
    new = schema({"sensor": "string", "late": "boolean", "kind": OLD["kind"], "fresh": "int"}, {"fresh": 0})
    migrate = RecordMigration({"late": "seconds > 5 and note is None"}, schema(OLD), new)
    record = {"sensor": "s", "seconds": seconds, "note": note, "kind": kind}
    assert migrate(record) == {"sensor": "s", "kind": kind, "late": seconds > 5 and note is None}


def test_an_error_names_field_and_expression() -> None:
    """A record for which an expression fails is reported with the field, the expression and the reason."""
    migrate = RecordMigration({"rate": "60 / seconds"}, schema(OLD), schema({"rate": "double"}))
    with pytest.raises(ProcessError, match="rate = 60 / seconds: division by zero"):
        migrate({"seconds": 0})
