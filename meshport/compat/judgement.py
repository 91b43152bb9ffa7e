"""Judgements as values: what they depend on, how large it is, and their result. They can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar

from meshport.compat.case import Case
from meshport.compat.contract import Version
from meshport.compat.defaults import refuse_misfits
from meshport.compat.finding import Verdict
from meshport.compat.history import HistoryReport, check_history
from meshport.product import Compatibility
from meshport.schema import CommonTypes, Schema, parse_schema

_Result_co = TypeVar("_Result_co", covariant=True)
# The gate's proof by data takes as long as the comparison of so many characters, also for small schemas.
_PROOF: Final = 4096


class Judgement(Protocol[_Result_co]):
    """A computation that depends on nothing but the value itself. Equal judgements have equal results."""

    @property
    def size(self) -> int:
        """Characters of all schemas that it reads, a measure of its time."""

    def run(self) -> _Result_co:
        """Return the result."""


@dataclass(frozen=True)
class SchemaReading:
    """The parsing of a schema.

    Attributes:
        text: the schema.
        named: the types that it may refer to, by full name.
        named_size: characters of their schemas.
        source: how errors name the schema.
    """

    text: str
    named: dict[str, Any] = field(default_factory=dict)
    named_size: int = 0
    source: str = "the schema"

    @property
    def size(self) -> int:
        """Characters of the text and of the types that it may refer to."""
        return len(self.text) + self.named_size

    def run(self) -> Schema:
        """Return the schema.

        Raises:
            SchemaError: the text is not valid Avro.
        """
        return parse_schema(self.text, common=CommonTypes(named=self.named) if self.named else None, source=self.source)


@dataclass(frozen=True)
class DefaultsJudgement:
    """The check of a schema's defaults.

    Attributes:
        candidate: the schema to register.
    """

    candidate: Schema

    @property
    def size(self) -> int:
        """Characters of the schema."""
        return len(self.candidate.text)

    def run(self) -> None:
        """Check the defaults.

        Raises:
            SchemaError: a default is no value of its field.
        """
        refuse_misfits(self.candidate)


@dataclass(frozen=True)
class HistoryJudgement:
    """The check of a schema against versions of a subject, by Avro's schema resolution alone.

    Attributes:
        candidate: the schema to register.
        versions: the versions to compare it with, oldest first.
        level: the level.
    """

    candidate: Schema
    versions: tuple[Version, ...]
    level: Compatibility

    @property
    def size(self) -> int:
        """Characters of the schemas that are compared."""
        return len(self.versions) * len(self.candidate.text) + sum(len(each.schema.text) for each in self.versions)

    def run(self) -> HistoryReport:
        """Return the reasons against the schema.

        Raises:
            SchemaError: two schemas cannot be compared. Callers must not take that for compatible.
        """
        return check_history(self.candidate, self.versions, self.level)


@dataclass(frozen=True)
class GateJudgement:
    """The gate's judgement of a product.

    Attributes:
        cases: one for each port of the declaration, then one for each registered port that it drops.
        today: the day (UTC) on which the verdicts hold.
    """

    cases: tuple[Case, ...]
    today: date

    @cached_property
    def size(self) -> int:
        """Characters of the schemas that are compared, and what the proofs by data take."""
        total = _PROOF * len(self.cases)
        for case in self.cases:
            candidate = len(case.after.schema.text) if case.after else 0
            versions = case.past.versions if case.past else ()
            total += candidate * (1 + len(versions)) + sum(len(each.schema.text) for each in versions)
            total += _PROOF * len(versions)
        return total

    def run(self) -> tuple[Verdict, ...]:
        """Return the verdicts, in the order of the cases.

        Raises:
            SchemaError: two schemas cannot be compared. Callers must not take that for compatible.
        """
        return tuple(each.verdict(self.today) for each in self.cases)
