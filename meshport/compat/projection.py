"""A schema cut down to the fields that one reader reads, which shows what a change means to that reader."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from meshport.compat.forms import named_types, records_in
from meshport.schema import Schema
from meshport.schema.canonical import canonical, canonical_text, take_apart

_RECORDS: Final = frozenset({"record", "error"})


@lru_cache(maxsize=1024)
def project(schema: Schema, fields: tuple[str, ...]) -> Schema:
    """Return a schema with some fields only; a dotted name keeps a nested field, and drops the other fields of its record.

    A shared type keeps every field that any of its uses needs. Names of fields that the schema does not have are ignored.

    Args:
        schema: of a record.
        fields: the fields that are read; empty means all of them.
    """
    form = schema.form
    if not fields or not isinstance(form, dict) or form["type"] not in _RECORDS:
        return schema
    named: dict[str, Any] = {}
    root = take_apart(form, named)
    needs = _Needs(named_types(form))
    for path in fields:
        needs.add(form, path.split("."))
    kept = {name: needs.cut(name, each) for name, each in named.items()}
    return Schema(canonical_text(canonical(root, kept)))


def has_path(schema: Schema, path: str) -> bool:
    """Return whether a path of field names, with dots, leads to a field of a record's schema.

    Unions, arrays and maps on the way are entered; of a union it is enough that one branch has the field.
    """
    named = named_types(schema.form)
    types = [schema.form]
    for name in path.split("."):
        records = [record for each in types for record in records_in(each, named)]
        types = [field["type"] for record in records for field in record["fields"] if field["name"] == name]
    return bool(types)


class _Needs:
    """The fields of each record that are read; None for a record of which all are."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._of: dict[str, set[str] | None] = {}

    def add(self, form: Any, path: list[str]) -> None:
        """Add the fields that a path leads to, starting from a type."""
        for record in records_in(form, self._named):
            name = record["name"]
            known = self._of.setdefault(name, set())
            if not path:
                if known is not None:
                    self._of[name] = None
                    for field in record["fields"]:
                        self.add(field["type"], [])
                continue
            if known is not None:
                known.add(path[0])
            for field in record["fields"]:
                if field["name"] == path[0]:
                    self.add(field["type"], path[1:])

    def cut(self, name: str, form: dict[str, Any]) -> dict[str, Any]:
        """Return a definition, taken apart, with its needed fields only."""
        needed = self._of.get(name)
        if form["type"] not in _RECORDS or needed is None:
            return form
        return {**form, "fields": [field for field in form["fields"] if field["name"] in needed]}
