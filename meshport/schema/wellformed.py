"""Checks that Avro's specification requires and fastavro's parser omits, and bounds on the numbers of a schema.

A schema that fails one of them would fail later: in a reader in another language, or in a generated decoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from meshport.errors import SchemaError
from meshport.schema.canonical import NAMED, PRIMITIVES
from meshport.schema.logical import MAX_PRECISION, logical_type
from meshport.schema.names import is_name, name_hint

# Branches of one union. The largest in 385 contracts of public repositories has 21; a collection of all of DataHub's types, 280.
MAX_BRANCHES: Final = 512
# Kafka's default bound on a message (`message.max.bytes`): no larger `fixed` can arrive.
MAX_FIXED: Final = 1024 * 1024

# Code that walks a schema follows these attributes, so they are refused on a type that does not have them.
_PARTS: Final = {
    "fields": frozenset({"record", "error"}),
    "items": frozenset({"array"}),
    "values": frozenset({"map"}),
}
_RESERVED: Final = PRIMITIVES | NAMED | {"array", "map", "union"}


def refuse_malformed(form: Any) -> None:
    """Refuse a canonical form that the specification does not allow, or whose numbers are out of bounds.

    Raises:
        SchemaError: the specification does not allow it, or a number is out of bounds.
    """
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            _union(each)
            stack.extend(each)
        elif isinstance(each, dict):
            _check(each)
            stack.extend(each[key] for key in ("items", "values") if key in each)
            stack.extend(field["type"] for field in each.get("fields", ()))


def _check(form: dict[str, Any]) -> None:
    kind, name = form["type"], form.get("name")
    for key, kinds in _PARTS.items():
        if key in form and kind not in kinds:
            raise SchemaError(f"`{key}` stands at a type {kind!r}, to which it does not belong", hint="take it away")
    if kind in NAMED and name in _RESERVED:
        raise SchemaError(f"{name!r} is the word for a type of Avro's own", hint="another name, or a namespace")
    match kind:
        case "record" | "error":
            _names("fields", str(name), (field["name"] for field in form["fields"]))
        case "enum":
            symbols = form.get("symbols")
            if not isinstance(symbols, list) or not symbols:
                raise SchemaError(f"the enum {name!r} has no list of `symbols`")
            _names("symbols", str(name), symbols)
            if "default" in form and form["default"] not in symbols:
                raise SchemaError(f"the enum {name!r} has the default {form['default']!r}", hint="one of its symbols")
        case "fixed":
            _number(f"the size of {name!r}", form.get("size"), 0, MAX_FIXED)
    # An invalid logical type is ignored; the gate reports it to the author of a product's contract (LOGICAL_TYPE_IGNORED).
    if logical_type(form) == "decimal":
        _number("the precision of a decimal", form["precision"], 1, MAX_PRECISION)


def _union(branches: list[Any]) -> None:
    if not 1 <= len(branches) <= MAX_BRANCHES:
        raise SchemaError(f"a union has {len(branches)} branches", hint=f"1 to {MAX_BRANCHES}")
    seen = set()
    for branch in branches:
        if isinstance(branch, list):
            raise SchemaError("a union stands directly in a union", hint="one union of all branches")
        what = branch if isinstance(branch, str) else branch["name" if branch["type"] in NAMED else "type"]
        if what in seen:
            raise SchemaError(f"a union has the branch {what!r} twice", hint="named types may differ, others may not")
        seen.add(what)


def _names(what: str, owner: str, names: Iterable[Any]) -> None:
    seen = set()
    for name in names:
        if not isinstance(name, str) or not is_name(name):
            raise SchemaError(
                f"{name!r} among the {what} of {owner!r} is no Avro name",
                hint=name_hint(name) if isinstance(name, str) else "a text",
            )
        if name in seen:
            raise SchemaError(f"{name!r} stands twice among the {what} of {owner!r}")
        seen.add(name)


def _number(what: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SchemaError(
            f"{what} is {json.dumps(value, ensure_ascii=False)}", hint=f"a whole number from {low} to {high}"
        )
    return value
