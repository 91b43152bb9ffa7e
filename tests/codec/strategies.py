"""Random Avro schemas, records that fit them, and encodings that are legal though no writer of ours makes them."""

from __future__ import annotations

import io
import json
import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any

import fastavro
from hypothesis import reject
from hypothesis import strategies as st

from meshport.codec.fit import Fitting
from meshport.codec.logical import kind_of
from meshport.codec.varint import long_varint
from meshport.errors import SchemaError
from meshport.schema import Schema, parse_schema
from tests.codec.logical_types import LOGICAL, PRIMITIVES

LEAVES: list[Any] = [*PRIMITIVES, *LOGICAL]
# Types that fastavro cannot confuse for one another by a value's Python type, at most one of each in a union.
_FAMILIES: list[list[str]] = [["null"], ["boolean"], ["int", "long"], ["float", "double"], ["string"], ["bytes"]]
_ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]
# A day away from the ends of what a datetime holds, so that no zone leads out of it.
_FIRST, _LAST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - hypothesis adds the zone


class _Names:
    def __init__(self) -> None:
        self.count = 0
        self.closed: list[str] = []  # types that may be referred to anywhere after
        self.open: list[str] = []  # records that are being defined: only behind a union, array or map

    def new(self) -> str:
        self.count += 1
        return f"ns.T{self.count}"


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A record of up to eight fields, nested, with shared and recursive types."""
    try:
        return parse_schema(json.dumps(_record(draw, _Names(), 0)))
    except SchemaError:
        reject()  # records of nothing but nulls in one another, which are refused as bombs


def _type(draw: st.DrawFn, names: _Names, depth: int, *, held: bool = False) -> Any:
    kinds = ["leaf", "leaf", "leaf", "enum", "fixed", "reference"]
    if depth < 4:
        kinds += ["record", "array", "map", "union", "union"]
    match draw(st.sampled_from(kinds)):
        case "enum":
            symbols = draw(st.lists(st.sampled_from("ABCDEFGH"), min_size=1, unique=True))
            return _closed(names, {"type": "enum", "name": names.new(), "symbols": symbols})
        case "fixed":
            form = {"type": "fixed", "name": names.new(), "size": draw(st.integers(0, 20))}
            if form["size"] == 6 or form["size"] == 17:
                form |= {"logicalType": "decimal", "precision": 12, "scale": 3}
            return _closed(names, form)
        case "reference":
            known = names.closed + (names.open if held else [])
            return draw(st.sampled_from(known)) if known else "string"
        case "record":
            return _record(draw, names, depth + 1)
        case "array":
            return {"type": "array", "items": _type(draw, names, depth + 1, held=True)}
        case "map":
            return {"type": "map", "values": _type(draw, names, depth + 1, held=True)}
        case "union":
            return _union(draw, names, depth + 1)
    return draw(st.sampled_from(LEAVES))


def _closed(names: _Names, form: dict[str, Any]) -> dict[str, Any]:
    names.closed.append(form["name"])
    return form


def _record(draw: st.DrawFn, names: _Names, depth: int) -> Any:
    name = names.new()
    names.open.append(name)
    fields = [
        {"name": f"f{index}", "type": _type(draw, names, depth)}
        for index in range(draw(st.integers(0 if depth else 1, 8 if depth < 2 else 3)))
    ]
    names.open.remove(name)
    return _closed(names, {"type": "record", "name": name, "fields": fields})


def _union(draw: st.DrawFn, names: _Names, depth: int) -> Any:
    families = draw(st.lists(st.sampled_from(range(len(_FAMILIES) + 1)), min_size=1, max_size=4, unique=True))
    branches: list[Any] = []
    for family in families:
        if family < len(_FAMILIES):
            branches.append(draw(st.sampled_from(_FAMILIES[family])))
        elif known := draw(st.sampled_from([[], names.open])):
            branches.append(draw(st.sampled_from(known)))
        else:
            branches.append(_record(draw, names, depth))
    if any(isinstance(branch, str) and branch in names.open for branch in branches) and "null" not in branches:
        branches.append("null")  # so that a value can end
    # fastavro gives a whole number to a float that stands before the long; ours does not.
    return sorted(branches, key=lambda branch: branch in {"float", "double"} if isinstance(branch, str) else False)


def named_in(form: Any) -> dict[str, Any]:
    """Definitions by name."""
    found: dict[str, Any] = {}
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack += each
        elif isinstance(each, dict):
            if "name" in each:
                found[each["name"]] = each
            stack += [each[key] for key in ("items", "values") if key in each]
            stack += [field["type"] for field in each.get("fields", ())]
    return found


@st.composite
def records(draw: st.DrawFn, schema: Schema) -> Any:
    """A record that fits a schema; recursive types end after some levels."""
    return _value(draw, schema.form, named_in(schema.form), 0)


def _value(draw: st.DrawFn, form: Any, named: dict[str, Any], depth: int) -> Any:
    if isinstance(form, str) and form in named:
        form = named[form]
    kind = kind_of(form)
    match kind:
        case "record":
            return {field["name"]: _value(draw, field["type"], named, depth + 1) for field in form["fields"]}
        case "array" | "map":
            size = draw(st.integers(0, 3)) if depth < 8 else 0
            if kind == "array":
                return [_value(draw, form["items"], named, depth + 1) for _ in range(size)]
            return {draw(st.text(max_size=4)): _value(draw, form["values"], named, depth + 1) for _ in range(size)}
        case "union":
            leaves = [branch for branch in form if isinstance(branch, str) and branch not in named]
            return _value(draw, draw(st.sampled_from(leaves if depth > 8 and leaves else form)), named, depth + 1)
        case "enum":
            return draw(st.sampled_from(form["symbols"]))
        case "fixed":
            return draw(st.binary(min_size=form["size"], max_size=form["size"]))
        case "bytes-decimal" | "fixed-decimal":
            scale = form.get("scale", 0)
            unscaled = draw(st.integers(-(10 ** form["precision"]) + 1, 10 ** form["precision"] - 1))
            return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))
    return draw(LEAF_VALUES[kind])


LEAF_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1) | st.integers(-70, 70),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70) | st.integers(-(2**20), 2**20),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=80),
    "string": st.text(max_size=80),
    "string-uuid": st.uuids(),
    "long-timestamp-millis": st.datetimes(_FIRST, _LAST, timezones=st.sampled_from(_ZONES)),
    "long-timestamp-micros": st.datetimes(_FIRST, _LAST, timezones=st.sampled_from(_ZONES)),
    "long-local-timestamp-millis": st.datetimes(),
    "long-local-timestamp-micros": st.datetimes(),
    "int-date": st.dates(date.min, date.max),
    "int-time-millis": st.times(time.min, time.max),
    "long-time-micros": st.times(time.min, time.max),
}


def loose(schema: Schema, value: Any, chance: random.Random) -> bytes:
    """A legal encoding with blocks of any number of items, some with their size before."""
    return _loose(schema.form, value, named_in(schema.form), chance)


def _loose(form: Any, value: Any, named: dict[str, Any], chance: random.Random) -> bytes:
    if isinstance(form, str) and form in named:
        form = named[form]
    kind = kind_of(form)
    match kind:
        case "record":
            return b"".join(_loose(field["type"], value[field["name"]], named, chance) for field in form["fields"])
        case "union":
            index, value = Fitting(named).branch(form, value)
            return long_varint(index) + _loose(form[index], value, named, chance)
        case "array":
            return _blocks([_loose(form["items"], each, named, chance) for each in value], chance)
        case "map":
            return _blocks(
                [_leaf("string", key) + _loose(form["values"], each, named, chance) for key, each in value.items()],
                chance,
            )
    return _leaf(form, value)


def _blocks(items: list[bytes], chance: random.Random) -> bytes:
    out = b""
    while items:
        count = chance.randint(1, len(items))
        body = b"".join(items[:count])
        sized = chance.random() < 0.5
        out += long_varint(-count) + long_varint(len(body)) + body if sized else long_varint(count) + body
        items = items[count:]
    return out + b"\0"


def _leaf(form: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(form), value)
    return out.getvalue()


@cache
def parsed(schema: Schema) -> Any:
    """The schema as fastavro takes it."""
    return fastavro.parse_schema(schema.form)


def fastavro_write(schema: Schema, value: Any) -> bytes:
    """What fastavro writes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), value)
    return out.getvalue()


def fastavro_read(schema: Schema, body: bytes) -> tuple[Any, int]:
    """What fastavro reads, and how many bytes it took."""
    data = io.BytesIO(body)
    return fastavro.schemaless_reader(data, parsed(schema), None), data.tell()
