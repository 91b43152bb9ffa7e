"""Readers' schemas that a writer's may have become, with edits that columns resolve, refuse by row, or leave to the codec."""

from __future__ import annotations

import copy
import json
import random
from typing import Any, Final

from meshport.codec.logical import kind_of
from meshport.errors import SchemaError
from meshport.schema import Schema, parse_schema

_LOGICAL: Final = {
    name: {"type": name.partition("-")[0], "logicalType": name.partition("-")[2]}
    for name in (
        "long-timestamp-millis",
        "long-timestamp-micros",
        "long-local-timestamp-millis",
        "long-local-timestamp-micros",
        "long-time-micros",
        "int-time-millis",
        "int-date",
        "string-uuid",
    )
}
# What each kind may be read as, sensible or not.
_READ_AS: Final[dict[str, list[Any]]] = {
    "int": [
        "long",
        "float",
        "double",
        "string",
        *map(_LOGICAL.get, ("int-date", "int-time-millis", "long-timestamp-millis")),
    ],
    "long": ["float", "double", "int", *map(_LOGICAL.get, ("long-timestamp-millis", "long-time-micros"))],
    "float": ["double"],
    "string": ["bytes", _LOGICAL["string-uuid"]],
    "bytes": ["string", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}],
    "string-uuid": ["string", "bytes"],
    "int-date": ["int", "long", "double", _LOGICAL["int-time-millis"]],
    "int-time-millis": ["int", "long", _LOGICAL["long-time-micros"]],
    "long-time-micros": ["long", _LOGICAL["int-time-millis"]],
    "long-timestamp-millis": ["long", "double", _LOGICAL["long-timestamp-micros"]],
    "long-timestamp-micros": ["long", _LOGICAL["long-timestamp-millis"], _LOGICAL["long-local-timestamp-micros"]],
    "long-local-timestamp-millis": ["long", _LOGICAL["long-local-timestamp-micros"]],
    "long-local-timestamp-micros": ["long", _LOGICAL["long-local-timestamp-millis"]],
}
_ADDED: Final[list[dict[str, Any]]] = [
    {"type": "long", "default": 7},
    {"type": "float", "default": 0.5},
    {"type": "float", "default": 0.1},
    {"type": "double", "default": 0.1},
    {"type": "string", "default": "né"},
    {"type": "bytes", "default": "\u00ff"},
    {"type": ["null", "string"], "default": None},
    {"type": ["string", "null"], "default": "x"},
    {"type": _LOGICAL["long-timestamp-micros"], "default": 1_700_000_000_123_456},
    {"type": _LOGICAL["string-uuid"], "default": "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"},
    {"type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "default": "\u0001\u0000"},
    {"type": {"type": "array", "items": "long"}, "default": [1, 2]},
    {"type": {"type": "map", "values": "string"}, "default": {"a": "b"}},
    {"type": {"type": "enum", "name": "ns.Added", "symbols": ["X", "Y"]}, "default": "Y"},
    {
        "type": {"type": "record", "name": "ns.AddedToo", "fields": [{"name": "x", "type": "int", "default": 3}]},
        "default": {},
    },
    {"type": "string"},
]


def evolved(writer: Schema, chance: random.Random, edits: float) -> Schema:
    """A reader's schema; `edits` is the share of places that are edited."""
    while True:
        try:
            return parse_schema(json.dumps(_type(copy.deepcopy(writer.form), chance, edits)))
        except SchemaError:
            continue  # what was dropped is referred to elsewhere


def _type(form: Any, chance: random.Random, edits: float) -> Any:
    if isinstance(form, list):
        held = next(branch for branch in form if branch != "null")
        if chance.random() < edits:
            return _type(held, chance, edits)
        return [each if each == "null" else _type(each, chance, edits) for each in form[:: chance.choice([1, -1])]]
    if chance.random() < edits / 2:
        return ["null", _type(form, chance, 0)]
    kind = kind_of(form)
    match kind:
        case "record":
            return _record(form, chance, edits)
        case "array":
            return {**form, "items": _type(form["items"], chance, edits)}
        case "map":
            return {**form, "values": _type(form["values"], chance, edits)}
    if chance.random() >= edits:
        return form
    match kind:
        case "enum":
            symbols = chance.sample(form["symbols"], chance.randint(1, len(form["symbols"])))
            symbols = [*symbols, *chance.sample("STUV", chance.randint(0, 2))]
            return {**form, "symbols": symbols} | ({"default": symbols[0]} if chance.random() < 0.5 else {})
        case "bytes-decimal" | "fixed-decimal":
            return chance.choice(
                [
                    {**form, "precision": min(form["precision"] + 1, 76)},
                    {key: each for key, each in form.items() if key not in {"logicalType", "precision", "scale"}},
                ]
            )
    return copy.deepcopy(chance.choice(_READ_AS.get(kind, [form])))


def _record(form: Any, chance: random.Random, edits: float) -> Any:
    fields = [{**field, "type": _type(field["type"], chance, edits)} for field in form["fields"]]
    if chance.random() < edits:
        chance.shuffle(fields)
    for field in list(fields):
        if len(fields) > 1 and chance.random() < edits / 2:
            fields.remove(field)
        elif chance.random() < edits / 2:
            field |= {"name": f"{field['name']}_new", "aliases": [field["name"]]}
    while chance.random() < edits * 2:
        added = {"name": f"added{len(fields)}", **copy.deepcopy(chance.choice(_ADDED))}
        fields.insert(chance.randrange(len(fields) + 1), added)
    name = form["name"]
    if chance.random() < edits / 3:
        return {**form, "fields": fields, "name": f"{name}New", "aliases": [name]}
    return {**form, "fields": fields}
