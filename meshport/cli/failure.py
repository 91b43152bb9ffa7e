"""How a command that fails says so: a line for people, or one JSON object with `--json`; and the format of the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from meshport.cli.output import USAGE, as_json, exit_code, say, say_as_it_is
from meshport.errors import MeshError


class LogFormat(logging.Formatter):
    """A line of the log: the time in UTC (ISO 8601), level, logger and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's names
        """Return the time of a record, to the millisecond: 2026-03-01T12:00:00.250Z."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON, also one that cannot be parsed."""
    given = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in given or "--format=json" in given or ("--format", "json") in pairwise(given)


def report_error(error: MeshError, *, json: bool) -> int:
    """Write an error to stderr, and return the exit code of the command."""
    code = exit_code(error)
    if json:
        facts = {name: each for name, each in error.facts.items() if name != "hint"}
        _write(type(error).__name__, error.message, error.hint, code, facts)
    else:
        say(f"error: {error}")
    return code


def report_usage(message: str) -> int:
    """Write the error of a command line that is wrong to stderr as JSON, and return the exit code."""
    _write("UsageError", message, None, USAGE, {})
    return USAGE


def _write(kind: str, message: str, hint: str | None, code: int, facts: dict[str, Any]) -> None:
    document = {"error": kind, "message": message, "hint": hint, "exit": code, "facts": facts}
    say_as_it_is(as_json({name: each for name, each in document.items() if each not in (None, {})}))
