"""What commands print: data on stdout, everything for people on stderr, and one place for exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from meshport.errors import (
    AddressError,
    DescriptorError,
    GateError,
    JarRejected,
    KafkaError,
    MeshError,
    ProcessError,
    ProjectError,
    RegistryUnavailable,
    ReplayError,
    SchemaError,
    TopicError,
)

FINDINGS: Final = 1
"""Something was refused, or two things differ that should not."""
USAGE: Final = 2
"""The command or its input is wrong."""
NO_ANSWER: Final = 3
"""The registry or Kafka did not answer, which is neither a pass nor a finding."""
INTERRUPTED: Final = 130

_USAGE: Final = (AddressError, DescriptorError, GateError, ProcessError, ProjectError, ReplayError, SchemaError)
_ANSWERED: Final = (TopicError, JarRejected)  # KafkaErrors about what is there, not about a cluster that fails

# rich honours NO_COLOR and a stream that is no terminal by itself.
people = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for people, without markup being read into it."""
    people.print(text, markup=False)


def emit(document: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout, at once, so that a pipe sees it while the command goes on."""
    emit_text(as_json(document))


def as_json(document: Any) -> str:
    """JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)


def emit_text(text: str) -> None:
    """One line of data on stdout.

    Raises:
        typer.Exit: whoever read our stdout has had enough (`| head`); that is no failure, and nothing to tell of.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would be tried again at the interpreter's end, and complained of there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout for a person who asked for a list without `--json`; no columns, no head."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        # A row is a line where `grep` reads it, however long.
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
    """A progress bar on stderr while the block runs; nothing where stderr is no terminal.

    Yields:
        a function of (done, total).
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=people, transient=True, disable=not people.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def exit_code(error: MeshError) -> int:
    """Return the exit code of a command that ends with an error: `USAGE`, `NO_ANSWER` or `FINDINGS`."""
    if isinstance(error, RegistryUnavailable | KafkaError) and not isinstance(error, _ANSWERED):
        return NO_ANSWER
    if isinstance(error, _USAGE):
        return USAGE
    return FINDINGS
