"""What commands print: data on stdout, everything for people on stderr, and one place for exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from meshport.errors import AddressError, DescriptorError, MeshError, ProjectError, RegistryUnavailable, SchemaError

FINDINGS: Final = 1
USAGE: Final = 2
NO_ANSWER: Final = 3
INTERRUPTED: Final = 130

# rich honours NO_COLOR and a stream that is no terminal by itself.
people = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for people, without markup being read into it."""
    people.print(text, markup=False)


def emit(document: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout, at once, so that a pipe sees it while the command goes on."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str) + "\n")
    sys.stdout.flush()


def emit_text(text: str) -> None:
    """One line of data on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout for a person who asked for a list without `--json`."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    Console(highlight=False, markup=False).print(drawn)


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
    """2 for input that is wrong in itself, 3 where the registry did not answer, else 1 (DESIGN 5)."""
    if isinstance(error, RegistryUnavailable):
        return NO_ANSWER
    if isinstance(error, AddressError | DescriptorError | ProjectError | SchemaError):
        return USAGE
    return FINDINGS
