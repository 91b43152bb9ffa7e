"""The outcomes of publishing, as values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from meshport.errors import DeliveryUnknown, MeshError, PublishError

__all__ = ["BatchReport", "PublishFailure", "Settled", "Totals"]

# An error names so many ids; all of them are in its attribute `ids`.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """An event that is not certainly stored.

    Attributes:
        id: the event's; "" where it has none.
        index: its index in the batch; -1 outside of one.
        error: DeliveryUnknown means unknown; every other error means refused, so that the event is not in the log.
    """

    id: str
    index: int
    error: MeshError

    @property
    def unknown(self) -> bool:
        """Whether the event may be in the log all the same."""
        return isinstance(self.error, DeliveryUnknown)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The outcomes of a batch: `stored + len(refused) + len(unknown)` is the number of its records.

    Attributes:
        stored: how many events the broker acknowledged.
        refused: the events that are not stored.
        unknown: the events whose outcome the broker did not report.
    """

    stored: int
    refused: tuple[PublishFailure, ...]
    unknown: tuple[PublishFailure, ...]


@dataclass(slots=True)
class Totals:
    """The outcomes of all events of a publisher so far.

    Attributes:
        stored: how many events the broker acknowledged.
        refused: how many are not stored.
        unknown: how many have no outcome that is known, after they were waited for.
    """

    stored: int = 0
    refused: int = 0
    unknown: int = 0

    @property
    def failures(self) -> int:
        """How many events are not certainly stored."""
        return self.refused + self.unknown

    def fail(self, failure: PublishFailure) -> int:
        """Add an event that is not certainly stored; return its number among these."""
        if failure.unknown:
            self.unknown += 1
        else:
            self.refused += 1
        return self.failures


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcomes of the events that one wait covered.

    Attributes:
        count: the number of events.
        failures: those among them that are not certainly stored.
    """

    count: int
    failures: Sequence[PublishFailure]

    @classmethod
    def sum(cls, settled: Collection[Settled]) -> Self:
        """Return the outcomes of several waits as those of one."""
        return cls(sum(each.count for each in settled), [failure for each in settled for failure in each.failures])

    def check(self) -> int:
        """Return the number of events, all of which are stored.

        Raises:
            PublishError: some are refused, and the others are stored.
            DeliveryUnknown: the outcome of at least one is unknown.
        """
        if not self.failures:
            return self.count
        unknown = [each for each in self.failures if each.unknown]
        first = (unknown or self.failures)[0].error
        ids = tuple(each.id for each in self.failures)
        named = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
        message = (
            f"{len(ids)} of {self.count} events are not stored for certain: {len(ids) - len(unknown)} refused, "
            f"{len(unknown)} unknown ({named}): {first.message}"
        )
        if unknown:
            raise DeliveryUnknown(message, ids=ids, code=getattr(first, "code", None), hint=first.hint)
        raise PublishError(message, ids=ids, hint=first.hint)
