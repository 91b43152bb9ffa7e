"""Random record schemas that columns hold, and values of them; the same seed gives the same ones.

Apart from `tests.codec.strategies` because these have to be many: two thousand schemas of fifty records in seconds.
"""

from __future__ import annotations

import json
import random
import string
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from meshport.codec.logical import kind_of
from meshport.schema import Schema, parse_schema

_LOGICAL: Final = [
    ("long", "timestamp-millis"),
    ("long", "timestamp-micros"),
    ("long", "timestamp-nanos"),
    ("long", "local-timestamp-millis"),
    ("long", "local-timestamp-micros"),
    ("int", "date"),
    ("int", "time-millis"),
    ("long", "time-micros"),
    ("string", "uuid"),
    ("string", "unheard-of"),
]
_LEAVES: Final[list[Any]] = [
    *("boolean", "int", "long", "float", "double", "bytes", "string"),
    *({"type": kind, "logicalType": logical} for kind, logical in _LOGICAL),
]
_TEXTS: Final = string.printable + "éß€ключ𝄞\0"
_MICROS: Final = 3_652_059 * 86_400_000_000


class Generator:
    """Schemas and their values.

    Args:
        seed: of all that is drawn.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._names = 0
        self._named: dict[str, Any] = {}

    def schema(self) -> Schema:
        """A record of one to eight fields."""
        self._names = 0
        self._named = {}
        return parse_schema(json.dumps(self._record(0)))

    def record(self, schema: Schema) -> Any:
        """A value of the schema that was made last."""
        return self._value(schema.form)

    def _new(self) -> str:
        self._names += 1
        return f"ns.T{self._names}"

    def _record(self, depth: int) -> Any:
        name = self._new()
        count = self._chance.randint(1, 8 if depth == 0 else 3)
        fields = [{"name": f"field{at}", "type": self._type(depth)} for at in range(count)]
        made = {"type": "record", "name": name, "fields": fields}
        self._named[name] = made
        return made

    def _type(self, depth: int) -> Any:
        kinds = ["leaf"] * 4 + ["enum", "fixed", "decimal", "reference", "nullable", "nullable"]
        if depth < 3:
            kinds += ["record", "array", "map"]
        chance = self._chance
        match chance.choice(kinds):
            case "enum":
                return self._known({"type": "enum", "symbols": chance.sample("ABCDEFGH", chance.randint(1, 8))})
            case "fixed":
                return self._known({"type": "fixed", "size": chance.choice([4, 8, 12, 16, 20, 64])})
            case "decimal":
                return self._decimal()
            case "reference" if self._named:
                return chance.choice(list(self._named))
            case "nullable":
                held = self._type(depth)
                if isinstance(held, list):
                    return held
                return ["null", held] if chance.random() < 0.7 else [held, "null"]
            case "record":
                return self._record(depth + 1)
            case "array":
                return {"type": "array", "items": self._type(depth + 1)}
            case "map":
                return {"type": "map", "values": self._type(depth + 1)}
        return chance.choice(_LEAVES)

    def _decimal(self) -> Any:
        precision = self._chance.choice([1, 9, 18, 19, 38, 39, 76])
        logical = {
            "logicalType": "decimal",
            "precision": precision,
            "scale": self._chance.randint(0, min(precision, 12)),
        }
        if self._chance.random() < 0.6:
            return {"type": "bytes", **logical}
        sizes = [size for size in (4, 8, 16, 32, 40) if 10**precision <= 2 ** (8 * size - 1)]
        return self._known({"type": "fixed", "size": self._chance.choice(sizes), **logical})

    def _known(self, form: dict[str, Any]) -> Any:
        name = self._new()
        self._named[name] = {**form, "name": name}
        return self._named[name]

    def _value(self, form: Any) -> Any:
        chance = self._chance
        if isinstance(form, str) and form in self._named:
            form = self._named[form]
        kind = kind_of(form)
        match kind:
            case "record":
                return {field["name"]: self._value(field["type"]) for field in form["fields"]}
            case "union":
                branch = chance.choice(form)
                return None if branch == "null" else self._value(branch)
            case "array":
                return [self._value(form["items"]) for _ in range(chance.choice([0, 0, 1, 2, 3]))]
            case "map":
                return {self._text(): self._value(form["values"]) for _ in range(chance.choice([0, 0, 1, 2, 3]))}
            case "enum":
                return chance.choice(form["symbols"])
            case "fixed":
                return chance.randbytes(form["size"])
            case "bytes-decimal" | "fixed-decimal":
                return self._number(form)
            case "boolean":
                return chance.random() < 0.5
            case "int" | "long":
                top = 2 ** (31 if kind == "int" else 63)
                return chance.choice(
                    [0, -1, 64, -65, top - 1, -top, chance.randrange(-top, top), chance.randrange(-99, 99)]
                )
            case "float":
                return chance.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), -(2.0**100)])
            case "double":
                return chance.choice([0.0, -0.0, float("-inf"), float("nan"), chance.random(), 1e300])
            case "bytes":
                return chance.randbytes(chance.choice([0, 1, 3, 70]))
            case "string":
                return self._text()
            case "string-uuid":
                return UUID(int=chance.getrandbits(128))
            case "int-date":
                return date.fromordinal(chance.choice([1, 3_652_059, chance.randint(1, 3_652_059)]))
            case "int-time-millis" | "long-time-micros":
                return chance.choice([time.min, time(23, 59, 59, 999_000), time(chance.randrange(24), 5, 6, 7000)])
        zone = None if "local" in kind else UTC
        first = datetime.min.replace(tzinfo=zone)
        micros = chance.choice([0, _MICROS - 1, chance.randrange(_MICROS)])
        if "millis" in kind:
            micros = micros // 1000 * 1000
        return first + timedelta(microseconds=micros)

    def _text(self) -> str:
        return "".join(self._chance.choices(_TEXTS, k=self._chance.choice([0, 1, 5, 5, 12, 70])))

    def _number(self, form: Any) -> Decimal:
        bound = 10 ** form["precision"]
        if form["type"] == "fixed":
            bound = min(bound, 2 ** (8 * form["size"] - 1))
        edges = [0, 1, -1, bound - 1, 1 - bound, *(each for each in (-128, 127, 128, -32768) if abs(each) < bound)]
        unscaled = self._chance.choice([*edges, self._chance.randrange(1 - bound, bound)])
        return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -form.get("scale", 0)))
