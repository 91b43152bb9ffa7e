"""What the gate finds: values; rendering and exit codes belong to whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meshport.product import Compatibility


class Direction(StrEnum):
    """Which of two sides would break.

    Attributes:
        BACKWARD: the candidate's readers, on what was written before.
        FORWARD: today's readers, on what the candidate writes.
    """

    BACKWARD = "backward"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a reader cannot read a writer.

    Attributes:
        rule: what was broken; Avro's incompatibility type (`READER_FIELD_MISSING_DEFAULT_VALUE`).
        location: JSON pointer into the reader's schema in canonical form; "" is the schema itself.
        message: what was found, with quoted names.
        direction: who breaks; None where only two schemas were compared.
        version: the version of the history that the candidate was compared with, where there is one.
    """

    rule: str
    location: str
    message: str
    direction: Direction | None = None
    version: int | None = None

    def __str__(self) -> str:
        against = f" (against version {self.version})" if self.version is not None else ""
        who = f"{self.direction}: " if self.direction else ""
        return f"{who}{self.rule} at {self.location or '/'}: {self.message}{against}"


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one candidate.

    Attributes:
        level: what was asked for.
        versions: the versions that the candidate was compared with, newest first; empty for a new subject.
        findings: the reasons against it.
    """

    level: Compatibility
    versions: tuple[int, ...]
    findings: tuple[Finding, ...]

    @property
    def compatible(self) -> bool:
        """Whether nothing speaks against the candidate."""
        return not self.findings
