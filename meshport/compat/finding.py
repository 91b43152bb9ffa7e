"""What the gate returns: values that travel as JSON. Rendering and exit codes belong to the caller."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from meshport.catalog import Waiver
from meshport.product import Compatibility
from meshport.product.input_port import AddressText
from meshport.seen_readers import UndeclaredReader


class Direction(StrEnum):
    """Which side would break.

    Attributes:
        BACKWARD: readers with the candidate's schema, on events that were written before.
        FORWARD: today's readers, on events that are written with the candidate's schema.
        CONTRACT: readers that rely on what the contract promises around the schema.
    """

    BACKWARD = "backward"
    FORWARD = "forward"
    CONTRACT = "contract"


class Severity(StrEnum):
    """What a finding does to the verdict: an error refuses the candidate, a warning is only reported."""

    ERROR = "error"
    WARNING = "warning"


class Part(StrEnum):
    """The part of a contract that a finding is about.

    Attributes:
        SCHEMA: the port's Avro file; `path` names a field, with dots for nested fields (`device.kind`).
        PORT: the port's entry of product.yaml; `path` is its key (`retention`).
        PRODUCT: product.yaml; `path` is a key of it (`classification`).
    """

    SCHEMA = "schema"
    PORT = "port"
    PRODUCT = "product"


class RollOut(StrEnum):
    """Which side deploys first, once the change is made in a form that passes."""

    READERS = "readers first"
    PRODUCERS = "producers first"
    ANY = "in any order"


class State(StrEnum):
    """Whether a finding counts against the candidate.

    Attributes:
        STANDS: it counts.
        WAIVED: a waiver approves this change, and its last day has not passed.
        SETTLED: the newest version breaks in the same way already, so the candidate is not the cause.
        UNREAD: the port protects declared readers only, and none of them reads what breaks.
        UNUSED: the port has no event and no reader, so that nothing breaks.
    """

    STANDS = "stands"
    WAIVED = "waived"
    SETTLED = "settled"
    UNREAD = "unread"
    UNUSED = "unused"


class _FindingModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Finding(_FindingModel):
    """One thing that counts against a candidate.

    Attributes:
        rule: id of the rule that found it.
        severity: an error refuses the candidate, a warning is only reported.
        directions: the sides that would break.
        part: the part of the contract that it is about.
        path: the field or key; "" for the whole part. Rule and path together name the change, also in a waiver.
        pointer: JSON pointer (RFC 6901) to the nearest value that the candidate's file still has.
        before: the value before the change, as JSON data; None if it is new.
        after: the value after the change, as JSON data; None if it is removed.
        message: what was found, in one sentence.
        advice: how to make the change pass.
        roll_out: which side deploys first then.
        versions: numbers of the earlier versions that the candidate breaks, newest first; empty for the contract around
            the schema.
        state: whether it counts against the candidate.
        waiver: id of the waiver that lets it pass.
        file: the candidate's file, if the caller has one.
        line: 1-based line of `pointer` in that file.
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
        """Whether it refuses the candidate."""
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
        owner: the reader's team.
        fields: the fields that it declares to read; empty counts as all of them.
        breaks: `RULE path` of each finding that breaks it; empty if none does.
    """

    address: AddressText
    owner: str
    fields: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()


class Outcome(StrEnum):
    """The verdict in one word."""

    NEW = "new"
    UNCHANGED = "unchanged"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


class Verdict(_FindingModel):
    """The verdict on one output port.

    Attributes:
        address: of the port, its major given.
        outcome: `new` means that there was no earlier version to compare with, and the schema by itself is sound.
        level: the compatibility level of the schema.
        versions: numbers of the versions that it was compared with, newest first.
        findings: errors first.
        readers: every known reader of the port.
        also_read_by: of a change that breaks something, who was seen to read the port and is not declared.
        waivers: the port's waivers that hold today, needed or not.
        judged_on: the day, which decides whether a waiver holds.
    """

    address: AddressText
    outcome: Outcome
    level: Compatibility
    versions: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    readers: tuple[ReaderVerdict, ...] = ()
    also_read_by: tuple[UndeclaredReader, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    judged_on: date

    @property
    def passes(self) -> bool:
        """Whether no finding refuses the candidate."""
        return not any(finding.refuses for finding in self.findings)
