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
        RESOLUTION: a `Comparison`: a reader's schema and a writer's; asked in each direction that the level holds.
        DECLARATION: a `Contract`: the candidate by itself; asked of new ports too.
        CHANGE: a `Change`: the whole contract before and after.
        PROOF: a `Comparison` in which no other rule found an error: the second judgement before "compatible" is said.
    """

    RESOLUTION = "resolution"
    DECLARATION = "declaration"
    CHANGE = "change"
    PROOF = "proof"


class Stops(StrEnum):
    """Which readers cannot go on as before.

    Attributes:
        EVERYONE: every reader of the port.
        UNPINNED: those that name no major.
        NOBODY: a promise is weakened, and nobody has to change anything for it.
    """

    EVERYONE = "every reader"
    UNPINNED = "readers that name no major"
    NOBODY = "no reader"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: as verdicts, waivers and scripts name it. Avro's own rules have Avro's words.
        purpose: what it keeps, in one line.
        breaks: who would break without it.
        scope: what the handler is given.
        handler: yields what it finds; its docstring is the rule's manual page.
        severity: of its findings.
        waivable: whether a waiver lets it pass; not where the mesh itself would be wrong afterwards.
        stops: which readers cannot go on as before, where the schema does not tell by the fields that they read.
    """

    id: str
    purpose: str
    breaks: tuple[Direction, ...]
    scope: Scope
    handler: Callable[[Any], Iterable[Found]]
    severity: Severity = Severity.ERROR
    waivable: bool = True
    stops: Stops = Stops.EVERYONE

    @property
    def manual(self) -> str:
        """The manual page: why it is so, and what to do."""
        return inspect.getdoc(self.handler) or ""
