"""Defaults of fields: from their JSON form in the schema to the value that the decoder would return."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from meshport.codec import logical
from meshport.codec.limits import MAX_DEPTH
from meshport.codec.logical import kind_of
from meshport.codec.single import single
from meshport.codec.varint import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN
from meshport.errors import SchemaError
from meshport.schema.defaults import is_json_of

# Text that Java takes as the default of a float or double: for values that JSON has no number for (AVRO-4024), and numbers.
_NO_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_RANGES: Final = {"int": (INT_MIN, INT_MAX), "long": (LONG_MIN, LONG_MAX)}


def default_of(form: Any, data: Any, named: Mapping[str, Any], *, depth: int = 0) -> Any:
    """Return the value of a default.

    Args:
        form: the field's type in canonical form.
        data: the default as JSON data.
        named: the schema's named types.
        depth: nesting of the default within other defaults.

    Raises:
        SchemaError: the default is not a value of the type (Avro specification, "Complex Types", table of defaults).
    """
    if depth > MAX_DEPTH:
        raise SchemaError("a default contains itself")
    if isinstance(form, str) and form in named:
        form = named[form]
    kind = kind_of(form)
    try:
        return _value(form, kind, data, named, depth)
    except SchemaError:
        raise
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        raise SchemaError(
            f"{json.dumps(data, ensure_ascii=False, default=str)} is no default of the type {kind}"
        ) from error


def _value(form: Any, kind: str, data: Any, named: Mapping[str, Any], depth: int) -> Any:
    if kind == "union":
        # Up to Avro 1.11 a default has the type of the first branch, since 1.12 of any; the first that fits satisfies both.
        for branch in form:
            try:
                return default_of(branch, data, named, depth=depth + 1)
            except SchemaError:
                continue
        raise ValueError(data)
    if not is_json_of(data, kind.partition("-")[0]):
        raise TypeError(data)
    match kind:
        case "null" | "boolean" | "string":
            return data
        case "float" | "double":
            number = float(data)
            written = isinstance(data, str) and data not in _NO_NUMBERS
            if written and (math.isinf(number) or not _NUMBER.fullmatch(data)):
                raise ValueError(data)
            return single(number) if kind == "float" else number
        case "string-uuid":
            return logical.uuid_of(data)
        case "bytes" | "bytes-decimal" | "fixed" | "fixed-decimal":
            octets = data.encode("latin-1")
            if kind.startswith("fixed") and len(octets) != form["size"]:
                raise ValueError(data)
            return logical.decimal_reader(form)(octets) if kind.endswith("decimal") else octets
        case "enum":
            if data not in form["symbols"]:
                raise ValueError(data)
            return data
        case "array":
            return [default_of(form["items"], each, named, depth=depth + 1) for each in data]
        case "map":
            return {key: default_of(form["values"], each, named, depth=depth + 1) for key, each in data.items()}
        case "record" | "error":
            return {
                field["name"]: default_of(
                    field["type"],
                    data[field["name"]] if field["name"] in data else field["default"],
                    named,
                    depth=depth + 1,
                )
                for field in form["fields"]
            }
    low, high = _RANGES[kind.partition("-")[0]]
    if not low <= data <= high:
        raise ValueError(data)
    match kind:
        case "int-time-millis":
            return logical.time_of_millis(data)
        case "long-time-micros":
            return logical.time_of_micros(data)
    return logical.calendar_value(kind, data) if kind in logical.CALENDAR else data
