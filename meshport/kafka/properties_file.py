"""Java's format of `.properties` files: comments, escapes, continued lines.

Source: the documentation of `java.util.Properties.load`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from meshport.errors import KafkaConfigError

__all__ = ["PropertiesLine", "read_properties"]

_BLANK: Final = " \t\f"
_KEY: Final = re.compile(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_MALFORMED: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u(?![0-9A-Fa-f]{4})")
_LETTERS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class PropertiesLine(NamedTuple):
    """A property of a file.

    Attributes:
        number: of the first line, from 1.
        name: its name.
        value: its value, "" where there is none.
    """

    number: int
    name: str
    value: str

    def __repr__(self) -> str:
        return f"PropertiesLine({self.number}, {self.name!r}, ...)"  # the value may be a secret


def read_properties(text: str) -> Iterator[PropertiesLine]:
    r"""Yield the properties of a file, in order.

    A name ends at the first `=`, `:` or white space that has no backslash before it. A line whose last character is an
    odd backslash goes on in the next, whose white space at the beginning is left out. `\n`, `\t`, `\r`, `\f`, `\uXXXX`
    are what they are in Java; before any other character a backslash has no meaning.

    Raises:
        KafkaConfigError: four hexadecimal digits do not follow a `\u`.
    """
    for number, line in _logical_lines(text):
        found = _KEY.match(line)
        assert found is not None  # noqa: S101 - the expression matches an empty text too
        yield PropertiesLine(number, _unescaped(found[1], number), _unescaped(line[found.end() :], number))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    begun: tuple[int, str] | None = None
    for number, each in enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), 1):
        line = each.lstrip(_BLANK)
        if begun is None and (not line or line[0] in "#!"):
            continue
        first, before = begun or (number, "")
        if (len(line) - len(line.rstrip("\\"))) % 2:
            begun = first, before + line[:-1]
        else:
            begun = None
            yield first, before + line
    if begun is not None and begun[1]:
        yield begun


def _unescaped(text: str, number: int) -> str:
    if _MALFORMED.search(text):
        raise KafkaConfigError(
            rf"line {number} has a \u without four hexadecimal digits", hint=r"a backslash is written as \\"
        )
    found = _ESCAPE.sub(lambda each: chr(int(each[1], 16)) if each[1] else _LETTERS.get(each[2], each[2]), text)
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if "\\u" in text else found
