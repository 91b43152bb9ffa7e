"""Schemas to compare, as JSON data: records by their fields, and a few types that meet in very many pairs or paths."""

from __future__ import annotations

import json
from typing import Any

from meshport.schema import Schema, parse_schema

Type = Any


def schema(form: Type) -> Schema:
    """Return the schema of JSON data."""
    return parse_schema(json.dumps(form))


def record(*fields: dict[str, Any], name: str = "shop.Order", **attributes: Any) -> dict[str, Any]:
    """Return a record of these fields."""
    return {"type": "record", "name": name, "fields": list(fields), **attributes}


def field(name: str, kind: Type, **attributes: Any) -> dict[str, Any]:
    """Return a field of a record."""
    return {"name": name, "type": kind, **attributes}


def numbered(*kinds: Type, name: str = "shop.Order", **attributes: Any) -> dict[str, Any]:
    """Return a record whose fields are named f0, f1 ..."""
    return record(*(field(f"f{index}", kind) for index, kind in enumerate(kinds)), name=name, **attributes)


def strings(*names: str) -> list[dict[str, Any]]:
    """Return fields of strings; `name?` has a default."""
    return [field(each.rstrip("?"), "string", **({"default": ""} if each.endswith("?") else {})) for each in names]


def circle(length: int) -> Type:
    """Return a cycle of records of one unqualified name, which match all records of another such cycle."""
    form: Type = "n0.T"
    for index in reversed(range(length)):
        form = numbered(["null", form], name=f"n{index}.T")
    return form


def layers(*, width: int, fan: int, leaf: Type, count: int) -> Type:
    """Return layers of records of one unqualified name, each of which refers to `fan` records of the layer below."""
    types = [numbered(leaf, name=f"l0t{index}.T") for index in range(width)]
    for layer in range(1, count):
        for index in range(width):
            below = [["null", f"l{layer - 1}t{(index * fan + each) % width}.T"] for each in range(fan)]
            types.append(numbered(*below, name=f"l{layer}t{index}.T"))
    return numbered(*(["null", each] for each in types), name="Top")


def doubling(levels: int, leaf: Type) -> Type:
    """Return records that each use the previous one twice: 2^levels paths lead to the leaf, t0.a."""
    fields = [field("t0", ["null", record(field("a", leaf), name="shop.T0")])]
    for level in range(levels):
        uses = [field(name, ["null", f"shop.T{level}"]) for name in "lr"]
        fields.append(field(f"t{level + 1}", ["null", record(*uses, name=f"shop.T{level + 1}")]))
    return record(*fields)
