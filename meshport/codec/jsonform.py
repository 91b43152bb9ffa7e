"""Records as JSON data, for people and for structured CloudEvents.

This is plain JSON, not Avro's JSON encoding: a value of a union has no wrapper, an instant is RFC 3339 text, decimals and
UUIDs are text, bytes are base64.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from meshport.codec.fit import Fitting
from meshport.codec.layout import Layout
from meshport.codec.limits import MAX_DEPTH
from meshport.codec.logical import kind_of
from meshport.codec.text import parse_number, parse_uuid
from meshport.errors import DecodeError
from meshport.rfc3339 import day, instant, local, time_of_day
from meshport.schema import Schema


def to_json(value: Any) -> Any:
    """Return the JSON data of a decoded value."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        case Mapping():
            return {key: to_json(each) for key, each in value.items()}
        case list() | tuple():
            return [to_json(each) for each in value]
        case datetime():
            text = value.isoformat()
            return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray():
            return b64encode(value).decode()
    return str(value)


def from_json(schema: Schema, data: Any) -> Any:
    """Return the value of JSON data for a schema.

    Types that JSON does not have are read from the text that `to_json` writes. Data that does not fit its type is returned
    unchanged; the encoder refuses it with its path. Omitted fields get no default here.

    Raises:
        DecodeError: the data nests too deep.
    """
    layout = Layout(schema)
    return _Reading(layout, Fitting(layout.named)).value(layout.form, data, 0)


class _Reading:
    def __init__(self, layout: Layout, fitting: Fitting) -> None:
        self._layout = layout
        self._fitting = fitting

    def value(self, form: Any, data: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise DecodeError(f"the data nests more than {MAX_DEPTH} levels deep")
        form = self._layout.definition(form)
        kind = kind_of(form)
        match data:
            case dict() if kind in {"record", "error"}:
                types = {field["name"]: field["type"] for field in form["fields"]}
                return {
                    name: self.value(types[name], each, depth + 1) if name in types else each
                    for name, each in data.items()
                }
            case dict() if kind == "map":
                return {name: self.value(form["values"], each, depth + 1) for name, each in data.items()}
            case list() if kind == "array":
                return [self.value(form["items"], each, depth + 1) for each in data]
            case _ if kind == "union":
                return self._branch(form, data, depth)
            case str():
                try:
                    return _of_text(kind, data)
                except ValueError:
                    return data
            case int() if kind.endswith("decimal") and not isinstance(data, bool):
                return Decimal(data)
            case float() if kind.endswith("decimal"):
                return Decimal(repr(data))
        return data

    def _branch(self, branches: list[Any], data: Any, depth: int) -> Any:
        """Return the value for the first branch that accepts it; objects and lists are judged by their outermost type.

        Checking nested values for each branch would take time exponential in the depth.
        """
        for branch in branches:
            if isinstance(data, dict | list):
                if self._fitting.may_take(branch, data):
                    return self.value(branch, data, depth + 1)
                continue
            value = self.value(branch, data, depth + 1)
            if self._fitting.may_take(branch, value):
                return value
        return data


def _of_text(kind: str, text: str) -> Any:
    match kind:
        case "long-timestamp-millis" | "long-timestamp-micros":
            return instant(text)
        case "long-local-timestamp-millis" | "long-local-timestamp-micros":
            return local(text)
        case "int-date":
            return day(text)
        case "int-time-millis" | "long-time-micros":
            return time_of_day(text)
        case "bytes-decimal" | "fixed-decimal":
            return parse_number(text)
        case "string-uuid":
            return parse_uuid(text)
        case "bytes" | "fixed":
            try:
                return b64decode(text, validate=True)
            except binascii.Error:
                return text
        case "float" | "double":
            return float(text) if text in {"NaN", "Infinity", "-Infinity"} else text
    return text
