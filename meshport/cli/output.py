"""The output of commands: data on stdout, everything for people on stderr; and the exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import typer

from meshport.cli.log_lines import LineForm, json_line, log_to_stderr
from meshport.errors import (
    AddressError,
    DescriptorError,
    FileError,
    GateError,
    HistoryMissing,
    HistoryUndecided,
    JarRejected,
    KafkaConfigError,
    KafkaError,
    MeshError,
    MetricsUnavailable,
    OutboxUnavailable,
    PolicyError,
    ProcessError,
    ProjectError,
    QueryError,
    RegistryUnavailable,
    ReplayError,
    SchemaError,
    TopicError,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

FINDINGS: Final = 1
"""Something was refused, or two things differ that should not."""
USAGE: Final = 2
"""The command or its input is wrong."""
NO_ANSWER: Final = 3
"""The registry, Kafka or the database of an outbox did not answer, which is neither a pass nor a finding."""
INTERRUPTED: Final = 130

_USAGE: Final = (
    AddressError,
    DescriptorError,
    FileError,
    GateError,
    KafkaConfigError,
    MetricsUnavailable,
    PolicyError,
    ProcessError,
    ProjectError,
    QueryError,
    ReplayError,
    SchemaError,
)
_ANSWERED: Final = (
    TopicError,
    JarRejected,
    HistoryMissing,
    HistoryUndecided,
)  # KafkaErrors about what is there, not about a cluster that fails


@cache
def people() -> Console:
    """Return the console on stderr, for what people read; it honours NO_COLOR and a stream that is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - takes as long to import as the rest of a short command

    return Console(stderr=True, highlight=False, soft_wrap=True)


class _StderrLines:
    """The form of the lines of stderr."""

    form = LineForm.TEXT


def write_lines_as(form: LineForm) -> None:
    """Write the lines of stderr, and the log, in a form from now on."""
    _StderrLines.form = form
    log_to_stderr(form)


def lines_are_json() -> bool:
    """Return whether each line of stderr is a JSON object, for what collects logs."""
    return _StderrLines.form is LineForm.JSON


def say(text: str) -> None:
    """Write one line for people to stderr; the text is not read as markup."""
    if lines_are_json():
        say_json("info", text, {})
    else:
        people().print(text, markup=False)


def say_json(level: str, message: str, facts: Mapping[str, Any]) -> None:
    """Write one line to stderr as JSON, with the facts that are known."""
    known = {name: each for name, each in facts.items() if each not in (None, {})}
    say_as_it_is(json_line(level, "meshport", message, known))


def log(text: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write one line for people to stderr with its time (UTC), as a command that runs for days does.

    Args:
        text: of the line.
        facts: further fields of the line where it is JSON.
    """
    if lines_are_json():
        say_json("info", text, facts or {})
    else:
        say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")


def say_as_it_is(text: str) -> None:
    """Write one line to stderr that a program reads: never wrapped, marked or coloured."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def emit(document: Mapping[str, Any]) -> None:
    """Write one JSON object as a line to stdout and flush it, so that a pipe receives it while the command runs on."""
    emit_text(as_json(document))


def as_json(document: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> str:
    """Return a value that JSON has no type for as text; times as ISO 8601 has them."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def emit_text(text: str) -> None:
    """Write one line of data to stdout.

    Raises:
        typer.Exit: the reader of stdout has closed it (`| head`), which is no failure.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes the rest of the buffer when it exits, and would report the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Write a table to stdout: drawn on a terminal, else one line per row, which `grep` can read.

    Args:
        columns: the header; empty for a table without one.
        rows: the cells of each row.
    """
    from rich.console import Console  # noqa: PLC0415 - see `people`
    from rich.table import Table  # noqa: PLC0415 - see `people`

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        lines = [*([columns] if columns else []), *rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        for line in lines:
            emit_text("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    for column in columns or [""] * max(map(len, rows), default=0):
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr while the block runs; none where stderr is no terminal.

    Yields:
        A function that takes how much is done, and how much there is in all.
    """
    from rich.progress import MofNCompleteColumn  # noqa: PLC0415 - see `people`

    with _progress(what, MofNCompleteColumn()) as moved:
        yield moved


@contextmanager
def bytes_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar of bytes; otherwise as `progress`."""
    from rich.progress import DownloadColumn  # noqa: PLC0415 - see `people`

    with _progress(what, DownloadColumn()) as moved:
        yield moved


@contextmanager
def _progress(what: str, amount: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - see `people`

    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn())
    with Progress(
        *columns, console=people(), transient=True, disable=not people().is_terminal or lines_are_json()
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def exit_code(error: MeshError) -> int:
    """Return the exit code of a command that ends with an error: `USAGE`, `NO_ANSWER` or `FINDINGS`."""
    if isinstance(error, _USAGE):
        return USAGE
    if isinstance(error, RegistryUnavailable | KafkaError | OutboxUnavailable) and not isinstance(error, _ANSWERED):
        return NO_ANSWER
    return FINDINGS
