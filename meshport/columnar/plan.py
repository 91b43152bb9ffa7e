"""A schema as kinds of columns, or the reason why columns do not support it.

The native library needs every use of a named type spelled out, so the number of types and their depth are bounded after that
expansion: 2 kB of types that double each other ended the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from meshport.codec.layout import Layout
from meshport.codec.logical import kind_of
from meshport.columnar.decimals import MAX_DIGITS, BytesDecimal, FixedDecimal
from meshport.columnar.kinds import COUNTED, PLAIN, Bytes, Counted, Enum, Fixed, Int, Kind, Text, Uuid
from meshport.columnar.nested import Array, Map, Record, Slot
from meshport.schema import Schema
from meshport.schema.names import is_plain_name

# Number of types after expansion, and their nesting.
MAX_NODES: Final = 2_000
MAX_NESTING: Final = 24
# Bytes of columns for each byte of an array item on the wire: 200 kB of nulls took 1.7 GB where an item is a nullable
# record of a thousand fields.
MAX_COST_PER_BYTE: Final = 64
# Bytes of columns for a row apart from its content, such as a null in place of a record with many fields: 20,000 rows take
# at most 160 MB.
MAX_ROW_COST: Final = 8 * 1024
# A fixed is read as doubles, with one column for each.
MAX_FIXED: Final = 256


class Unsupported(ValueError):  # noqa: N818 - a verdict, not an error; its message is the reason that `supports` returns
    """Raised for a schema that columns do not support."""


@lru_cache(maxsize=256)
def plan(schema: Schema) -> Record:
    """Return the kinds of columns of a record's schema.

    Raises:
        Unsupported: the schema has a type that columns cannot hold, or cannot hold safely.
        SchemaError: a record contains itself without a union, array or map in between.
    """
    return _Plan(schema).root()


@lru_cache(maxsize=256)
def arrow_schema(schema: Schema) -> Any:
    """Return the Arrow schema of a record's schema; the package's documentation has the table of types.

    Raises:
        Unsupported: as `plan`.
    """
    return pa.schema(plan(schema).fields)


@lru_cache(maxsize=256)
def values_of_fields(schema: Schema) -> Mapping[str, Callable[[Any], Any]]:
    """Return, for each field of a record, the function that converts its value for `pyarrow.array`.

    Raises:
        Unsupported: as `plan`.
    """
    root = plan(schema)
    return {name: slot.value for name, slot in zip(root.names, root.slots, strict=True)}


class _Plan:
    def __init__(self, schema: Schema) -> None:
        self._layout = Layout(schema)
        self._nodes = 0

    def root(self) -> Record:
        form = self._layout.form
        kind = self._kind(form, "", ()) if kind_of(form) in {"record", "error"} else None
        if not isinstance(kind, Record):
            raise Unsupported("it is no record")
        if kind.cost > max(MAX_ROW_COST, MAX_COST_PER_BYTE * kind.least):
            raise Unsupported(f"a row may take {kind.cost} bytes of memory for {kind.least} of a payload")
        return kind

    def _slot(self, form: Any, path: str, within: tuple[str, ...]) -> Slot:
        if not isinstance(form, list):
            kind = self._kind(form, path, within)
            return Slot(kind, nullable=False, wire=kind.wire)
        if len(form) != 2 or "null" not in form:
            raise Unsupported(f"{path!r} is a union of other than null and one type")
        kind = self._kind(form[1 - form.index("null")], path, within)
        return Slot(kind, nullable=True, wire=["null" if each == "null" else kind.wire for each in form])

    def _kind(self, form: Any, path: str, within: tuple[str, ...]) -> Kind:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Unsupported(f"it has more than {MAX_NODES} types, names followed")
        # Arrays and maps are entries of `within` too, as "".
        if len(within) > MAX_NESTING:
            raise Unsupported(f"{path!r} nests more than {MAX_NESTING} types in one another")
        form = self._layout.definition(form)
        kind, name = kind_of(form), f"T{self._nodes}"
        match kind:
            case "record" | "error":
                return self._record(form, path, within, name)
            case "array":
                return Array(self._item(form["items"], f"{path}[]", within, 0))
            case "map":
                return Map(self._item(form["values"], f"{path}{{}}", within, 1))
            case "enum" if not all(map(is_plain_name, form["symbols"])):
                raise Unsupported(f"{path!r} has a symbol of other characters than ASCII letters, digits and _")
            case "enum":
                return Enum(form, name)
            case "int":
                return Int()
            case "bytes":
                return Bytes()
            case "string":
                return Text()
            case "string-uuid":
                return Uuid()
            case "bytes-decimal" | "fixed-decimal" if form["precision"] > MAX_DIGITS:
                raise Unsupported(f"{path!r} is a decimal of more than {MAX_DIGITS} digits")
            case "bytes-decimal":
                return BytesDecimal(form)
            case "fixed" | "fixed-decimal":
                return self._fixed(form, kind, path, name)
            case "null":
                raise Unsupported(f"{path!r} is null and nothing else")
        if kind in COUNTED:
            return Counted(*COUNTED[kind])
        arrow, least = PLAIN[kind]
        return Kind(kind, arrow, least=least)

    def _record(self, form: Any, path: str, within: tuple[str, ...], name: str) -> Record:
        if form["name"] in within:
            raise Unsupported(f"the record {form['name']!r} holds itself")
        if not form["fields"]:
            raise Unsupported(f"the record {form['name']!r} has no fields")
        inner = (*within, form["name"])
        fields = [
            (str(field["name"]), self._slot(field["type"], f"{path}.{field['name']}".lstrip("."), inner))
            for field in form["fields"]
        ]
        return Record(fields, name)

    def _item(self, form: Any, path: str, within: tuple[str, ...], key: int) -> Slot:
        slot = self._slot(form, path, (*within, ""))
        if slot.kind.cost > MAX_COST_PER_BYTE * (slot.least + key):
            raise Unsupported(f"{path!r} may take more than {MAX_COST_PER_BYTE} bytes of memory for one of a payload")
        return slot

    def _fixed(self, form: Any, kind: str, path: str, name: str) -> Kind:
        size = form["size"]
        if not size or size % 4 or size > MAX_FIXED:
            raise Unsupported(f"{path!r} is a fixed of {size} bytes: only multiples of 4 up to {MAX_FIXED} are read")
        self._nodes += size // 8
        return Fixed(size, name) if kind == "fixed" else FixedDecimal(form, name)
