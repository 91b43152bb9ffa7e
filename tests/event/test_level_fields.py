"""Fields of service levels by which nothing could be measured are found in the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshport.event.level_fields import level_misfits
from meshport.product import Product
from meshport.schema import parse_schema

CONTRACT = parse_schema(
    json.dumps(
        {
            "type": "record",
            "name": "shop.Order",
            "fields": [
                {"name": "number", "type": ["null", "long"]},
                {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
                {"name": "country", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "lines", "type": {"type": "array", "items": "string"}},
                {"name": "nothing", "type": "null"},
            ],
        }
    )
)


def found(level: dict[str, Any], ports: tuple[dict[str, Any], ...] = ({"name": "events"},)) -> list[tuple[str, str]]:
    """Return what is wrong with a level of the first port, and what would be right."""
    product = Product.model_validate(
        {
            "address": "mesh://shop/orders",
            "id": "1a5ff1a8-8e1c-4a0a-b2b4-6f2a0a8b1d11",
            "archetype": "source-aligned",
            "description": "d",
            "owner": "o",
            "outputPorts": list(ports),
            "slaProperties": [{"property": "availability", "value": 99, "unit": "percent"}, {"value": 99, **level}],
        }
    )
    misfits = list(level_misfits(product, product.output_ports[0], CONTRACT))
    assert {each.index for each in misfits} <= {1}
    return [(each.message, each.hint) for each in misfits]


@pytest.mark.parametrize(
    "level",
    [
        {"property": "completeness", "element": "number"},
        {"property": "drift", "element": "amount, country,number"},
        {"property": "latency", "element": "at"},
        {"property": "drift"},
        {"property": "completeness", "element": "absent", "port": "other"},
    ],
)
def test_a_field_of_the_contract_fits(level: dict[str, Any]) -> None:
    """A field that holds what the level is measured by fits; a level of another port is not this port's."""
    assert found(level, ({"name": "events"}, {"name": "other"})) == []


@pytest.mark.parametrize(
    ("level", "message", "hint"),
    [
        (
            {"property": "completeness", "element": "nunber"},
            "the element 'nunber' of completeness is not in shop.Order",
            "did you mean 'number'?",
        ),
        (
            {"property": "DRIFT", "element": "country, zzzzzz"},
            "the element 'zzzzzz' of DRIFT is not in shop.Order",
            "its fields: number, amount, country, at, lines, nothing",
        ),
        (
            {"property": "completeness", "element": "country"},
            "the element 'country' of completeness is a string, which holds no numbers of facts",
            "name an int or long that grows by one with each fact",
        ),
        (
            {"property": "drift", "element": "lines"},
            "the element 'lines' of drift is an array, which holds no numbers, words or flags",
            "name a field of numbers, text, an enum or a boolean",
        ),
        (
            {"property": "drift", "element": "nothing"},
            "the element 'nothing' of drift is always null, which holds no numbers, words or flags",
            "name a field of numbers, text, an enum or a boolean",
        ),
        (
            {"property": "latency", "element": ""},
            "the element '' of latency is not in shop.Order",
            "its fields: number, amount, country, at, lines, nothing",
        ),
    ],
)
def test_a_field_that_cannot_be_measured_is_named(level: dict[str, Any], message: str, hint: str) -> None:
    """A field that the contract lacks, or whose type does not fit, is named with what would be right."""
    assert found(level) == [(message, hint)]


def test_the_newest_major_counts() -> None:
    """An older major may lack a field; where a level is for all ports, the hint names the `port`."""
    level = {"property": "completeness", "element": "nunber"}
    assert found(level, ({"name": "events", "major": 1}, {"name": "events", "major": 2})) == []
    ((_, hint),) = found(level, ({"name": "events"}, {"name": "other"}))
    assert hint == "did you mean 'number'? For one port alone, the level names it as its `port`"
