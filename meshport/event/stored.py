"""Field values as readers get them, where those differ from what was published.

The encoder cuts a timestamp to the unit of its type, pads a decimal to its scale, rounds to single precision, and takes an
integer for a time or text for a UUID. Whatever is derived from a value has to be derived from what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final
from uuid import UUID

from meshport.codec import codec_for
from meshport.codec.fit import Fitting
from meshport.codec.layout import Layout
from meshport.codec.logical import kind_of
from meshport.errors import EncodeError
from meshport.schema import Schema, parse_schema

Convert = Callable[[Any], Any]

_AS_GIVEN: Final = frozenset(
    {"null", "boolean", "int", "long", "string", "bytes", "fixed", "enum", "record", "error", "array", "map"}
)
# Values of these Python types lose nothing in these kinds.
_EXACT: Final[dict[str, type[Any]]] = {
    "double": float,
    "long-timestamp-micros": datetime,
    "long-local-timestamp-micros": datetime,
    "int-date": date,
    "long-time-micros": time,
    "string-uuid": UUID,
}

# The same, but for values with a part of a millisecond.
_MILLIS: Final[dict[str, type[Any]]] = {
    "long-timestamp-millis": datetime,
    "long-local-timestamp-millis": datetime,
    "int-time-millis": time,
}


def stored_values(fields: Sequence[str], schema: Schema) -> dict[str, Convert]:
    """Return, for each field whose values may change as they are stored, the function from a value to the stored one.

    A value that does not fit is returned as it is: the encoder refuses it.

    Args:
        fields: names of fields of the schema; those that it does not have are left out.
        schema: of the records.
    """
    layout = Layout(schema)
    types = {field["name"]: field["type"] for field in schema.fields}
    found = {name: _converter(types[name], layout) for name in fields if name in types}
    return {name: convert for name, convert in found.items() if convert is not None}


def equal_value(field: str, schema: Schema) -> Convert | None:
    """Return the function from a value to the equal one of a field's type: from 1.5 to 1.50 for a decimal of scale 2.

    A value that has no equal one there is returned as it is. None where the field's values are stored as given.
    """
    convert = stored_values((field,), schema).get(field)
    if convert is None:
        return None

    def equal(value: Any) -> Any:
        stored = convert(value)
        return stored if stored == value else value

    return equal


def _converter(form: Any, layout: Layout) -> Convert | None:
    form = layout.definition(form)
    kind = kind_of(form)
    if kind == "union":
        return _union_converter(form, layout)
    if kind in _AS_GIVEN:
        return None
    codec, exact, millis = codec_for(parse_schema(json.dumps(form))), _EXACT.get(kind), _MILLIS.get(kind)
    encode, decode = codec.encoder(), codec.decoder()

    def stored(value: Any) -> Any:
        if type(value) is exact:
            return value
        # An offset may have microseconds too, that of UTC has none.
        if type(value) is millis and not value.microsecond % 1000 and (value.tzinfo is None or value.tzinfo is UTC):
            return value
        try:
            return decode(encode(value, b""), 0)
        except EncodeError:
            return value

    return stored


def _union_converter(branches: list[Any], layout: Layout) -> Convert | None:
    converters = [_converter(each, layout) for each in branches]
    if not any(converters):
        return None
    fitting = Fitting(layout.named)
    values = [each for branch, each in zip(branches, converters, strict=True) if branch != "null"]
    only = values[0] if len(values) == 1 else None

    def stored(value: Any) -> Any:
        if value is None:
            return None
        if only is not None and not isinstance(value, tuple):
            return only(value)
        try:
            index, value = fitting.branch(branches, value)
        except TypeError:
            return value
        convert = converters[index]
        return value if convert is None else convert(value)

    return stored
