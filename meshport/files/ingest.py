"""Reads rows of JSON lines and CSV files, with their line numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TextIO

from meshport.errors import MeshError

_SHOWN: Final = 60


class Format(StrEnum):
    """The format of a file of records."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file.

    Attributes:
        line: the line at which it begins, counted from 1.
        values: values by column; text only, where the file is CSV.
    """

    line: int
    values: Mapping[str, Any]


class LineRefused(MeshError, ValueError):  # noqa: N818 - names a verdict
    """Yielded for a line of a file that is no record.

    Attributes:
        line: the line's number, counted from 1.
    """

    def __init__(self, line: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"line {line}: {message}", hint=hint)
        self.line = line


def read_rows(stream: TextIO, form: Format) -> Iterator[Row | LineRefused]:
    """Yield the rows of a file; for a line that is no record, the error, so that the caller can continue.

    CSV has a header line, and an empty cell is null. Empty lines of JSON lines are skipped.
    """
    yield from _csv(stream) if form is Format.CSV else _jsonl(stream)


def _jsonl(stream: TextIO) -> Iterator[Row | LineRefused]:
    for number, line in _lines(stream):
        if isinstance(line, LineRefused):
            yield line
            return
        if not line.strip():
            continue
        try:
            values = json.loads(line, **STRICT_JSON)
        except (ValueError, RecursionError) as error:
            yield LineRefused(number, f"is no JSON: {error}")
            continue
        if isinstance(values, dict):
            yield Row(number, values)
        else:
            yield LineRefused(number, f"holds {said(values)}, not an object", hint='{"column": value, ...}')


def _lines(stream: TextIO) -> Iterator[tuple[int, str | LineRefused]]:
    """Yield numbered lines, up to the first text that is no UTF-8: line breaks after it cannot be found."""
    number = 0
    while True:
        number += 1
        try:
            line = next(stream, None)
        except UnicodeDecodeError as error:
            yield number, LineRefused(number, f"or one soon after is no UTF-8: {error.reason}", hint="convert the file")
            return
        if line is None:
            return
        yield number, line


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is named twice")
    return found


def said(value: Any) -> str:
    """Return a value as an error message shows it: JSON, shortened where it is long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _float(text: str) -> float | Decimal:
    # A value for a decimal field must not pass through binary floating point; fields of doubles convert it back.
    value = float(text)
    return value if repr(value) == text else Decimal(text)


def _csv(stream: TextIO) -> Iterator[Row | LineRefused]:
    refused: list[LineRefused] = []

    def text() -> Iterator[str]:
        for _, line in _lines(stream):
            if isinstance(line, LineRefused):
                refused.append(line)
                return
            yield line

    reader = csv.reader(text(), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # The reader continues with the next line, and so can the caller.
            yield LineRefused(line, f"is no CSV: {error}")
            if header is None:
                return
            continue
        if cells is None:
            yield from refused
            return
        if not cells:
            continue
        if header is None:
            header = cells
            if twice := next((name for name in header if header.count(name) > 1), None):
                yield LineRefused(line, f"names the column {twice!r} twice", hint="each column maps to one field")
                return
        elif len(cells) != len(header):
            yield LineRefused(line, f"has {len(cells)} cells, the header {len(header)}")
        else:
            yield Row(line, {name: cell if cell != "" else None for name, cell in zip(header, cells, strict=True)})


STRICT_JSON: Final[dict[str, Any]] = {"parse_float": _float, "object_pairs_hook": _object}
"""Arguments of `json.loads`: fractions are kept as they are written, and a name that occurs twice is refused."""
