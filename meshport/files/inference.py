"""Infers an Avro schema from a sample of rows: the narrowest types that every row fits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from meshport.address import Address
from meshport.codec.text import loses_digits, parse_number
from meshport.errors import SchemaError
from meshport.files.columns import new_names, rename_options
from meshport.files.ingest import Format, LineRefused, Row, said
from meshport.files.sampled import Sampled, SampledColumn
from meshport.rfc3339 import day, loose_instant
from meshport.schema import Schema, parse_schema
from meshport.schema.names import is_plain_name

_MOMENT: Final = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DAY: Final = re.compile(r"\d{4}[-/]\d\d[-/]\d\d", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
# A column of text that begins with a zero (a postcode, a phone number) is no number, though it has digits only.
_CODE: Final = re.compile(r"[+-]?0\d+", re.ASCII)
_LONG: Final = 2**63
_MILLIS: Final = len(".123")

MOMENT: Final = {"type": "long", "logicalType": "timestamp-millis"}
EXACT_MOMENT: Final = {"type": "long", "logicalType": "timestamp-micros"}
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


@dataclass(frozen=True)
class Inferred:
    """A schema inferred from a sample.

    Attributes:
        schema: every row of the sample fits it.
        notes: what the sample's author may not expect, each one line.
    """

    schema: Schema
    notes: tuple[str, ...]


def infer_schema(address: Address, rows: Iterable[Row | LineRefused], form: Format) -> Inferred:
    """Infer the schema of a file's rows.

    Whole numbers become long (in CSV, text of digits too), or double where fractions are among them. Numbers of which
    neither holds all digits become text. Text that is a time in every row becomes timestamp-millis, or timestamp-micros
    where one has more digits, a day date. Objects become records. A column that is empty or absent in some row is
    nullable with default null.

    Args:
        address: the product's, which names the record.
        rows: the sample.
        form: the file's format.

    Raises:
        SchemaError: there is no row, a line is no record, names of columns are no Avro names, or values of one column
            share no type. All such columns are named.
    """
    columns: dict[str, list[Sampled]] = {}
    lines: list[int] = []
    for row in rows:
        if isinstance(row, LineRefused):
            raise SchemaError(f"the sample's {row.message}", hint=row.hint)
        for name, value in row.values.items():
            # A column that first occurs in a later row was absent before, which counts as null.
            columns.setdefault(name, [(lines[0], None)] if lines else []).append((row.line, value))
        for name in columns.keys() - row.values.keys():
            columns[name].append((row.line, None))
        lines.append(row.line)
    if not lines:
        raise SchemaError("the sample has no row", hint="a schema is read off at least one")
    name, namespace = record_name(address)
    inference = _Inference(form, name)
    record = {"type": "record", "name": name, "namespace": namespace, "fields": inference.fields(columns, "")}
    inference.refuse()
    return Inferred(parse_schema(json.dumps(record), source="the inferred schema"), tuple(inference.notes))


class _Inference:
    """Infers the types of columns, and collects what is wrong with them, so that all of it is reported at once."""

    def __init__(self, form: Format, name: str) -> None:
        self._form = form
        self._record_names = {name}
        self._root = name
        self._names: dict[str, None] = {}
        self._wrong: list[tuple[str, str | None]] = []
        self.notes: list[str] = []

    def refuse(self) -> None:
        """Raise an error that names all columns that have no Avro name, or else no type."""
        wrong = [name for name in self._names if not is_plain_name(name)]
        if wrong:
            renamed = new_names(wrong, [name for name in self._names if is_plain_name(name)])
            named = ", ".join(map(repr, wrong))
            raise SchemaError(
                f"the column {named} is no Avro name" if len(wrong) == 1 else f"the columns {named} are no Avro names",
                hint=f"letters, digits and _ make a name: `{rename_options(renamed)}`",
            )
        if self._wrong:
            hints = list(dict.fromkeys(hint for _, hint in self._wrong if hint))
            by_hand = "else write this schema by hand" if hints else "write this schema by hand"
            raise SchemaError("; ".join(message for message, _ in self._wrong), hint="; ".join([*hints, by_hand]))

    def fields(self, columns: Mapping[str, list[Sampled]], path: str) -> list[dict[str, Any]]:
        fields: list[dict[str, Any]] = []
        for name, values in columns.items():
            self._names[name] = None
            kind = self._type(values, f"{path}.{name}" if path else name)
            if any(value is None for _, value in values):
                fields.append({"name": name, "type": ["null", kind], "default": None})
            else:
                fields.append({"name": name, "type": kind})
        return fields

    def _type(self, values: list[Sampled], path: str) -> Any:
        present = [each for each in values if each[1] is not None]
        kinds = [self._kind(value) for _, value in present]
        column, found = SampledColumn(path, present, kinds), set(kinds)
        if not found:
            if values:
                self.notes.append(f"{path} is empty in every row of the sample: nullable text")
            return "string"
        if found == {"array"}:
            items = [(line, item) for line, value in present for item in value]
            of_items = self._type(items, path)
            return {
                "type": "array",
                "items": ["null", of_items] if any(item is None for _, item in items) else of_items,
            }
        if found == {"record"}:
            return self._record(present, path)
        if found == {"date"}:
            return DAY
        if found <= {"timestamp-millis", "timestamp-micros"}:
            return EXACT_MOMENT if "timestamp-micros" in found else MOMENT
        if found in ({"boolean"}, {"long"}):
            return kinds[0]
        if found <= {"long", "double"}:
            rounded = next((each for each in present if _loses_digits(each[1])), None)
            if rounded is None:
                return "double"
            self.notes.append(
                f"{path} is text: a double, which its fractions need, would not hold all digits of {rounded[1]} "
                f"(line {rounded[0]})"
            )
            return "string"
        if found <= {"long", "double", "beyond"} or all(isinstance(value, str) for _, value in present):
            if note := column.why_text():
                self.notes.append(note)
            return "string"
        self._wrong.append((_no_type(column, path, found), column.na_options()))
        return "string"

    def _record(self, values: list[Sampled], path: str) -> Any:
        columns: dict[str, list[Sampled]] = {}
        for name in dict.fromkeys(name for _, value in values for name in value):
            columns[name] = [(line, value.get(name)) for line, value in values]
        name = self._root + "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]", path))
        unique, count = name, 1
        while unique in self._record_names:
            count += 1
            unique = f"{name}{count}"
        self._record_names.add(unique)
        return {"type": "record", "name": unique, "fields": self.fields(columns, path)}

    def _kind(self, value: Any) -> str:
        match value:
            case bool():
                return "boolean"
            case int():
                return "long" if -_LONG <= value < _LONG else "beyond"
            case str():
                return self._text_kind(value.strip())
            case list():
                return "array"
            case dict():
                return "record"
            case _:
                return "double" if math.isfinite(float(value)) else "beyond"

    def _text_kind(self, text: str) -> str:
        # 2001-02-30 has the form of a day and is text; a row with it has to fit its field.
        if (moment := _MOMENT.fullmatch(text)) and _fits(loose_instant, text):
            return "timestamp-micros" if len(moment[2] or "") > _MILLIS else "timestamp-millis"
        if _DAY.fullmatch(text) and _fits(day, text.replace("/", "-")):
            return "date"
        if self._form is not Format.CSV or _CODE.fullmatch(text):
            return "string"
        if text.lower() in {"true", "false"}:
            return "boolean"
        if not _fits(parse_number, text):
            return "string"
        number = parse_number(text)
        if _WHOLE.fullmatch(text):
            return "long" if -_LONG <= number < _LONG else "beyond"
        return "double" if math.isfinite(float(number)) else "beyond"


def _loses_digits(value: Any) -> bool:
    number = parse_number(value.strip()) if isinstance(value, str) else value
    return loses_digits(Decimal(str(number)), float(number))


def _no_type(column: SampledColumn, path: str, found: set[str]) -> str:
    named = " and ".join(
        f"{kind} ({said(value)}, line {line})" for kind in sorted(found) for line, value in [column.of_kind(kind)]
    )
    return f"{path} holds {named}, which share no type"
