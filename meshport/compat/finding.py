"""What the gate says: values that travel as JSON. Rendering and exit codes belong to whoever asked."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from meshport.catalog import Waiver
from meshport.product import Compatibility
from meshport.product.descriptor import AddressText


class Direction(StrEnum):
    """Which of two sides would break.

    Attributes:
        BACKWARD: the candidate's readers, on what was written before.
        FORWARD: today's readers, on what the candidate writes.
        CONTRACT: whoever relies on what was promised around the schema.
    """

    BACKWARD = "backward"
    FORWARD = "forward"
    CONTRACT = "contract"


class Severity(StrEnum):
    """What a finding does to the verdict: an error refuses, a warning is told."""

    ERROR = "error"
    WARNING = "warning"


class Part(StrEnum):
    """Where a finding stands.

    Attributes:
        SCHEMA: the port's Avro file; `path` names a field, with dots for fields within (`device.kind`).
        PORT: the port's entry of product.yaml; `path` is its key (`retention`).
        PRODUCT: product.yaml; `path` is a key of it (`classification`).
    """

    SCHEMA = "schema"
    PORT = "port"
    PRODUCT = "product"


class RollOut(StrEnum):
    """Who deploys first, once the change is made so that it passes."""

    READERS = "readers first"
    PRODUCERS = "producers first"
    ANY = "in any order"


class State(StrEnum):
    """Whether a finding still speaks against the candidate.

    Attributes:
        STANDS: it does.
        WAIVED: somebody approved this change, until a day that has not passed.
        SETTLED: the newest version breaks in the same way already; it is not the candidate's doing.
        UNREAD: the port protects declared readers only, and none of them reads what breaks.
    """

    STANDS = "stands"
    WAIVED = "waived"
    SETTLED = "settled"
    UNREAD = "unread"


class _FindingModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Finding(_FindingModel):
    """One thing that speaks against a candidate.

    Attributes:
        rule: id of the rule that found it.
        severity: an error refuses, a warning is told.
        directions: who would break: readers of old events, today's readers, whoever relies on the contract.
        part: where it stands.
        path: the field or key; "" is the whole part. With the rule it names the change, for waivers too.
        pointer: JSON pointer (RFC 6901) of the nearest place that the candidate's file still has.
        before: what was, as JSON data; None for what is new.
        after: what would be, as JSON data; None for what goes.
        message: what was found, in one sentence.
        advice: how to make it pass.
        roll_out: who deploys first then.
        versions: numbers of the earlier versions that disagree, newest first; empty for the contract around the schema.
        state: whether it still speaks against the candidate.
        waiver: id of the waiver that lets it pass.
        file: the candidate's file, where the asker has one.
        line: 1-based, of `pointer` in it.
    """

    rule: str
    severity: Severity = Severity.ERROR
    directions: tuple[Direction, ...]
    part: Part = Part.SCHEMA
    path: str = ""
    pointer: str = ""
    before: Any = None
    after: Any = None
    message: str
    advice: str = ""
    roll_out: RollOut | None = None
    versions: tuple[int, ...] = ()
    state: State = State.STANDS
    waiver: int | None = None
    file: str | None = None
    line: int | None = None

    @property
    def refuses(self) -> bool:
        """Whether the candidate cannot pass because of it."""
        return self.severity is Severity.ERROR and self.state is State.STANDS

    def __str__(self) -> str:
        at = f" at {self.path}" if self.path else ""
        who = ", ".join(self.directions)
        against = f" (against version{'s' if len(self.versions) > 1 else ''} {', '.join(map(str, self.versions))})"
        return f"{self.rule}{at}: {self.message} [{who}]{against if self.versions else ''}"


class ReaderVerdict(_FindingModel):
    """What a candidate means to one reader.

    Attributes:
        address: of the reader.
        owner: the team to talk to.
        fields: that it declares to read; empty counts as all of them.
        breaks: `RULE path` of each finding that breaks it; empty where it stays whole.
    """

    address: AddressText
    owner: str
    fields: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()


class Outcome(StrEnum):
    """The verdict in a word."""

    NEW = "new"
    UNCHANGED = "unchanged"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


class Verdict(_FindingModel):
    """The verdict on one output port.

    Attributes:
        address: of the port, its major given.
        outcome: `new` is no pass by silence: there was nothing to compare with, and the schema by itself is sound.
        level: what the schema is held to.
        versions: numbers of the versions that it was compared with, newest first.
        findings: errors first.
        readers: every known reader of the port.
        waivers: those of the port that hold today, whether they were needed or not.
        judged_on: the day, which decides whether a waiver holds.
    """

    address: AddressText
    outcome: Outcome
    level: Compatibility
    versions: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    readers: tuple[ReaderVerdict, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    judged_on: date

    @property
    def passes(self) -> bool:
        """Whether nothing refuses the candidate."""
        return not any(finding.refuses for finding in self.findings)
