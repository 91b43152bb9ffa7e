"""Values, defaults and fields as the author of a schema would type them, for messages and advice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshport.compat.forms import Form, form_of


def as_json(value: Any) -> str:
    """Return a value as JSON, as the author of a schema would type it."""
    return json.dumps(value, ensure_ascii=False)


def shown(value: Any) -> str:
    """Return a default as a message shows it, cut to 60 characters."""
    text = as_json(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def with_null(name: str, kind: Any) -> str:
    """Return a field whose type is widened by null, with the default null."""
    branches = kind if isinstance(kind, list) else [kind]
    union = ["null", *(each for each in branches if each != "null")]
    return as_json({"name": name, "type": union, "default": None})


def default_text(kind: Any, named: Mapping[str, Form]) -> str:
    """Return a default of a type as JSON: the emptiest value that the type has, a union's of its first branch."""
    return as_json(_default(kind, named, ()))


def _default(kind: Any, named: Mapping[str, Form], within: tuple[str, ...]) -> Any:
    form = form_of(kind, named)
    match form["type"]:
        case "union":
            return _default(form["branches"][0], named, within)
        case "null":
            return None
        case "string":
            return "00000000-0000-0000-0000-000000000000" if form.get("logicalType") == "uuid" else ""
        case "bytes":
            return "\0" if form.get("logicalType") == "decimal" else ""
        case "boolean":
            return False
        case "int" | "long":
            return 0
        case "float" | "double":
            return 0.0
        case "fixed":
            return "\0" * form["size"]
        case "enum":
            return form.get("default", form["symbols"][0])
        case "array":
            return []
        case "map":
            return {}
        case _ if form["name"] in within:  # a record that contains itself has no smallest value
            return None
        case _:
            inside = (*within, form["name"])
            return {
                field["name"]: field["default"] if "default" in field else _default(field["type"], named, inside)
                for field in form["fields"]
            }
