"""The check of a field's default against the field's type, as far as the outermost JSON type decides.

A schema that is stored has to stay readable. Therefore the inner parts of a default are judged when a schema is registered
(`compat.defaults`), and in a product's contract by the gate (`DEFAULT_MISFIT`).
"""

from __future__ import annotations

from typing import Any, Final

from meshport.errors import SchemaError
from meshport.schema.canonical import NAMED, PRIMITIVES

_JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (int, float, str),  # "NaN" and "Infinity" are text in JSON
    "double": (int, float, str),
    "bytes": (str,),
    "fixed": (str,),
    "string": (str,),
    "enum": (str,),
    "array": (list,),
    "map": (dict,),
    "record": (dict,),
    "error": (dict,),
}


def is_json_of(default: Any, kind: str) -> bool:
    """Return whether a default is of a JSON type that its Avro type has (specification 1.12, "Complex Types", its table)."""
    expected = _JSON_TYPES[kind]
    return isinstance(default, expected) and (not isinstance(default, bool) or bool in expected)


def refuse_misfits(form: Any) -> None:
    """Refuse a canonical form in which the default of a field is of another JSON type than the field.

    Raises:
        SchemaError: a default is no value of its field, or beyond the numbers of its type.
    """
    kinds: dict[str, str] = {}
    fields: list[tuple[str, Any]] = []
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if each["type"] in NAMED:
                kinds[each["name"]] = each["type"]
            stack.extend(each[key] for key in ("items", "values") if key in each)
            for field in each.get("fields", ()):
                stack.append(field["type"])
                if "default" in field:
                    fields.append((each["name"], field))
    for record, field in fields:
        _refuse(record, field, kinds)


def _refuse(record: str, field: Any, kinds: dict[str, str]) -> None:
    form, default = field["type"], field["default"]
    branches = [_kind(each, kinds) for each in (form if isinstance(form, list) else [form])]
    where = f"the default of the field {field['name']!r} of {record!r}"
    try:
        if any(_fits(default, kind) for kind in branches):
            return
    except OverflowError as error:
        raise SchemaError(f"{where} is beyond the numbers of its type", rule="DEFAULT_MISFIT") from error
    raise SchemaError(
        f"{where} is {repr(default)[:80]}, which is no {' or '.join(branches)}",
        hint="a default of the field's own type",
        rule="DEFAULT_MISFIT",
    )


def _kind(form: Any, kinds: dict[str, str]) -> str:
    name = str(form if isinstance(form, str) else form["type"])
    return name if name in PRIMITIVES else kinds.get(name, name)


def _fits(default: Any, kind: str) -> bool:
    if not is_json_of(default, kind):
        return False
    if kind in {"float", "double"}:
        try:
            float(default)
        except ValueError:
            return False
    return True
