"""Whether stored state can be read with another schema: for the gate's verdict, and for a processor at its start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from meshport.compat.comparison import Comparison
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, Severity
from meshport.compat.rules import avro, names, proof, values
from meshport.schema import Schema

_AVRO: Final = frozenset(rule.id for rule in avro.RULES)
# The rules of `evolution` are left out: each version writes the state in full when it reads it, so that later defaults and
# aliases do not apply to older state.
_ASKED: Final = tuple(rule for rule in (*avro.RULES, *names.RULES, *values.RULES) if rule.severity is Severity.ERROR)


class Unreadable(NamedTuple):
    """One reason for which stored state cannot be read.

    Attributes:
        rule: id of the rule of resolution that refuses it.
        found: what it found; its path leads to a field of the state.
    """

    rule: str
    found: Found

    @property
    def message(self) -> str:
        """What was found, worded for a state."""
        return f"{self.found.message.replace('older events', 'states of before')} ({self.rule})"


def unreadable(reader: Schema, writer: Schema) -> Iterator[Unreadable]:
    """Yield the reasons for which state of one schema cannot be read with another, or would be read as another value.

    Args:
        reader: the schema of the new code.
        writer: the schema of the code that wrote the state.

    Raises:
        SchemaError: the two cannot be compared, which must never count as compatible.
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
