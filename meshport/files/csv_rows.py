"""Reads rows of CSV: a header line, then one record a line, or more where a quoted cell holds line breaks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Final

from meshport.address import nearest
from meshport.files.ingest import LineRefused, Reading, Row
from meshport.files.numbered import NumberedText

_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?[\r\n]*')
_CELL: Final = 1 << 24
_SEPARATORS: Final = ";\t|,"


class CsvRows:
    """The rows of a CSV file. An empty cell is null, and so is a text of `Reading.na`.

    A first line `sep=;`, which Excel reads and writes, names the separator. Cells beyond the last column with a name are
    left out as long as they are empty.

    Args:
        text: the file's.
        reading: how it is read.

    Raises:
        FileError: the header is missing, names a column twice or seems to be separated by something else, or `rename`
            names a column that is not there.

    Attributes:
        columns: the names of the header, after they were renamed.
        separator_line: the separator that the first line names; None if it names none or another was given.
    """

    def __init__(self, text: NumberedText, reading: Reading) -> None:
        # The default of 128 kB is less than an event may have; the limit is the process's.
        csv.field_size_limit(max(csv.field_size_limit(), _CELL))
        self._text = text
        self._quotes = 0
        self._nulls = frozenset({"", *reading.na})
        first = text.line()
        named = _SEPARATOR_LINE.fullmatch(first)
        if named is None:
            text.unread(first)
        self.separator_line = named[1] if named and reading.delimiter is None else None
        self._delimiter = reading.delimiter or (named[1] if named else ",")
        self._reader = csv.reader(self._counted_lines(), delimiter=self._delimiter, strict=True)
        self._width = 0
        self.columns = self._header(reading)

    def check(self) -> None:
        """Read the file to its end.

        Raises:
            FileError: it cannot be read.
        """
        for _ in self._records():
            pass

    def __iter__(self) -> Iterator[Row | LineRefused]:
        """Yield the rows, and for a line that is no record the error, so that the caller can continue.

        Raises:
            FileError: from here on the file cannot be read.
        """
        columns, nulls, named = self.columns, self._nulls, len(self.columns)
        for line, cells in self._records():
            if isinstance(cells, LineRefused):
                yield cells
            elif len(cells) < named or (len(cells) > self._width and any(cells[named:])):
                yield LineRefused(line, f"has {len(cells)} cells, the header {self._width}")
            elif len(cells) > named and any(cells[named:]):
                yield LineRefused(line, f"has {next(filter(None, cells[named:]))!r} in a column without a name")
            else:
                yield Row(
                    line, {name: None if cell in nulls else cell for name, cell in zip(columns, cells, strict=False)}
                )

    def _records(self) -> Iterator[tuple[int, list[str] | LineRefused]]:
        while True:
            self._quotes = 0
            line = self._text.lines + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                yield line, self._broken(line, error)
                continue
            if cells is None:
                return
            if cells:
                yield line, cells

    def _counted_lines(self) -> Iterator[str]:
        while line := self._text.line():
            self._quotes += line.count('"')
            yield line

    def _broken(self, line: int, error: csv.Error) -> LineRefused:
        """Return the error of one record; raise it for the file where the quotes do not say at which line the next begins."""
        if "field limit" in str(error) or "unexpected end" in str(error):
            raise self._text.refused(
                "a quote that opens here is not closed", line=line, hint='within quotes, a quote is written twice: ""'
            )
        if self._quotes % 2:
            raise self._text.refused(
                f"is no CSV: {error}", line=line, hint='within quotes, a quote is written twice: ""'
            )
        return LineRefused(line, f"is no CSV: {error}", hint='within quotes, a quote is written twice: ""')

    def _header(self, reading: Reading) -> tuple[str, ...]:
        text, names = self._text, None
        while not names:
            self._quotes = 0
            line = text.lines + 1
            try:
                names = next(self._reader, None)
            except csv.Error as error:
                raise text.refused(f"is no CSV: {error}", line=line) from error
            if names is None:
                raise text.refused("it is empty; CSV begins with a line that names the columns")
        self._width = len(names)
        while len(names) > 1 and not names[-1].strip():
            names.pop()
        if (twice := _twice(names)) is not None:
            raise text.refused(
                f"names the column {twice!r} twice" if twice else "has two columns without a name",
                line=line,
                hint="give each column a name of its own in the file",
            )
        if self._width == 1 and names[0] not in reading.rename:
            self._refuse_separator(names[0], line)
        for old in reading.rename:
            if old not in names:
                near = nearest(old, names)
                raise text.refused(
                    f"has no column {old!r} to rename",
                    line=line,
                    hint=f"did you mean {near!r}?" if near else f"its columns: {', '.join(names)}",
                )
        columns = tuple(reading.rename.get(name, name) for name in names)
        if (twice := _twice(columns)) is not None:
            raise text.refused(f"has the column {twice!r} twice after columns were renamed", line=line)
        return columns

    def _refuse_separator(self, header: str, line: int) -> None:
        other = next((each for each in _SEPARATORS if each in header and each != self._delimiter), None)
        if other is not None:
            shown, given = (each.replace("\t", "\\t") for each in (other, self._delimiter))
            raise self._text.refused(
                f"has one column, {header!r}; it seems to be separated by '{shown}', not '{given}'",
                line=line,
                hint=f"`--delimiter '{shown}'`",
            )


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
