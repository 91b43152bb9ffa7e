"""What an observer reports of the processor of a derived product, as a registry's API sends and receives it.

A report ends: after `valid_until` it says nothing about the present, and the state of the processor is unknown.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meshport.newer import OrNewer
from meshport.product.input_port import AddressText

__all__ = [
    "MOST_CLIENTS",
    "MOST_PARTITIONS",
    "KeptEvents",
    "PartitionBacklog",
    "ProcessorReport",
    "ProcessorState",
    "ProcessorStatus",
    "ProcessorSummary",
]

MOST_PARTITIONS: Final = 100
"""The partitions of one report."""
MOST_CLIENTS: Final = 50
"""The client ids of one report."""
_Name = Annotated[str, Field(max_length=300)]


class ProcessorState(StrEnum):
    """Whether a processor runs."""

    RUNNING = "running"
    """Its consumer group has members."""
    STOPPED = "stopped"
    """Its consumer group has no member."""
    UNKNOWN = "unknown"
    """It was not observed lately, or the brokers do not show its group."""


class _Observed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PartitionBacklog(_Observed):
    """What a processor has not processed of one partition.

    Attributes:
        topic: that it reads: an input, or one of its own.
        partition: the partition.
        events: how many events; None where the group has committed no offset, so that only its members know.
        at_most: whether this is a number of offsets, which also count the markers of transactions.
        seconds: for how long the oldest of them has been in the log; None where that is not known.
        client: the client id of the member that is assigned it; None where no member is.
    """

    topic: _Name
    partition: int
    events: int | None = None
    at_most: bool = False
    seconds: float | None = None
    client: _Name | None = None


class KeptEvents(_Observed):
    """How many events a processor keeps in a topic of its own: quarantined, or late.

    Attributes:
        events: how many.
        at_most: whether this is a number of offsets, which also count the markers of transactions.
        redriven: how many of them were redriven; None where that is not known.
    """

    events: int = Field(default=0, ge=0)
    at_most: bool = False
    redriven: int | None = None

    @property
    def waiting(self) -> int:
        """How many of them are not known to be redriven."""
        return max(0, self.events - (self.redriven or 0))


class ProcessorReport(_Observed):
    """What an observer found of a processor: the body of `PUT /api/v1/processors/...`.

    Attributes:
        at: when.
        valid_until: after this instant the report says nothing about the present any more.
        group: the consumer group.
        members: how many it has; None where the brokers do not show it.
        hidden: why they do not, in words.
        clients: the client ids of the members.
        events: how many events it has not processed, in all partitions; None where only its members know.
        at_most: whether this is a number of offsets.
        seconds: for how long the oldest of them has been in the log; None where that is not known.
        partitions: those with most to do, by topic and partition, at most `MOST_PARTITIONS`.
        more_partitions: how many others there are.
        quarantined: None where the topic cannot be read.
        late: None where the topic cannot be read.
    """

    at: AwareDatetime
    valid_until: AwareDatetime
    group: _Name
    members: int | None = Field(default=None, ge=0)
    hidden: str = Field(default="", max_length=1000)
    clients: tuple[_Name, ...] = Field(default=(), max_length=MOST_CLIENTS)
    events: int | None = None
    at_most: bool = False
    seconds: float | None = None
    partitions: tuple[PartitionBacklog, ...] = Field(default=(), max_length=MOST_PARTITIONS)
    more_partitions: int = 0
    quarantined: KeptEvents | None = None
    late: KeptEvents | None = None

    @property
    def state(self) -> ProcessorState:
        """Whether the processor ran when it was observed."""
        if self.members is None:
            return ProcessorState.UNKNOWN
        return ProcessorState.RUNNING if self.members else ProcessorState.STOPPED

    def state_at(self, now: datetime) -> ProcessorState:
        """Return whether the processor runs, as far as that is known at a time."""
        return self.state if now <= self.valid_until else ProcessorState.UNKNOWN


class ProcessorStatus(_Observed):
    """The answer of `GET /api/v1/processors/{domain}/{product}/{port}`.

    Attributes:
        address: of the port that the processor builds, with its major.
        state: whether it runs, as far as that is known now.
        since: since when it was observed in the state of the report, without a gap; None where nothing was reported.
        report: the newest one; None where nothing was reported.
    """

    address: AddressText
    state: OrNewer[ProcessorState] = ProcessorState.UNKNOWN
    since: AwareDatetime | None = None
    report: ProcessorReport | None = None

    @property
    def is_current(self) -> bool:
        """Whether the report says something about the present: it has not ended, and the brokers show the group."""
        return self.state != ProcessorState.UNKNOWN


class ProcessorSummary(_Observed):
    """A processor in a lineage.

    Attributes:
        state: whether it runs, as far as that is known now.
        at: when it was observed last.
        events: how many events it had not processed then; None where that is not known.
        seconds: for how long the oldest of them had waited; None where that is not known.
        quarantined: how many events were in quarantine then, and not redriven; None where that is not known.
    """

    state: OrNewer[ProcessorState]
    at: AwareDatetime
    events: int | None = None
    seconds: float | None = None
    quarantined: int | None = None

    @classmethod
    def of(cls, report: ProcessorReport, now: datetime) -> ProcessorSummary:
        """Return the summary of a report at a time."""
        kept = report.quarantined
        return cls(
            state=report.state_at(now),
            at=report.at,
            events=report.events,
            seconds=report.seconds,
            quarantined=None if kept is None else kept.waiting,
        )
