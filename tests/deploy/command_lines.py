"""Command lines of `meshport` in what is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshport.cli import load_verb


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """Return the options and arguments of a `meshport` command line; raises a usage error if it is none."""
    command, rest = load_verb(words[0]), list(words[1:])
    while (verbs := getattr(command, "commands", None)) is not None and rest and rest[0] in verbs:
        command, rest = verbs[rest[0]], rest[1:]
    return dict(command.make_context(words[0], rest).params)
