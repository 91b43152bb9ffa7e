"""Defaults that are no value of their field, wherever a schema declares them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from meshport.codec.defaults import default_of
from meshport.compat.forms import Form, brief, declared, inner, named_types
from meshport.errors import SchemaError
from meshport.schema import Schema
from meshport.schema.logical import underlying

_RECORDS: Final = frozenset({"record", "error"})
_SHOWN: Final = 60


def fields_of(form: Any) -> Iterator[tuple[str, Form]]:
    """Yield every field that a schema declares, with its path."""
    for path, each in declared(form):
        for field in each.get("fields", ()) if each["type"] in _RECORDS else ():
            yield inner(path, field["name"]), field


def misfits(form: Any) -> Iterator[tuple[str, Form]]:
    """Yield every field whose default is no value of its type, with its path.

    Args:
        form: the canonical form of the whole schema.
    """
    named = named_types(form)
    for path, field in fields_of(form):
        if "default" in field:
            try:
                default_of(field["type"], field["default"], named)
            except SchemaError:
                yield path, field


def refuse_misfits(schema: Schema) -> None:
    """Refuse a schema with a default that is no value of its field (Avro 1.12, "Complex Types", table of defaults).

    Logical types are not looked at, as in that table and in Java: text that is no UUID is a default of a string. The rule
    DEFAULT_MISFIT, which holds for products, is stricter.

    Raises:
        SchemaError: with the path of the first such field.
    """
    for path, field in misfits(underlying(schema.form)):
        text = json.dumps(field["default"], ensure_ascii=False)
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
        raise SchemaError(
            f"the default of {path!r} is {shown}, which is no value of {brief(field['type'])}",
            hint="a default of the field's own type, or none",
            rule="DEFAULT_MISFIT",
        )
