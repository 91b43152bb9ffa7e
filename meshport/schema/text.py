"""The text of a schema as people write it: JSON, and what Java's library reads beyond JSON.

Apache's Java parser has comments turned on (Jackson's ALLOW_COMMENTS), so schema files begin with a licence in `/* */`, and
editors on Windows put a byte order mark first. Spaces take their place, so that lines and columns stay.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

# What is no comment, strings included, is the first group. Each part ends with the text at the latest and is never entered
# again, which keeps the time linear.
_PIECES: Final = re.compile(
    r"""((?:"(?:[^"\\]++|\\.)*+"?|[^"/]++|/(?![/*]))++)|//[^\r\n]*|/\*(?:.*?\*/|.*)""", re.DOTALL
)
_NOT_A_LINE_END: Final = re.compile(r"[^\r\n]")
_MARK: Final = "\ufeff"


def read_json(text: str) -> tuple[Any, bool]:
    """Return the data of a JSON text, and whether every parser reads the text, and reads it alike.

    Not every parser reads comments and a byte order mark, and parsers differ about an object that repeats a key.

    Raises:
        ValueError: the text is no JSON.
        OverflowError: it has a number that no double holds.
        RecursionError: it nests too deep.
    """
    plain = not text.startswith(_MARK)

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal plain
        found = dict(pairs)
        plain = plain and len(found) == len(pairs)
        return found

    def read(source: str) -> Any:
        return json.loads(source, object_pairs_hook=read_object, parse_float=_finite, parse_constant=_no_number)

    if not plain:
        text = " " + text[1:]
    try:
        return read(text), plain
    except json.JSONDecodeError:
        bare = bare_json(text)
        if bare == text:
            raise
        return read(bare), False


def is_plain_json(text: str) -> bool:
    """Whether a text is JSON that every parser reads, and reads alike; see `read_json`."""
    try:
        return read_json(text)[1]
    except (ValueError, OverflowError, RecursionError):
        return False


def bare_json(text: str) -> str:
    """Return a text with spaces in place of its comments and a byte order mark, so that it has the same lines and columns.

    Raises:
        ValueError: a comment does not end.
    """

    def blank(match: re.Match[str]) -> str:
        piece = match[0]
        if match[1]:
            return piece
        if piece.startswith("/*") and (len(piece) < 4 or not piece.endswith("*/")):
            line = text.count("\n", 0, match.start()) + 1
            raise ValueError(f"the comment that begins in line {line} does not end")
        return _NOT_A_LINE_END.sub(" ", piece)

    return _PIECES.sub(blank, " " + text[1:] if text.startswith(_MARK) else text)


def _finite(text: str) -> float:
    """Return a number of a schema. What Python reads as infinite cannot be written as JSON again."""
    number = float(text)
    if not math.isfinite(number):
        raise OverflowError(f"the number {text[:40]}, beyond those that a double holds")
    return number


def _no_number(text: str) -> float:
    """Refuse NaN, Infinity and -Infinity, which Python's parser takes and JSON does not have (RFC 8259, section 6)."""
    raise ValueError(f'{text} is no number of JSON; as the default of a float or double it is the text "{text}"')
