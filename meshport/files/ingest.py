"""Rows of files, and how a file is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from meshport.errors import MeshError

_SHOWN: Final = 60


class Format(StrEnum):
    """The format of a file of records."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file of records is read.

    Attributes:
        form: JSON, as lines or as one array, or CSV.
        encoding: the name of the text's encoding; by default what its byte order mark says, else UTF-8.
        delimiter: what separates the columns of a CSV file; by default what a first line `sep=;` says, else a comma.
        rename: new names by old ones, of columns; of names in nested records too.
        na: texts that stand for null.
    """

    form: Format = Format.JSONL
    encoding: str | None = None
    delimiter: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    na: frozenset[str] = frozenset()


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


def said(value: Any) -> str:
    """Return a value as an error message shows it: JSON, shortened where it is long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def parse_json(text: str) -> Any:
    """Parse JSON strictly, as RFC 8259 has it; fractions are kept as they are written.

    Raises:
        ValueError: the text is no JSON, names something twice in one object, or holds NaN, Infinity or half of a
            surrogate pair.
        RecursionError: it nests too deep.
    """
    value = STRICT_JSON.decode(text)
    refuse_surrogates(value, text)
    return value


def refuse_surrogates(value: Any, text: str) -> None:
    r"""Refuse JSON whose text has an escape (`\ud83d`) of one half of a surrogate pair, which is no character.

    Raises:
        ValueError: it has one.
    """
    if "\\ud" not in text and "\\uD" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"{half} is half of a surrogate pair, which no text holds") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is named twice")
    return found


def _float(text: str) -> float | Decimal:
    # A value for a decimal field must not pass through binary floating point; fields of doubles convert it back.
    value = float(text)
    return value if repr(value) == text else Decimal(text)


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON; a missing value is null")


STRICT_JSON: Final = json.JSONDecoder(parse_float=_float, parse_constant=_constant, object_pairs_hook=_object)
"""The decoder of `parse_json`."""
