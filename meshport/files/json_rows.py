"""Reads rows of JSON: one object a line, or one array of objects, which is read as it comes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from meshport.errors import FileError
from meshport.files.ingest import STRICT_JSON, LineRefused, Reading, Row, parse_json, refuse_surrogates, said
from meshport.files.numbered import NumberedText, line_breaks

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_CHUNK: Final = 1 << 16
# JSON that ends within a literal, a number or an escape is an error at most so many characters before its end.
_LITERAL: Final = 16
# Finds the end of an object that the strict decoder refuses for what it says.
_LENIENT: Final = json.JSONDecoder(parse_int=str, parse_float=str)


class JsonRows:
    """The rows of a JSON file: it holds one array if it begins with `[`, else an object in each line.

    Args:
        text: the file's.
        reading: how it is read.

    Attributes:
        is_array: whether it is one array.
    """

    def __init__(self, text: NumberedText, reading: Reading) -> None:
        self._text = text
        self._reading = reading
        self._unused = set(reading.rename)
        self.is_array = text.first_character() == "["

    @property
    def unused_names(self) -> list[str]:
        """The columns of `rename` that no row had so far."""
        return [name for name in self._reading.rename if name in self._unused]

    def check(self) -> None:
        """Read the file to its end: an array is parsed, lines are decoded, since each is judged by itself.

        Raises:
            FileError: it cannot be read.
        """
        if self.is_array:
            for _ in self:
                pass
            return
        rows = iter(self)
        next(rows, None)
        while self._text.line():
            pass

    def __iter__(self) -> Iterator[Row | LineRefused]:
        """Yield the rows, and for a value that is no record the error, so that the caller can continue.

        Raises:
            FileError: from here on the file cannot be read.
        """
        for line, value in self._array() if self.is_array else self._lines():
            if isinstance(value, LineRefused):
                yield value
            elif not isinstance(value, dict):
                yield LineRefused(line, f"holds {said(value)}, not an object", hint='{"column": value, ...}')
            elif not self._reading.rename and not self._reading.na:
                yield Row(line, value)
            else:
                try:
                    yield Row(line, self._translated(value))
                except ValueError as error:
                    yield LineRefused(line, str(error))

    def _lines(self) -> Iterator[tuple[int, Any]]:
        text, begun = self._text, False
        while line := text.line():
            if not line.strip(" \t\r\n"):
                continue
            number = text.lines
            value: Any
            try:
                value = parse_json(line)
            except (ValueError, RecursionError) as error:
                if not begun:
                    self._refuse_spread(line, error)
                value = LineRefused(number, f"is no JSON: {_reason(error)}")
            begun = True
            yield number, value

    def _refuse_spread(self, line: str, error: Exception) -> None:
        """Refuse a file whose first object goes on in the next line."""
        ended = line.rstrip(" \t\r\n")
        if not isinstance(error, json.JSONDecodeError) or error.pos < len(ended) or not ended.startswith("{"):
            return
        number, following = self._text.lines, self._text.line()
        self._text.unread(following)
        if following and not following.lstrip(" \t").startswith("{"):
            raise self._text.refused(
                "an object begins here and goes on in the next line; one object a line is wanted, or one array",
                line=number,
                hint="`jq -c . FILE` writes each object on one line",
            )

    def _array(self) -> Iterator[tuple[int, Any]]:
        buffer = _Buffer(self._text)
        buffer.next_character()
        buffer.at += 1
        character = buffer.next_character()
        while character != "]":
            yield buffer.line, buffer.element()
            character = buffer.next_character()
            if character == ",":
                buffer.at += 1
                if (character := buffer.next_character()) == "]":
                    raise buffer.refused("is no JSON: a comma ends the array")
            elif not character:
                raise buffer.cut_off()
            elif character != "]":
                raise buffer.refused("neither , nor ] follows the element of the array")
        buffer.at += 1
        if buffer.next_character():
            raise buffer.refused(
                "more follows after the end of the array", hint="one array, or one object a line; not both"
            )

    def _translated(self, value: Any) -> Any:
        match value:
            case dict():
                renamed: dict[str, Any] = {}
                for name, each in value.items():
                    self._unused.discard(name)
                    new = self._reading.rename.get(name, name)
                    if new in renamed:
                        raise ValueError(f"has {new!r} twice after {name!r} was renamed")
                    renamed[new] = self._translated(each)
                return renamed
            case list():
                return [self._translated(each) for each in value]
            case str() if value in self._reading.na:
                return None
        return value


class _Buffer:
    """The part of an array that is read and not yet parsed.

    Attributes:
        at: the index of the next character.
        line: its line.
    """

    def __init__(self, text: NumberedText) -> None:
        self._text = text
        self._rest = ""
        self._ended = False
        self._counted = 0  # the index up to which `line` counts
        self.at = 0
        self.line = 1

    def refused(self, message: str, *, hint: str | None = None) -> FileError:
        """Return the error for the file at the next character."""
        return self._text.refused(message, line=self.line, hint=hint)

    def next_character(self) -> str:
        """Pass over white space, and return the character after it; "" at the file's end."""
        while True:
            found = _SPACE.match(self._rest, self.at)
            end = found.end() if found else self.at
            if end < len(self._rest) or self._ended:
                break
            self._more()
        self.line += line_breaks(self._rest[self._counted : end])
        self._counted = self.at = end
        return self._rest[end : end + 1]

    def element(self) -> Any:
        """Parse the next value; for one that is JSON but no value of ours, return the error.

        Raises:
            FileError: it is no JSON, or the file ends within it.
        """
        if self.at >= len(self._rest):
            raise self.cut_off()
        decoder, refusal = STRICT_JSON, ""
        while True:
            try:
                value, end = decoder.raw_decode(self._rest, self.at)
                if not refusal:
                    refuse_surrogates(value, self._rest[self.at : end])
            except json.JSONDecodeError as error:
                # An error close to the end of what is read may only mean that the rest is not here yet.
                open_text = error.msg.startswith("Unterminated string")
                if not self._ended and (open_text or error.pos >= len(self._rest) - _LITERAL):
                    self._more()
                    continue
                if open_text or error.pos >= len(self._rest.rstrip(" \t\r\n")):
                    raise self.cut_off() from error
                self.line += line_breaks(self._rest[self.at : error.pos])
                raise self.refused(f"is no JSON: {_reason(error)}") from error
            except RecursionError as error:
                raise self.refused(f"is no JSON: {_reason(error)}") from error
            except ValueError as error:
                decoder, refusal = _LENIENT, str(error)
                continue
            if end == len(self._rest) and not self._ended:
                self._more()  # a number may go on
                continue
            self.at = end
            return LineRefused(self.line, f"is no JSON: {refusal}") if refusal else value

    def cut_off(self) -> FileError:
        """Return the error for a file that ends within its array."""
        return self.refused("the file ends within its array; is it cut off?", hint="get the whole file again")

    def _more(self) -> None:
        self.line += line_breaks(self._rest[self._counted : self.at])
        chunk = self._text.chunk(max(_CHUNK, len(self._rest) - self.at))
        self._rest = self._rest[self.at :] + chunk
        self.at = self._counted = 0
        self._ended = not chunk


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (column {error.colno})"
    return "it nests too deep" if isinstance(error, RecursionError) else str(error)
