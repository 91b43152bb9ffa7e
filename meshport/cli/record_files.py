"""Opens the file of records that a command names, with the options that say how it is read."""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from meshport.cli.output import say
from meshport.errors import FileError
from meshport.files.ingest import Format, Reading
from meshport.files.record_file import RecordFile

_HELP = "How the file is read"
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="By default from the file's name; jsonl for stdin.", rich_help_panel=_HELP),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="By default UTF-8, or what its byte order mark says.", rich_help_panel=_HELP),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER",
        help="Separates the columns of CSV; by default a comma, a tab in .tsv, or what a first line sep=; says.",
        rich_help_panel=_HELP,
    ),
]
RenameOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OLD=NEW",
        help="Rename a column; in JSON, the name within nested objects too. Repeat it for several.",
        rich_help_panel=_HELP,
    ),
]
NaOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT", help="A text that stands for null, such as NA. Repeat it for several.", rich_help_panel=_HELP
    ),
]

_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
}


def reading_of(
    source: str,
    option: str,
    form: Format | None,
    encoding: str | None,
    delimiter: str | None,
    rename: list[str] | None,
    na: list[str] | None,
) -> Reading:
    """Return how a file is read.

    Args:
        source: the file's name; - for stdin.
        option: the option that named it, for errors.
        form: `FormatOption`.
        encoding: `EncodingOption`.
        delimiter: `DelimiterOption`.
        rename: `RenameOption`.
        na: `NaOption`.

    Raises:
        typer.BadParameter: the format does not follow from the name, or an option is wrong.
    """
    form = form or _format(source, option)
    separator = {"\\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter)
    if separator is not None and form is not Format.CSV:
        raise typer.BadParameter("only CSV has a delimiter", param_hint="--delimiter")
    if separator is not None and (len(separator) != 1 or separator in '\r\n"'):
        raise typer.BadParameter(f"{delimiter!r} is not one character", param_hint="--delimiter")
    if separator is None and form is Format.CSV and _suffix(source) == ".tsv":
        separator = "\t"
    return Reading(form, _encoding(encoding), separator, _renamed(rename or []), frozenset(na or []))


@contextmanager
def opened(source: str, reading: Reading) -> Iterator[RecordFile]:
    """Open a file of records, or stdin; what its content says about how it is read is shown.

    Raises:
        FileError: it cannot be read.
    """
    if source == "-":
        yield _announced(RecordFile(sys.stdin.buffer, "stdin", reading), "stdin")
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise FileError(f"{source} cannot be read: {error.strerror}") from error
    with stream:
        yield _announced(RecordFile(stream, source, reading), source)


def _announced(file: RecordFile, name: str) -> RecordFile:
    if file.described:
        say(f"{name} is read as: {file.described}")
    return file


def _format(source: str, option: str) -> Format:
    if source == "-":
        return Format.JSONL
    if Path(source).is_dir():
        raise typer.BadParameter(f"{source} cannot be read: it is a folder", param_hint=option)
    suffix = _suffix(source)
    if suffix not in _SUFFIXES:
        raise typer.BadParameter(
            f"the name {source!r} does not tell a format; give --format jsonl or csv", param_hint=option
        )
    return _SUFFIXES[suffix]


def _suffix(source: str) -> str:
    return Path(re.sub(r"\.gz$", "", source.lower())).suffix


def _encoding(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name)
        return codecs.lookup(name).name
    except LookupError:
        raise typer.BadParameter(
            f"{name!r} is no encoding of text; utf-8, utf-16, latin-1 and windows-1252 are", param_hint="--encoding"
        ) from None


def _renamed(options: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for text in options:
        old, equals, new = text.rpartition("=")
        if not equals or not new:
            raise typer.BadParameter(f"{text!r} renames nothing; write 'Order Id=order_id'", param_hint="--rename")
        if old in names:
            raise typer.BadParameter(f"{old!r} is renamed twice", param_hint="--rename")
        names[old] = new
    return names
