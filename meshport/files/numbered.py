"""The text of a file, with the numbers of its lines."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from typing import Final, TextIO

from meshport.errors import FileError

_BREAK: Final = re.compile(r"\r\n|\r|\n")
# A byte that the encoding does not have comes as one of these, by the error handler "surrogateescape".
_UNDECODED: Final = re.compile("[\udc80-\udcff]")


def line_breaks(text: str) -> int:
    r"""Return how many lines end in a text: with \n, \r\n or \r; U+2028 and its like end none."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


class NumberedText:
    """The text of a file, read by lines or by chunks.

    Args:
        stream: the text, opened with `newline=""` and `errors="surrogateescape"`.
        name: the file's name in errors.
        encoding: the encoding's name in errors.
    """

    def __init__(self, stream: TextIO, name: str = "", encoding: str = "UTF-8") -> None:
        self._stream = stream
        self._name = name
        self._encoding = encoding
        self._held = ""
        self.lines = 0
        """How many lines were read."""

    def refused(self, message: str, *, line: int | None = None, hint: str | None = None) -> FileError:
        """Return the error for the whole file."""
        return FileError(message, file=self._name, line=line, hint=hint)

    def first_character(self) -> str:
        """Return the first character that is no white space of JSON, "" if there is none; nothing is consumed."""
        held = self._held
        while not held.strip(" \t\r\n"):
            character = self._read(lambda: self._stream.read(1))
            if not character:
                break
            held += character
        self._held = held
        return held.strip(" \t\r\n")[:1]

    def line(self) -> str:
        """Return the next line with its end, "" after the last one.

        Raises:
            FileError: the line cannot be decoded or decompressed.
        """
        if not self._held:
            line = self._read(self._stream.readline)
        elif found := _BREAK.search(self._held):
            line, self._held = self._held[: found.end()], self._held[found.end() :]
        else:
            line, self._held = self._held + self._read(self._stream.readline), ""
        if line:
            self.lines += 1
        return line

    def unread(self, line: str) -> None:
        """Put the line that was read last back before the rest."""
        self._held = line + self._held
        self.lines -= bool(line)

    def chunk(self, size: int) -> str:
        """Return the next characters, at least one of them; "" at the end. Their lines are not counted in `lines`."""
        if self._held:
            held, self._held = self._held, ""
            return held
        return self._read(lambda: self._stream.read(size))

    def _read(self, read: Callable[[], str]) -> str:
        try:
            text = read()
        except UnicodeDecodeError as error:  # UTF-16 and UTF-32, which have no bytes to escape
            raise self.refused(f"it is not {self._encoding}: {error.reason}", line=self.lines + 1) from error
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise self.refused(
                f"its gzip data is damaged or cut off: {error}", hint="`gzip -t` names a damaged file; get it again"
            ) from error
        except OSError as error:
            raise self.refused(f"it cannot be read: {error.strerror}") from error
        if not text.isascii() and (found := _UNDECODED.search(text)):
            byte = ord(found[0]) - 0xDC00
            raise self.refused(
                f"the byte 0x{byte:02x} is not {self._encoding}",
                line=self.lines + 1 + line_breaks(text[: found.start()]),
                hint="name the encoding: `--encoding windows-1252` reads what Excel and older programs for Windows write",
            )
        return text
