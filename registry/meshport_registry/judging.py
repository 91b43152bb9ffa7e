"""Judgements of contracts: made outside of the writing transaction, and valid for the input that they name.

A judgement takes milliseconds for most contracts and seconds for the largest. There is one writer, one event loop and
one interpreter lock. Therefore a transaction makes no judgement of any size: it raises `JudgeFirst`, the judgement is
made outside, and the next transaction finds it, if its input has not changed until then. Large judgements are made in a
process of their own (`judge_process`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection

from meshport.compat import Case, HistoryReport, Verdict, Version, check_history
from meshport.errors import MeshError
from meshport.product import Compatibility
from meshport.schema import CommonTypes, Schema, parse_schema
from meshport_registry.errors import StoreBusy

_T = TypeVar("_T")
_Result_co = TypeVar("_Result_co", covariant=True)
# Characters of schemas that a transaction compares itself: about a millisecond.
_SIZE_IN_WRITER: Final = 8 * 1024
# Another change of the same subject or product comes first each time.
_ATTEMPTS: Final = 20
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


class JudgeFirst(MeshError):  # noqa: N818 - not an error of the caller
    """Raised by a transaction that needs a judgement which takes longer than a transaction may.

    Attributes:
        judgement: what to judge before the transaction is tried again.
    """

    def __init__(self, judgement: Judgement[Any]) -> None:
        super().__init__("a judgement is to be made before the transaction")
        self.judgement = judgement


class Judged:
    """The judgements that were made for one change so far."""

    def __init__(self) -> None:
        self._made: list[tuple[Judgement[Any], Any]] = []

    def add(self, judgement: Judgement[_T], result: _T) -> None:
        """Add a judgement with its result."""
        self._made.append((judgement, result))

    def result(self, judgement: Judgement[_T]) -> _T:
        """Return the result of a judgement; one that takes a millisecond is made here.

        Raises:
            JudgeFirst: it was not made, and takes longer.
        """
        for made, result in self._made:
            if made == judgement:
                known: _T = result
                return known
        if judgement.size > _SIZE_IN_WRITER:
            raise JudgeFirst(judgement)
        return judgement.run()


class JudgingStore(Protocol):
    """The part of the database that makes judgements and writes."""

    async def judge(self, judgement: Judgement[_T]) -> _T:
        """Return the result of a judgement, made outside of the event loop."""

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a write and return its result once the database has committed it."""


async def write_judged(
    store: JudgingStore, work: Callable[[Connection, Judged], _T], *, judged: Judged | None = None
) -> _T:
    """Run a write that needs judgements, which are made outside of the writing transaction.

    Args:
        store: the database.
        work: the write; it takes its judgements from the second argument.
        judged: the judgements that were made already.

    Raises:
        StoreBusy: other changes of the same subject or product come first, again and again.
    """
    known = judged or Judged()
    for _ in range(_ATTEMPTS):
        try:
            return await store.write(lambda connection: work(connection, known))
        except JudgeFirst as first:
            known.add(first.judgement, await store.judge(first.judgement))
    raise StoreBusy("what is to be changed changes again and again while it is judged", hint="try again in a moment")
