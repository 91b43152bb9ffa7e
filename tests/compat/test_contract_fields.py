"""A contract as a table of fields, and the differences of two versions in words."""

from __future__ import annotations

import pytest

from meshport.compat.contract_fields import contract_fields
from meshport.compat.schema_changes import schema_changes
from tests.compat import schemas
from tests.compat.schemas import Type, field, record, schema

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("string", "text"),
        (["null", "long"], "whole number (64 bits) or null"),
        ({"type": "array", "items": ["null", "string"]}, "list of (text or null)"),
        ({"type": "map", "values": "boolean"}, "map from text to true or false"),
        (DECIMAL, "decimal number of up to 9 digits, 2 of them after the point"),
        (MILLIS, "instant, in milliseconds"),
        ({"type": "enum", "name": "shop.Size", "symbols": ["S", "M"]}, "one of S, M"),
        ({"type": "enum", "name": "E", "symbols": [f"S{i}" for i in range(14)]}, "S10, S11 and 2 more"),
        ({"type": "fixed", "name": "shop.Hash", "size": 16}, "16 bytes"),
        (record(field("cents", "long"), name="shop.Price"), "record Price"),
    ],
)
def test_a_type_is_shown_in_words(form: Type, words: str) -> None:
    """A type of Avro reads as a phrase that needs no knowledge of Avro."""
    (first, *_) = contract_fields(schema(record(field("value", form))))
    assert first.type.endswith(words)


def test_fields_within_records_follow_their_record() -> None:
    """A record in a list, union or map is followed by its fields; polyseme and classification of the value are named."""
    price = record(field("cents", "long", classification="restricted"), name="shop.Price")
    form = record(
        field("id", {"type": "string", "polyseme": "order_id"}, doc="Of the order."),
        field("prices", {"type": "array", "items": price}, default=[]),
        field("total", ["null", "shop.Price"], default=None),
    )
    table = contract_fields(schema(form))
    assert [each.path for each in table] == ["id", "prices", "prices.cents", "total"]
    assert (table[0].polyseme, table[0].doc) == ("order_id", "Of the order.")
    assert table[2].classification == "restricted"
    assert (table[3].optional, table[3].default, table[1].default) == (True, "null", "[]")


def test_shared_types_do_not_explode() -> None:
    """A schema with two to the power of forty paths has a table no longer than its text, because a record is spelled out once."""
    assert len(contract_fields(schema(schemas.doubling(40, "long")))) < 200


def test_a_schema_without_fields_has_one_row() -> None:
    """A contract that is a primitive type is one row without a path."""
    (only,) = contract_fields(schema("string"))
    assert (only.path, only.type) == ("", "text")


def test_changes_are_told_in_words() -> None:
    """Each difference of two versions is one sentence, in the order of the newer version, removed fields last."""
    size = {"type": "enum", "name": "shop.Size", "symbols": ["S", "M"]}
    larger = {"type": "enum", "name": "shop.Size", "symbols": ["M", "S", "L"]}
    old = record(
        field("id", "string"),
        field("cents", "int", doc="What it costs."),
        field("note", "string"),
        field("size", size),
        field("gate", "string"),
        field("buyer", record(field("name", "string"), field("mail", "string"), name="shop.Buyer")),
    )
    new = record(
        field("id", {"type": "string", "polyseme": "order_id"}),
        field("cents", "long", doc="The price."),
        field("remark", ["null", "string"], aliases=["note"], default=None),
        field("size", larger),
        field("customer", record(field("name", "string"), name="shop.Buyer"), aliases=["buyer"]),
        field("extra", record(field("a", "long"), name="shop.Extra"), default={"a": 1}),
    )
    assert [each.text for each in schema_changes(schema(old), schema(new))] == [
        "id has the polyseme order_id",
        "cents was whole number (32 bits), and is whole number (64 bits)",
        "cents is described otherwise",
        "remark was named note",
        "remark may be null",
        "remark has the default null",
        "size may now be L",
        "customer was named buyer",
        'extra is new: record Extra, with the default {"a": 1}',
        "gate is removed; it was text",
        "buyer.mail is removed; it was text",
    ]


def test_an_order_of_fields_is_a_change_of_its_own() -> None:
    """Fields that only changed places give one difference, and a schema none to itself."""
    one, other = schema(record(*schemas.strings("a", "b"))), schema(record(*schemas.strings("b", "a")))
    assert [each.text for each in schema_changes(one, other)] == ["the fields have another order"]
    assert schema_changes(one, one) == ()
