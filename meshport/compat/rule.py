"""A rule: one row of the gate's table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from meshport.compat.contract import Found
from meshport.compat.finding import Direction, Severity


class Scope(StrEnum):
    """What a rule's handler is given.

    Attributes:
        RESOLUTION: a `Comparison` of a reader's schema and a writer's; once for each direction of the level.
        DECLARATION: a `Contract`, the candidate by itself; also called for new ports.
        CHANGE: a `Change`, the whole contract before and after.
        PROOF: a `Comparison` in which no other rule found an error: the second judgement before a change is compatible.
    """

    RESOLUTION = "resolution"
    DECLARATION = "declaration"
    CHANGE = "change"
    PROOF = "proof"


class Stops(StrEnum):
    """Which readers a finding stops, for rules that do not compare the fields that a reader reads.

    Attributes:
        EVERY_READER: every reader of the port.
        UNPINNED: the readers whose address names no major.
        NO_READER: none; a promise is weakened, and no reader has to change for it.
    """

    EVERY_READER = "every reader"
    UNPINNED = "readers that name no major"
    NO_READER = "no reader"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: its name in verdicts, waivers and scripts; Avro's own rules have Avro's names.
        purpose: what the rule keeps, in one line.
        breaks: the sides that a change would break.
        scope: what the handler is given.
        handler: yields what it finds; its docstring is the rule's manual page.
        severity: of its findings.
        waivable: whether a waiver lets a finding pass; False if the mesh itself would be wrong afterwards.
        stops: which readers a finding stops.
        holds_unused: whether a finding counts also of a port that has no event and no reader; those of scope DECLARATION do.
    """

    id: str
    purpose: str
    breaks: tuple[Direction, ...]
    scope: Scope
    handler: Callable[[Any], Iterable[Found]]
    severity: Severity = Severity.ERROR
    waivable: bool = True
    stops: Stops = Stops.EVERY_READER
    holds_unused: bool = False

    @property
    def manual(self) -> str:
        """The manual page: the reasons of the rule, and what to do."""
        return inspect.getdoc(self.handler) or ""
