"""Schemas as JSON data: finds the record, the field or the types at a path, and gives what they are in another form.

A path is the names of fields with dots between them; unions, arrays, maps and references to a named type add nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshport.errors import SchemaError
from meshport.schema import parse_schema


def full_names(form: Any) -> Any:
    """Return a schema with full names, or as it is if it cannot be parsed."""
    try:
        return json.loads(parse_schema(json.dumps(form)).text)
    except SchemaError:
        return form


def types_in(form: Any) -> Iterator[dict[str, Any]]:
    """Yield every type in a type, itself included, that is written as an object."""
    if isinstance(form, list):
        for each in form:
            yield from types_in(each)
    elif isinstance(form, dict):
        yield form
        for key in ("items", "values", "type"):
            if isinstance(form.get(key), dict | list):
                yield from types_in(form[key])
        for each in form.get("fields", ()):
            yield from types_in(each["type"])


def enums_in(form: Any) -> list[dict[str, Any]]:
    """Return the enums in a type."""
    return [each for each in types_in(form) if each.get("type") == "enum"]


def names_defined(form: Any) -> set[str]:
    """Return the names of the types that a type defines."""
    return {each["name"] for each in types_in(form) if each.get("type") in {"record", "enum", "fixed", "error"}}


def record_at(form: Any, path: str) -> dict[str, Any]:
    """Return the record that has, or would have, the field at a path."""
    level = list(_records(form, form))
    *holders, name = path.split(".")
    for holder in holders:
        level = [
            inner
            for each in level
            for one in each["fields"]
            if one["name"] == holder
            for inner in _records(one["type"], form)
        ]
    return next((each for each in level if any(one["name"] == name for one in each["fields"])), level[0])


def field_at(form: Any, path: str) -> dict[str, Any] | None:
    """Return the field at a path, or None if there is none."""
    name = path.rpartition(".")[2]
    fields: list[dict[str, Any]] = record_at(form, path)["fields"]
    return next((each for each in fields if each["name"] == name), None)


def beside(path: str, name: str) -> str:
    """Return the path of another field of the same record."""
    return f"{path.rpartition('.')[0]}.{name}".lstrip(".")


def remove_field(record: dict[str, Any], name: str | None) -> None:
    """Remove the field of a name from a record, which may lack it."""
    record["fields"] = [each for each in record["fields"] if each["name"] != name]


def nullable(field: dict[str, Any]) -> dict[str, Any]:
    """Return a field whose type has the branch null first, and null as its default."""
    kind = field["type"]
    branches = kind if isinstance(kind, list) else [kind]
    return field | {"type": ["null", *(each for each in branches if each != "null")], "default": None}


def new_field(field: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a nullable field of another name and the same type, without the aliases and the default of the first."""
    return nullable({key: value for key, value in field.items() if key not in {"aliases", "default"}} | {"name": name})


def renamed(form: Any, names: Mapping[str, str]) -> Any:
    """Return a type in which the named types of these names have others, and no aliases."""
    if isinstance(form, str):
        return names.get(form, form)
    if isinstance(form, list):
        return [renamed(each, names) for each in form]
    if not isinstance(form, dict):
        return form
    made = {key: renamed(value, names) if key in {"type", "items", "values"} else value for key, value in form.items()}
    if made.get("name") in names:
        made["name"] = names[made["name"]]
        for key in ("aliases", "namespace"):
            made.pop(key, None)
    if "fields" in made:
        made["fields"] = [each | {"type": renamed(each["type"], names)} for each in made["fields"]]
    return made


def _records(form: Any, root: Any, seen: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """Yield the records that a value of a type is, or consists of, by unions, arrays, maps and references."""
    if isinstance(form, str):
        found = next((each for each in types_in(root) if each.get("name") == form), None)
        if found is not None and form not in seen:
            yield from _records(found, root, seen | {form})
    elif isinstance(form, list):
        for each in form:
            yield from _records(each, root, seen)
    elif "fields" in form:
        yield form
    else:
        for key in ("items", "values"):
            if key in form:
                yield from _records(form[key], root, seen)
