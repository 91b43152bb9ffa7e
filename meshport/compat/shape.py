"""Types of a schema with the attributes that Apache's resolution checker reads, and no others.

They are made from the canonical form, in which every name is full and every type is defined at its first use. Apache's own
parser takes ten times as long, does not accept `"type": "error"` as a record, and warns of logical types, which resolution
ignores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from meshport.schema.canonical import PRIMITIVES

_EMPTY: Final[Mapping[str, Any]] = {}


class TypeShape:
    """A type; equal only to itself, since the checker remembers pairs of types by identity."""

    __slots__ = (
        "fields",
        "fields_dict",
        "fullname",
        "items",
        "name",
        "props",
        "schemas",
        "size",
        "symbols",
        "type",
        "values",
    )

    def __init__(self, kind: str) -> None:
        self.type = kind
        self.name = ""
        self.fullname = kind
        self.props: Mapping[str, Any] = _EMPTY
        self.fields: tuple[FieldShape, ...] = ()
        self.fields_dict: dict[str, FieldShape] = {}
        self.symbols: tuple[str, ...] = ()
        self.size = 0
        self.schemas: tuple[TypeShape, ...] = ()
        self.items: TypeShape | None = None
        self.values: TypeShape | None = None

    @property
    def called(self) -> str:
        """The type in a message: `record "mesh.Play"`, `string`."""
        return f'{self.type} "{self.fullname}"' if self.name else self.type


class FieldShape:
    """A field of a record."""

    __slots__ = ("has_default", "name", "props", "type")

    def __init__(self, form: Mapping[str, Any], kind: TypeShape) -> None:
        self.name: str = form["name"]
        self.type = kind
        self.has_default = "default" in form
        self.props = form


# A shape takes about eight times the memory of its text. Of the large ones only those of the comparison at hand are kept.
_SMALL: Final = 8 * 1024


def shape_of(text: str) -> TypeShape:
    """Return the shape of a schema in canonical form."""
    return _small_shape(text) if len(text) <= _SMALL else _large_shape(text)


# The versions of a subject are compared with each candidate.
@lru_cache(maxsize=256)
def _small_shape(text: str) -> TypeShape:
    return _shape(json.loads(text), {})


@lru_cache(maxsize=4)
def _large_shape(text: str) -> TypeShape:
    return _shape(json.loads(text), {})


_PRIMITIVES: Final = {kind: TypeShape(kind) for kind in PRIMITIVES}


def _shape(form: Any, named: dict[str, TypeShape]) -> TypeShape:
    if isinstance(form, str):
        return _PRIMITIVES.get(form) or named[form]
    if isinstance(form, list):
        union = TypeShape("union")
        union.schemas = tuple(_shape(branch, named) for branch in form)
        return union
    kind = form["type"]
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    shape = TypeShape("record" if kind == "error" else kind)
    if kind == "array":
        shape.items = _shape(form["items"], named)
    elif kind == "map":
        shape.values = _shape(form["values"], named)
    else:
        shape.fullname = form["name"]
        shape.name = shape.fullname.rpartition(".")[2]
        shape.props = form
        named[shape.fullname] = shape
        shape.symbols = tuple(form["symbols"]) if kind == "enum" else ()
        shape.size = form["size"] if kind == "fixed" else 0
        shape.fields = tuple(FieldShape(each, _shape(each["type"], named)) for each in form.get("fields", ()))
        shape.fields_dict = {each.name: each for each in shape.fields}
    return shape
