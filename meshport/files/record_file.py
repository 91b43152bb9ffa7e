"""A file of records, opened: its compression, encoding and form are found out before the first row is read."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from meshport.errors import FileError
from meshport.files.csv_rows import CsvRows
from meshport.files.ingest import Format, LineRefused, Reading, Row
from meshport.files.json_rows import JsonRows
from meshport.files.numbered import NumberedText

_HEAD: Final = 8
_GZIP: Final = b"\x1f\x8b"
# What the file is, by its first bytes, and what helps.
_FOREIGN: Final = (
    (b"PK\x03\x04", "a zip archive, as .xlsx files are", "save the sheet as CSV UTF-8, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an .xls file of Excel", "save the sheet as CSV UTF-8"),
    (b"\xfd7zXZ\x00", "compressed with xz", "`xz -d` decompresses it; gzip alone is read as it is"),
    (b"BZh91AY", "compressed with bzip2", "`bzip2 -d` decompresses it; gzip alone is read as it is"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "`zstd -d` decompresses it; gzip alone is read as it is"),
    (b"Obj\x01", "an Avro file", "convert it to JSON lines"),
    (b"PAR1\x15", "a Parquet file", "convert it to JSON lines or CSV"),
)
# UTF-32 comes first: its mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


class RecordFile:
    """The records of a file: JSON lines, one JSON array, or CSV; plain or compressed with gzip.

    Args:
        stream: the file's bytes.
        name: the file's name in errors.
        reading: how it is read.

    Raises:
        FileError: the file's first bytes or its header show that it cannot be read so.
    """

    def __init__(self, stream: BinaryIO, name: str, reading: Reading) -> None:
        self._stream = stream
        self._name = name
        self._reading = reading
        # A pipe cannot be read twice, and its rows are taken as they come.
        self._start = stream.tell() if stream.seekable() else None
        self._compressed = False
        self._rows = self._opened()

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns of a CSV file, renamed; None for JSON, where each record has its own."""
        return self._rows.columns if isinstance(self._rows, CsvRows) else None

    @property
    def unused_names(self) -> list[str]:
        """The columns that were to be renamed and that no record had so far."""
        return self._rows.unused_names if isinstance(self._rows, JsonRows) else []

    @property
    def described(self) -> str:
        """How the file is read, where its content decided that: "one JSON array, compressed with gzip"; else ""."""
        rows, reading = self._rows, self._reading
        words = []
        if isinstance(rows, JsonRows):
            if rows.is_array:
                words.append("one JSON array")
        elif rows.separator_line is not None:
            words.append(f"columns separated by {rows.separator_line!r}, as its first line says")
        if self._encoding not in {"utf-8", "utf-8-sig"} and reading.encoding is None:
            words.append(f"{self._encoding.upper()}, as its byte order mark says")
        if self._compressed:
            words.append("compressed with gzip")
        return ", ".join(words)

    @property
    def bytes_read(self) -> tuple[int, int] | None:
        """How many bytes of a file on disk are read, as they lie there, and how many it has; None for a pipe."""
        try:
            return os.lseek(self._stream.fileno(), 0, os.SEEK_CUR), os.fstat(self._stream.fileno()).st_size
        except OSError:
            return None

    def check(self) -> None:
        """Read the file once to its end, so that one that cannot be read is refused before any row is used.

        A pipe is not read; its rows are yielded up to the error.

        Raises:
            FileError: it cannot be read.
        """
        if self._start is not None:
            self._rows.check()
            self._text.detach()  # else it closes the stream when it is collected
            self._stream.seek(self._start)
            self._rows = self._opened()

    def rows(self) -> Iterator[Row | LineRefused]:
        """Yield the rows, and for a line that is no record the error, so that the caller can continue.

        Raises:
            FileError: from here on the file cannot be read.
        """
        yield from self._rows

    def _opened(self) -> JsonRows | CsvRows:
        head = self._first_bytes()
        stream: BinaryIO | gzip.GzipFile = self._stream
        self._compressed = head.startswith(_GZIP)
        if self._compressed:
            unzipped = gzip.GzipFile(fileobj=stream, mode="rb")
            try:
                stream, head = unzipped, unzipped.peek(_HEAD)[:_HEAD]
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise FileError(f"its gzip data is damaged: {error}", file=self._name) from error
        for first, what, hint in _FOREIGN:
            if head.startswith(first):
                raise FileError(f"is {what}, not {self._reading.form}", file=self._name, hint=hint)
        self._encoding, shown = self._encoding_of(head)
        self._text = io.TextIOWrapper(stream, encoding=self._encoding, errors="surrogateescape", newline="")
        numbered = NumberedText(self._text, self._name, shown)
        return (
            CsvRows(numbered, self._reading) if self._reading.form is Format.CSV else JsonRows(numbered, self._reading)
        )

    def _first_bytes(self) -> bytes:
        if self._start is not None:
            head = self._stream.read(_HEAD)
            self._stream.seek(self._start)
            return head
        if not isinstance(self._stream, io.BufferedReader):
            self._stream = io.BufferedReader(self._stream)  # type: ignore[type-var] # any object with `readinto`
        return self._stream.peek(_HEAD)[:_HEAD]

    def _encoding_of(self, head: bytes) -> tuple[str, str]:
        """Return the name of the file's encoding for Python, and for people."""
        marked = next(((name, shown) for mark, name, shown in _MARKS if head.startswith(mark)), None)
        given = self._reading.encoding
        if given is not None:
            if marked is None:
                return given, given
            if not codecs.lookup(given).name.startswith(marked[0].removesuffix("-sig")):
                raise FileError(
                    f"begins with the byte order mark of {marked[1]}, which is not {given}", file=self._name
                )
            return marked
        if marked is not None:
            return marked
        if len(head) >= 4 and b"\0" in head:
            for name, zeros, others in (("utf-16-le", head[1:4:2], head[:4:2]), ("utf-16-be", head[:4:2], head[1:4:2])):
                if not any(zeros) and all(others):
                    raise FileError(
                        "every other byte is NUL, as in UTF-16 without a byte order mark",
                        file=self._name,
                        hint=f"`--encoding {name}`",
                    )
        return "utf-8", "UTF-8"
