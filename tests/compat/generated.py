"""Schemas as authors write them, edits that authors make, and values: generated from one seed, many thousand a second."""

from __future__ import annotations

import copy
import random
import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from meshport.codec.logical import kind_of
from meshport.compat.forms import named_types
from meshport.schema import Schema
from tests.codec.logical_types import LOGICAL, PRIMITIVES

Form = Any

_SYMBOLS = list("ABCDEF")
_NAMESPACES = ["shop", "shop", "shop.parts", None]


class Author:
    """Writes schemas, and edits them.

    Args:
        chance: where all choices come from.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._named = 0
        self._known: list[str] = []

    def schema(self) -> Form:
        """A record of one to six fields, nested up to three levels, with shared and recursive types."""
        self._named = 0
        self._known = []
        form: Form = {"type": "record", "name": "Order", "namespace": "shop", "fields": []}
        if self._chance.random() < 0.02:
            form["type"] = "error"
        form["fields"] = [self._field(f"f{index}", 3) for index in range(self._chance.randint(1, 6))]
        if self._chance.random() < 0.1:
            form["fields"].append({"name": "next", "type": ["null", "Order"], "default": None})
        return form

    def edited(self, form: Form) -> Form:
        """The schema after one to three edits somewhere in it; an edit may leave no schema at all."""
        form = copy.deepcopy(form)
        for _ in range(self._chance.choice([1, 1, 1, 2, 3])):
            records = [each for each in _types(form) if isinstance(each, dict) and "fields" in each]
            self._edit(self._chance.choice(records))
        return form

    # --- types

    def _name(self) -> str:
        self._named += 1
        return f"T{self._named}"

    def _type(self, depth: int) -> Form:
        chance = self._chance
        roll = chance.random()
        if roll < 0.45 or not depth:
            return chance.choice(PRIMITIVES)
        if roll < 0.55:
            return dict(chance.choice(LOGICAL))
        match chance.randrange(8):
            case 0:
                return {"type": "array", "items": self._type(depth - 1)}
            case 1:
                return {"type": "map", "values": self._type(depth - 1)}
            case 2 | 3:
                return self._union(depth)
            case 4:
                return self._enum()
            case 5:
                return self._fixed()
            case 6 if self._known:
                return chance.choice(self._known)
        return self._record(depth)

    def _enum(self) -> Form:
        symbols = self._chance.sample(_SYMBOLS, self._chance.randint(1, 4))
        form = {"type": "enum", "name": self._known_as(), "symbols": symbols}
        if self._chance.random() < 0.4:
            form["default"] = symbols[0]
        return form

    def _fixed(self) -> Form:
        form: Form = {"type": "fixed", "name": self._known_as(), "size": self._chance.choice([0, 4, 8])}
        if form["size"] == 8 and self._chance.random() < 0.5:
            form |= {"logicalType": "decimal", "precision": 9, "scale": 2}
        return form

    def _known_as(self) -> str:
        name = self._name()
        self._known.append(name)
        return name

    def _record(self, depth: int) -> Form:
        name = self._name()
        form: Form = {"type": "record", "name": name}
        namespace = self._chance.choice(_NAMESPACES)
        form["fields"] = [self._field(f"g{index}", depth - 1) for index in range(self._chance.randint(0, 3))]
        if namespace == "shop":
            form["namespace"] = namespace
        self._known.append(name)
        return form

    def _union(self, depth: int) -> Form:
        branches: list[Form] = list(self._chance.sample(PRIMITIVES, self._chance.randint(1, 3)))
        if self._chance.random() < 0.4:
            kinds: list[Callable[[], Form]] = [self._enum, self._fixed, lambda: self._record(depth)]
            branches.append(self._chance.choice(kinds)())
        return branches

    def _field(self, name: str, depth: int) -> Form:
        form: Form = {"name": name, "type": self._type(depth)}
        if self._chance.random() < 0.5:
            self._give_default(form)
        if self._chance.random() < 0.05:
            form["aliases"] = [f"{name}_old"]
        return form

    def _give_default(self, field: Form) -> None:
        kind = field["type"]
        kind = kind[0] if isinstance(kind, list) else kind
        kind = kind["type"] if isinstance(kind, dict) else kind
        wrong = self._chance.random() < 0.04
        values: dict[str, Any] = {
            "null": None,
            "boolean": True,
            "int": 1,
            "long": 1,
            "float": 0.5,
            "double": 0.5,
            "bytes": "\u00ff",
            "string": "x",
            "array": [],
            "map": {},
        }
        if wrong:
            field["default"] = self._chance.choice([None, 1, "x", [], {}, 2**40, True])
        elif kind in values:
            field["default"] = values[kind]

    # --- edits

    def _edit(self, record: Form) -> None:
        chance, fields = self._chance, record["fields"]
        field = chance.choice(fields) if fields else None
        edits: list[Callable[[], None]] = [lambda: self._add(record)] * 2
        if field is not None:
            edits += [
                lambda: fields.remove(field),
                lambda: chance.shuffle(fields),
                lambda: self._rename(field),
                lambda: self._give_default(field),
                lambda: field.pop("default", None),
                lambda: field.update(type=self._type(2)),
                lambda: self._promote(field),
                lambda: self._wrap(field),
                lambda: self._edit_named(field),
                lambda: self._edit_named(field),
                lambda: self._edit_named(field),
                lambda: self._edit_logical(field),
                lambda: field.update(doc="another"),
                lambda: field.pop("aliases", None),
                lambda: self._merge(fields),
            ]
        edits.append(lambda: self._rename_type(record))
        chance.choice(edits)()

    def _add(self, record: Form) -> None:
        form = self._field(f"n{self._chance.randrange(1000)}", 2)
        if self._chance.random() < 0.2 and record["fields"]:
            form["aliases"] = [self._chance.choice(record["fields"])["name"]]
        record["fields"].insert(self._chance.randint(0, len(record["fields"])), form)

    def _rename(self, field: Form) -> None:
        if self._chance.random() < 0.7:
            field["aliases"] = [field["name"]]
        field["name"] = f"r{self._chance.randrange(1000)}"

    def _merge(self, fields: list[Form]) -> None:
        """One field takes what two have written, by an alias."""
        if len(fields) > 1:
            one, other = self._chance.sample(fields, 2)
            one["aliases"] = [other["name"]]
            fields.remove(other)

    def _rename_type(self, form: Form) -> None:
        last, name = form["name"].rpartition(".")[2], f"N{self._chance.randrange(1000)}"
        match self._chance.randrange(5):
            case 0:
                form["aliases"] = [last]  # in whatever namespace it stands
                form["name"] = name
            case 1:
                form["aliases"] = [f"shop.{last}"]
                form["name"] = name
            case 2:
                form["name"] = f"elsewhere.{last}"
            case 3:
                form["name"] = name
            case _:
                form["type"] = {"record": "error", "error": "record"}.get(form["type"], form["type"])

    def _promote(self, field: Form) -> None:
        wider = {"int": "long", "long": "double", "float": "double", "string": "bytes", "bytes": "string"}
        if isinstance(field["type"], str):
            field["type"] = wider.get(field["type"], field["type"])

    def _wrap(self, field: Form) -> None:
        kind = field["type"]
        if isinstance(kind, list):
            match self._chance.randrange(4):
                case 0:
                    field["type"] = kind[0]
                case 1:
                    kind.reverse()
                case 2 if len(kind) > 1:
                    kind.pop()
                case _:
                    kind.append(self._chance.choice([each for each in PRIMITIVES if each not in kind]))
        elif kind != "null":
            field["type"] = ["null", kind] if self._chance.random() < 0.7 else [kind, "null"]

    def _edit_named(self, field: Form) -> None:
        inside = [each for each in _types(field["type"]) if isinstance(each, dict) and "name" in each]
        if not inside:
            return
        form = self._chance.choice(inside)
        match form["type"]:
            case "enum":
                self._edit_enum(form)
            case "fixed" if self._chance.random() < 0.5:
                form["size"] = self._chance.choice([0, 4, 8])
            case _:
                self._rename_type(form)

    def _edit_enum(self, form: Form) -> None:
        symbols = form["symbols"]
        match self._chance.randrange(5):
            case 0:
                form["symbols"] = [each for each in symbols if each == form.get("default")] or symbols[:-1] or symbols
            case 1:
                form["default"] = self._chance.choice(symbols)
            case 2:
                form.pop("default", None)
            case 3:
                self._chance.shuffle(symbols)
            case _:
                form["symbols"] = [*symbols, next(each for each in string.ascii_uppercase if each not in symbols)]

    def _edit_logical(self, field: Form) -> None:
        kind = field["type"]
        logical = isinstance(kind, dict) and "logicalType" in kind and "name" not in kind
        alike = [each for each in LOGICAL if each["type"] == (kind["type"] if logical else kind)]
        if logical:
            other = self._chance.choice([self._chance.choice(LOGICAL), self._chance.choice(alike)])
            field["type"] = self._chance.choice([kind["type"], dict(other)])
        elif alike:
            field["type"] = dict(self._chance.choice(alike))


def _types(form: Form) -> list[Form]:
    """A type and all that it defines or names."""
    found, stack = [], [form]
    while stack:
        each = stack.pop()
        found.append(each)
        if isinstance(each, list):
            stack += each
        elif isinstance(each, dict):
            stack += [each[key] for key in ("items", "values") if key in each]
            stack += [field["type"] for field in each.get("fields", ())]
    return found


# --- values


class Values:
    """Random values of one schema, for the encoder; a union's branch is named by a tuple.

    Args:
        schema: of the values.
        chance: where all choices come from.
    """

    def __init__(self, schema: Schema, chance: random.Random) -> None:
        self._form = schema.form
        self._named = named_types(schema.form)
        self._chance = chance

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self._value(self._form, 0)

    def _value(self, form: Form, depth: int) -> Any:
        chance = self._chance
        form = self._named.get(form, form) if isinstance(form, str) else form
        kind = kind_of(form)
        match kind:
            case "record" | "error":
                return {each["name"]: self._value(each["type"], depth + 1) for each in form["fields"]}
            case "array":
                return [self._value(form["items"], depth + 1) for _ in range(self._size(depth))]
            case "map":
                return {f"k{index}": self._value(form["values"], depth + 1) for index in range(self._size(depth))}
            case "union":
                branch = form[0] if depth > 8 else chance.choice(form)
                name = branch if isinstance(branch, str) else branch.get("name", branch["type"])
                return name, self._value(branch, depth)
            case "enum":
                return chance.choice(form["symbols"])
            case "fixed":
                return chance.randbytes(form["size"])
            case "bytes-decimal" | "fixed-decimal":
                bound = 10 ** form["precision"] - 1
                return Decimal(chance.randint(-bound, bound)).scaleb(-form.get("scale", 0))
        return _LEAVES[kind](chance)

    def _size(self, depth: int) -> int:
        return self._chance.randint(0, 3) if depth < 6 else 0


def _long(chance: random.Random) -> int:
    return chance.randint(-(2**63), 2**63 - 1) >> chance.randrange(64)


def _instant(chance: random.Random) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randint(-(2**50), 2**50))


def _clock(chance: random.Random) -> time:
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(86_400_000_000))).time()


_LEAVES: dict[str, Callable[[random.Random], Any]] = {
    "null": lambda _: None,
    "boolean": lambda chance: chance.random() < 0.5,
    "int": lambda chance: chance.randint(-(2**31), 2**31 - 1) >> chance.randrange(32),
    "long": _long,
    "float": lambda chance: float(chance.randint(-(2**20), 2**20)) / 8,
    "double": lambda chance: chance.uniform(-1e300, 1e300),
    "bytes": lambda chance: chance.randbytes(chance.randrange(90)),
    "string": lambda chance: chance.choice(["", "x", "é€𝄞", "y" * 80]),
    "string-uuid": lambda chance: UUID(int=chance.getrandbits(128)),
    "long-timestamp-millis": _instant,
    "long-timestamp-micros": _instant,
    "long-local-timestamp-millis": lambda chance: _instant(chance).replace(tzinfo=None),
    "long-local-timestamp-micros": lambda chance: _instant(chance).replace(tzinfo=None),
    "int-date": lambda chance: date.fromordinal(chance.randint(1, 3_000_000)),
    "int-time-millis": _clock,
    "long-time-micros": _clock,
}
