"""Infers an Avro schema from a sample of rows: the narrowest types that every row fits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from meshport.address import Address
from meshport.errors import SchemaError
from meshport.files.ingest import Format, LineRefused, Row
from meshport.schema import Schema, parse_schema

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MOMENT: Final = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?")
_DAY: Final = re.compile(r"\d{4}[-/]\d\d[-/]\d\d")
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# A column of text that begins with a zero (a postcode, a phone number) is no number, though it has digits only.
_CODE: Final = re.compile(r"[+-]?0\d+")
_LONG: Final = 2**63

MOMENT: Final = {"type": "long", "logicalType": "timestamp-millis"}
DAY: Final = {"type": "int", "logicalType": "date"}


def _fits(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def record_name(address: Address) -> tuple[str, str]:
    """Return (name, namespace) of a product's record: RevenueByCustomer, shop for `mesh://shop/revenue-by-customer`."""
    return "".join(word.capitalize() for word in address.product.split("-")), address.domain.replace("-", "_")


def infer_schema(address: Address, rows: Iterable[Row | LineRefused], form: Format) -> Schema:
    """Infer the schema of a file's rows.

    Whole numbers become long (in CSV, text of digits too), or double where fractions are among them. Text that is a time in
    every row becomes timestamp-millis, a day date. A column that is empty or absent in some row is nullable with default
    null.

    Args:
        address: the product's, which names the record.
        rows: the sample.
        form: the file's format.

    Raises:
        SchemaError: there is no row, a line is no record, a column's name is no Avro name, or its values share no type.
    """
    columns: dict[str, list[Any]] = {}
    count = 0
    for row in rows:
        if isinstance(row, LineRefused):
            raise SchemaError(f"the sample's {row.message}")
        for name, value in row.values.items():
            # A column that first occurs in a later row was absent before, which counts as null.
            columns.setdefault(name, [None] if count else []).append(value)
        for name in columns.keys() - row.values.keys():
            columns[name].append(None)
        count += 1
    if not count:
        raise SchemaError("the sample has no row", hint="a schema is read off at least one")
    name, namespace = record_name(address)
    fields = _Inference(form).fields(columns, name)
    record = {"type": "record", "name": name, "namespace": namespace, "fields": fields}
    return parse_schema(json.dumps(record), source="the inferred schema")


class _Inference:
    def __init__(self, form: Format) -> None:
        self._form = form

    def fields(self, columns: Mapping[str, list[Any]], path: str) -> list[dict[str, Any]]:
        fields: list[dict[str, Any]] = []
        for name, values in columns.items():
            if not _NAME.fullmatch(name):
                raise SchemaError(
                    f"the column {name!r} is no Avro name", hint="letters, digits and _; rename it in the file"
                )
            kind = self._type(values, f"{path}.{name}")
            if any(value is None for value in values):
                fields.append({"name": name, "type": ["null", kind] if kind != "null" else "null", "default": None})
            else:
                fields.append({"name": name, "type": kind})
        return fields

    def _type(self, values: list[Any], path: str) -> Any:
        kinds = [self._kind(value) for value in values if value is not None]
        found = {kind if isinstance(kind, str) else str(kind["logicalType"]) for kind in kinds}
        if not found:
            return "string"
        if len(found) == 1:
            return self._nested(kinds[0], values, path)
        if found == {"long", "double"}:
            return "double"
        if found <= {"string", "long", "double", "boolean", "date", "timestamp-millis"} and all(
            isinstance(value, str) for value in values if value is not None
        ):
            return "string"
        raise SchemaError(
            f"{path} holds {' and '.join(sorted(found))}, which share no type", hint="write this schema by hand"
        )

    def _nested(self, kind: Any, values: list[Any], path: str) -> Any:
        if kind == "array":
            items = [item for value in values if value is not None for item in value]
            of_items = self._type(items, path)
            return {"type": "array", "items": ["null", of_items] if None in items else of_items}
        if kind == "record":
            columns: dict[str, list[Any]] = {}
            rows = [value for value in values if value is not None]
            for name in dict.fromkeys(name for row in rows for name in row):
                columns[name] = [row.get(name) for row in rows]
            name = "".join(part.capitalize() for part in re.split(r"[._]", path))
            return {"type": "record", "name": name, "fields": self.fields(columns, path)}
        return kind

    def _kind(self, value: Any) -> Any:
        match value:
            case bool():
                return "boolean"
            case int():
                return "long" if -_LONG <= value < _LONG else "string"
            case str():
                return self._text_kind(value)
            case list():
                return "array"
            case dict():
                return "record"
            case _:
                return "double"

    def _text_kind(self, text: str) -> Any:
        text = text.strip()
        # 2001-02-30 has the form of a day and is text; a row with it has to fit its field.
        if _MOMENT.fullmatch(text) and _fits(datetime.fromisoformat, text.replace("/", "-")):
            return MOMENT
        if _DAY.fullmatch(text) and _fits(date.fromisoformat, text.replace("/", "-")):
            return DAY
        if self._form is not Format.CSV:
            return "string"
        if _CODE.fullmatch(text):
            return "string"
        if _WHOLE.fullmatch(text):
            # Longer ones are identifiers; a double would lose their last digits.
            return "long" if len(text) <= 20 and -_LONG <= int(text) < _LONG else "string"
        if _NUMBER.fullmatch(text):
            return "double"
        return "boolean" if text.lower() in {"true", "false"} else "string"
