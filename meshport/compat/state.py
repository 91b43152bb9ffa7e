"""Whether state that one schema wrote can be read with another: the gate's answer, and a processor's at its start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from meshport.compat.comparison import Comparison
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, Severity
from meshport.compat.rules import avro, names, proof, values
from meshport.schema import Schema

_AVRO: Final = frozenset(rule.id for rule in avro.RULES)
# What a version leaves out is filled in when the next one reads it, so that what later defaults and aliases say is no matter.
_ASKED: Final = tuple(rule for rule in (*avro.RULES, *names.RULES, *values.RULES) if rule.severity is Severity.ERROR)


class Unreadable(NamedTuple):
    """Why stored state cannot be read.

    Attributes:
        rule: id of the rule of resolution that says so.
        found: what it found; its path leads to a field of the state.
    """

    rule: str
    found: Found

    @property
    def message(self) -> str:
        """What was found, in the words of a state."""
        return f"{self.found.message.replace('older events', 'states of before')} ({self.rule})"


def unreadable(reader: Schema, writer: Schema) -> Iterator[Unreadable]:
    """Why state that was written with one schema cannot be read with another, or would be read as something else.

    Args:
        reader: of the new code.
        writer: of the code that wrote it.

    Raises:
        SchemaError: the two cannot be compared; never to be read as compatible.
    """
    if reader.fingerprint == writer.fingerprint:
        return
    comparison = Comparison(reader, writer, Direction.BACKWARD)
    refused: set[str] = set()
    for rule in _ASKED:
        for found in rule.handler(comparison):
            if rule.id in _AVRO or found.path not in refused:
                yield Unreadable(rule.id, found)
            refused.add(found.path)
    if not refused:
        for rule in proof.RULES:
            yield from (Unreadable(rule.id, found) for found in rule.handler(comparison))
