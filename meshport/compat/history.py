"""A candidate against the versions before it, at one of the seven levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshport.compat.finding import Direction, Finding, Report
from meshport.compat.resolution import check
from meshport.product import Compatibility
from meshport.schema import Schema

_READS_OLD = frozenset(
    {
        Compatibility.BACKWARD,
        Compatibility.BACKWARD_TRANSITIVE,
        Compatibility.FULL,
        Compatibility.FULL_TRANSITIVE,
    }
)
_READ_BY_OLD = frozenset(
    {
        Compatibility.FORWARD,
        Compatibility.FORWARD_TRANSITIVE,
        Compatibility.FULL,
        Compatibility.FULL_TRANSITIVE,
    }
)


def check_history(
    candidate: Schema, versions: Sequence[Schema], level: Compatibility, *, numbers: Sequence[int] = ()
) -> Report:
    """Check a candidate against a history, as Confluent's registry defines its levels.

    Args:
        candidate: the schema that wants to be the next version.
        versions: the history, oldest first. Levels that are not transitive look at the last one only.
        level: the level to hold.
        numbers: the version number of each of `versions`; 1, 2, 3 ... where none are given.

    Raises:
        SchemaError: a schema that the checker cannot compare; never to be read as compatible.
    """
    history = list(zip(numbers or range(1, len(versions) + 1), versions, strict=True))
    if level is Compatibility.NONE:
        return Report(level, (), ())
    if not level.endswith("_TRANSITIVE"):
        history = history[-1:]
    history.reverse()
    findings: list[Finding] = []
    for number, old in history:
        if level in _READS_OLD:
            findings += _found(candidate, old, Direction.BACKWARD, number)
        if level in _READ_BY_OLD:
            findings += _found(old, candidate, Direction.FORWARD, number)
    return Report(level, tuple(number for number, _ in history), tuple(findings))


def _found(reader: Schema, writer: Schema, direction: Direction, number: int) -> list[Finding]:
    return [replace(finding, direction=direction, version=number) for finding in check(reader, writer)]
