"""How a command that fails says so: a line for people, or one JSON object with `--json`, or where the log is JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from meshport.cli.output import USAGE, as_json, exit_code, lines_are_json, say, say_as_it_is, say_json
from meshport.errors import MeshError


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON, also one that cannot be parsed."""
    given = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in given or "--format=json" in given or ("--format", "json") in pairwise(given)


def report_error(error: MeshError, *, json: bool) -> int:
    """Write an error to stderr, and return the exit code of the command."""
    code = exit_code(error)
    facts = {name: each for name, each in error.facts.items() if name != "hint"}
    if lines_are_json():
        say_json(
            "error", error.message, {"error": type(error).__name__, "hint": error.hint, "exit": code, "facts": facts}
        )
    elif json:
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
