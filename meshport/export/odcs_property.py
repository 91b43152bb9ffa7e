"""Fields of an Avro record as ODCS properties, and properties as fields.

ODCS has nine logical types. What of an Avro field they and `physicalType` cannot express is in custom properties of the property,
so that a field that was exported is read back as the same field. Source: ODCS 3.1.0, "Schema".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from meshport.schema.canonical import PRIMITIVES
from meshport.schema.logical import ANNOTATES, logical_type

AVRO_TYPE: Final = "avroType"
"""The custom property with an Avro type that `physicalType` does not determine: a record without its fields, an array without its
items."""
AVRO_DEFAULT: Final = "avroDefault"
"""The custom property with a field's default."""
AVRO_ATTRIBUTES: Final = "avroAttributes"
"""The custom property with further attributes of a field: its aliases, its order and others."""
AVRO_FIELD: Final = "avroField"
"""The custom property with a whole field, where the others do not determine it."""

_PRIMITIVE: Final = {
    "string": "string", "bytes": "string", "boolean": "boolean", "int": "integer", "long": "integer",
    "float": "number", "double": "number",
}  # fmt: skip
_BY_LOGICAL_TYPE: Final = {"decimal": "number", "big-decimal": "number", "uuid": "string", "date": "date"}
_BY_KIND: Final = {
    "record": "object",
    "error": "object",
    "map": "object",
    "enum": "string",
    "fixed": "string",
    "array": "array",
}
# What a property of another house's contract becomes, which has no physical type of Avro's.
_AVRO: Final[Mapping[str, Any]] = {
    "string": "string",
    "integer": "long",
    "number": "double",
    "boolean": "boolean",
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-millis"},
    "time": {"type": "int", "logicalType": "time-millis"},
}
_FORMATS: Final = {"uuid": {"type": "string", "logicalType": "uuid"}, "binary": "bytes"}
_DESCRIBED: Final = {"name", "type", "default", "doc", "classification"}
Named = dict[str, Any]
"""Definitions of named types by full name, filled as they are met."""


def property_of(field: Mapping[str, Any], named: Named) -> dict[str, Any]:
    """Return a field as a property.

    Args:
        field: of a record in canonical form.
        named: the named types that earlier fields define; those of this one are added.
    """
    optional, inner = _without_null(field["type"])
    found = {"name": field["name"], **_type_part(inner, named), "required": not optional}
    for key, attribute in (("description", "doc"), ("classification", "classification")):
        if isinstance(field.get(attribute), str):
            found[key] = field[attribute]
    custom = found.pop("customProperties", [])
    if "default" in field and not (optional and field["default"] is None):
        custom = [*custom, _custom(AVRO_DEFAULT, field["default"])]
    if others := {key: value for key, value in field.items() if key not in _DESCRIBED}:
        custom = [*custom, _custom(AVRO_ATTRIBUTES, others)]
    written = found | ({"customProperties": custom} if custom else {})
    if _same(field_of(written), field):
        return written
    return found | {"customProperties": [_custom(AVRO_FIELD, dict(field))]}


def field_of(written: Mapping[str, Any], record: str = "") -> dict[str, Any]:
    """Return a property as a field of an Avro record, in canonical form where it was exported.

    Args:
        written: the property.
        record: the full name of the record that has the field; an object within it gets a name that begins so.

    Raises:
        ValueError: the property has neither a logical type nor an Avro type.
    """
    custom = custom_properties(written)
    if AVRO_FIELD in custom:
        whole: dict[str, Any] = custom[AVRO_FIELD]
        return whole | {"name": written["name"]}
    inner = _type_of(written, record + _pascal(written["name"]))
    form = inner if written.get("required") or isinstance(inner, list) else ["null", inner]
    field: dict[str, Any] = {"name": written["name"], "type": form}
    if AVRO_DEFAULT in custom:
        field["default"] = custom[AVRO_DEFAULT]
    elif not written.get("required"):
        field["default"] = None
    for key, attribute in (("description", "doc"), ("classification", "classification")):
        if key in written:
            field[attribute] = written[key]
    return {**field, **custom.get(AVRO_ATTRIBUTES, {})}


def custom_properties(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the custom properties of an element of a contract, by name."""
    return {each["property"]: each.get("value") for each in written.get("customProperties") or ()}


def _type_part(form: Any, named: Named) -> dict[str, Any]:
    """Return the part of a property, or of an array's `items`, that a type determines."""
    if isinstance(form, list):
        for each in form:
            _type_part(each, named)
        return {"physicalType": "union", "customProperties": [_custom(AVRO_TYPE, form)]}
    if isinstance(form, str) and form not in PRIMITIVES:
        return {**_shape(named[form]), "customProperties": [_custom(AVRO_TYPE, form)]}
    attributes: dict[str, Any] = {"type": form} if isinstance(form, str) else form
    if "name" in attributes:
        named[attributes["name"]] = form
    part = _shape(attributes)
    children: set[str] = set()
    if attributes["type"] in {"record", "error"}:
        children, part["properties"] = {"fields"}, [property_of(each, named) for each in attributes["fields"]]
    elif attributes["type"] == "array":
        children, part["items"] = {"items"}, _type_part(attributes["items"], named)
    elif attributes["type"] == "map":
        _type_part(attributes["values"], named)
    if not _same(_type_of(part, ""), form):
        own = {key: value for key, value in attributes.items() if key not in children}
        part["customProperties"] = [_custom(AVRO_TYPE, own)]
    return part


def _shape(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the logical and the physical type of a type that is no union."""
    kind = attributes["type"]
    annotated = logical_type(attributes)
    physical = str(annotated or kind)
    if annotated == "decimal":
        physical = f"decimal({attributes['precision']},{attributes.get('scale', 0)})"
    elif physical == "uuid" and kind != "string":
        physical = f"{kind} uuid"
    logical = _BY_LOGICAL_TYPE.get(annotated or "") or _moment(annotated) or _PRIMITIVE.get(kind) or _BY_KIND.get(kind)
    found: dict[str, Any] = (
        {"physicalType": physical} if logical is None else {"logicalType": logical, "physicalType": physical}
    )
    if annotated == "uuid":
        found["logicalTypeOptions"] = {"format": "uuid"}
    elif kind in {"bytes", "fixed"} and annotated is None:
        found["logicalTypeOptions"] = {"format": "binary"}
    return found


def _moment(annotated: str | None) -> str | None:
    for logical in ("timestamp", "time"):
        if annotated is not None and logical in annotated.split("-"):
            return logical
    return None


def _type_of(written: Mapping[str, Any], name: str) -> Any:
    """Return the Avro type of a property, or of an array's `items`; a record without an Avro name gets `name`."""
    given = custom_properties(written).get(AVRO_TYPE)
    if isinstance(given, dict) and given.get("type") in {"record", "error"}:
        return given | {"fields": _fields(written, str(given.get("name", name)))}
    if isinstance(given, dict) and given.get("type") == "array":
        return given | {"items": _type_of(written.get("items") or {}, f"{name}Item")}
    return _simple(written, name) if given is None else given


def _fields(written: Mapping[str, Any], record: str) -> list[dict[str, Any]]:
    return [field_of(each, record) for each in written.get("properties") or ()]


def _pascal(name: str) -> str:
    return "".join(each[:1].upper() + each[1:] for each in name.split("_"))


def _simple(written: Mapping[str, Any], name: str) -> Any:
    physical, logical = str(written.get("physicalType") or ""), written.get("logicalType")
    if physical in PRIMITIVES and (logical is None or _PRIMITIVE.get(physical) == logical):
        return physical
    if physical in ANNOTATES and len(ANNOTATES[physical]) == 1:
        return {"type": next(iter(ANNOTATES[physical])), "logicalType": physical}
    if logical == "number" and (decimal := _decimal(physical)) is not None:
        return decimal
    if logical == "string" and (format_ := (written.get("logicalTypeOptions") or {}).get("format")) in _FORMATS:
        return _FORMATS[format_]
    if logical == "array":
        return {"type": "array", "items": _type_of(written.get("items") or {}, f"{name}Item")}
    if logical == "object":
        return {"name": name, "type": "record", "fields": _fields(written, name)}
    if not isinstance(logical, str) or logical not in _AVRO:
        raise ValueError(f"the property {written.get('name', 'items')!r} has no logicalType that ODCS knows")
    return _AVRO[logical]


def _decimal(physical: str) -> dict[str, Any] | None:
    """Return the type of `decimal(10,2)` or `numeric(10)`; None for another text."""
    kind, _, digits = physical.lower().removesuffix(")").partition("(")
    numbers = [each.strip() for each in digits.split(",")]
    if kind.strip() not in {"decimal", "numeric"} or len(numbers) > 2 or not all(map(str.isdecimal, numbers)):
        return None
    precision, scale = int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 0
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _without_null(form: Any) -> tuple[bool, Any]:
    """Return whether a type is a union with null; and X of `["null", X]`, or else the type itself."""
    optional = isinstance(form, list) and "null" in form
    return optional, form[1] if optional and len(form) == 2 and form[0] == "null" else form


def _custom(name: str, value: Any) -> dict[str, Any]:
    return {"property": name, "value": value}


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; unlike Python, 1, 1.0 and true are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
