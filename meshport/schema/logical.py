"""Logical types: which type each of them annotates, and when one is invalid.

Source: Avro 1.12, "Logical Types": a library must ignore a logical type that it does not know, and one that is invalid, "for
example a decimal with scale greater than its precision", and use the underlying type. Java does so in
`LogicalTypes.fromSchemaIgnoreInvalid`, whose rules these are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from meshport.schema.canonical import PRIMITIVES

# Digits of a decimal: those of PostgreSQL's widest `numeric(p, s)`. The conversion of bytes to digits takes quadratic time.
MAX_PRECISION: Final = 1_000
ANNOTATES: Final[Mapping[str, frozenset[str]]] = {
    "decimal": frozenset({"bytes", "fixed"}),
    "big-decimal": frozenset({"bytes"}),
    "uuid": frozenset({"string", "fixed"}),
    "duration": frozenset({"fixed"}),
    "date": frozenset({"int"}),
    "time-millis": frozenset({"int"}),
    "time-micros": frozenset({"long"}),
    "timestamp-millis": frozenset({"long"}),
    "timestamp-micros": frozenset({"long"}),
    "timestamp-nanos": frozenset({"long"}),
    "local-timestamp-millis": frozenset({"long"}),
    "local-timestamp-micros": frozenset({"long"}),
    "local-timestamp-nanos": frozenset({"long"}),
}
# Bytes of a fixed that these annotate.
_SIZES: Final = {"uuid": 16, "duration": 12}
# Java's `int`, in which it keeps precision and scale.
_MAX_INT: Final = 2**31 - 1


def logical_type(form: Any) -> str | None:
    """Return the logical type of a type in canonical form; None without one, or if it has to be ignored."""
    name = form.get("logicalType") if isinstance(form, Mapping) else None
    if not isinstance(name, str) or name not in ANNOTATES or flaw(form) is not None:
        return None
    return name


def flaw(form: Mapping[str, Any]) -> str | None:
    """Return why the logical type of a type has to be ignored; None if it is valid, unknown, or there is none."""
    name, kind = form.get("logicalType"), form["type"]
    if name is None:
        return None
    if not isinstance(name, str):
        return "is no name"
    if name not in ANNOTATES:
        return None
    if kind not in ANNOTATES[name]:
        return f"stands at {_article(kind)}, and annotates {' or '.join(sorted(ANNOTATES[name]))}"
    if kind == "fixed" and name in _SIZES and form["size"] != _SIZES[name]:
        return f"stands at a fixed of {form['size']} bytes, and annotates one of {_SIZES[name]}"
    return _decimal_flaw(form) if name == "decimal" else None


def _decimal_flaw(form: Mapping[str, Any]) -> str | None:
    if "precision" not in form:
        return "has no precision"
    precision, scale = form["precision"], form.get("scale", 0)
    if not _is_whole(precision) or not 1 <= precision <= _MAX_INT:
        return f"has the precision {_shown(precision)}, which is no whole number above 0"
    if not _is_whole(scale) or scale < 0:
        return f"has the scale {_shown(scale)}, which is no whole number from 0 on"
    if scale > precision:
        return f"has the scale {_shown(scale)}, more than its precision {precision}"
    if form["type"] == "fixed" and precision > (digits := _digits(form["size"])):
        return f"has the precision {precision}, and {form['size']} bytes hold {digits} digits"
    return None


def underlying(form: Any) -> Any:
    """Return a canonical form without logical types, and with primitive types as bare names."""
    if isinstance(form, list):
        return [underlying(branch) for branch in form]
    if not isinstance(form, dict):
        return form
    if form["type"] in PRIMITIVES:
        return form["type"]
    bare = {key: value for key, value in form.items() if key != "logicalType"}
    for key in ("items", "values"):
        if key in bare:
            bare[key] = underlying(bare[key])
    if "fields" in bare:
        bare["fields"] = [{**field, "type": underlying(field["type"])} for field in bare["fields"]]
    return bare


def _digits(size: int) -> int:
    """Return the decimal digits that always fit a two's complement of so many bytes."""
    return max(math.floor(math.log10(2) * (8 * size - 1)), 0)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """Return a JSON value as text of at most 40 characters, digits of a large number included."""
    if _is_whole(value) and abs(value) > _MAX_INT:
        return "beyond 32 bits"
    return repr(value)[:40]


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
