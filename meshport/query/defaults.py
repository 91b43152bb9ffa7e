"""Defaults of fields in archived rows that are older than the field: the archive has null there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshport.errors import NotRegistered
from meshport.event import SchemaSource
from meshport.schema import Schema

__all__ = ["defaults_of"]

_WORDS: Final = frozenset({"string", "enum"})
_NUMBERS: Final = frozenset({"int", "long", "float", "double", "boolean"})


def defaults_of(contract: Schema, schemas: SchemaSource, ids: Iterable[int]) -> Mapping[str, str]:
    """Return an SQL expression for each field of a contract that older rows do not have, where its default is no null.

    Defaults of texts, numbers, booleans and symbols are given; of other types the older rows keep their null.

    Args:
        contract: of the port.
        schemas: a registry.
        ids: the registry's numbers of the schemas that the rows were written with.
    """
    known = [found for each in ids if (found := _form(schemas, each)) is not None]
    made = {}
    for field in contract.form.get("fields", ()):
        literal = _literal(field)
        lacking = [str(id) for id, names in known if field["name"] not in names]
        if literal is not None and lacking:
            column = '"' + field["name"].replace('"', '""') + '"'
            made[field["name"]] = (
                f"CASE WHEN {column} IS NULL AND _schema_id IN ({', '.join(lacking)}) THEN {literal} ELSE {column} END"
            )
    return made


def _form(schemas: SchemaSource, id: int) -> tuple[int, set[str]] | None:
    try:
        form = schemas.by_id(id).form
    except NotRegistered:
        return None
    return (id, {each["name"] for each in form.get("fields", ())}) if isinstance(form, dict) else None


def _literal(field: Mapping[str, Any]) -> str | None:
    default, kind = field.get("default"), field["type"]
    kind = kind[0] if isinstance(kind, list) else kind  # of a union, the default is one of its first type
    form = kind if isinstance(kind, dict) else {"type": kind}
    if default is None or "logicalType" in form:
        return None
    if form["type"] in _WORDS:
        return "'" + str(default).replace("'", "''") + "'"
    if form["type"] in _NUMBERS and not isinstance(default, str):
        return str(default).lower()
    return None
