"""Replay jobs of a registry: what each replays and for whom, who approved it, and how far it came.

The bounds of a job are offsets, which are fixed when it is started: however often it is interrupted, it replays the same
events.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from meshport.newer import OrNewer
from meshport.product.input_port import AddressText

__all__ = [
    "ReplayJob",
    "ReplayOutput",
    "ReplayProgress",
    "ReplayReason",
    "ReplayRequest",
    "ReplayState",
    "replay_group",
]

MOST_PARTITIONS: Final = 4096
_Offset = Annotated[int, Field(ge=0, lt=2**63)]
_Partition = Annotated[int, Field(ge=0, lt=MOST_PARTITIONS)]
Offsets = Annotated[dict[_Partition, _Offset], Field(max_length=MOST_PARTITIONS)]
"""An offset of each partition."""
Purpose = Annotated[str, Field(min_length=1, max_length=1000)]
_Name = Annotated[str, Field(min_length=1, max_length=512)]


def replay_group(job: str) -> str:
    """Return the consumer group of a job, which no live reader has."""
    return f"meshport-replay-{job}"


class ReplayState(StrEnum):
    """What may be done with a job now."""

    REQUESTED = "requested"
    """The owner of the product has not approved it yet."""
    ACTIVE = "active"
    """It may run, whether a process runs it now or not."""
    PAUSED = "paused"
    """A process that runs it waits."""
    COMPLETE = "complete"
    """Every event was replayed."""
    CANCELLED = "cancelled"
    """It ended before, or was not approved."""


class ReplayOutput(StrEnum):
    """Where a job's events go."""

    STDOUT = "stdout"
    FILE = "file"
    TOPIC = "topic"
    """A topic of the job's own, for the readers that the job names."""
    CALLBACK = "callback"
    """A function of a program."""


class _ReplayFacts(BaseModel):
    """What both a request and a job have.

    Attributes:
        address: of the port, with its major.
        topic: the port's topic when the job was started.
        topic_id: Kafka's id of that topic; None where the cluster has none.
        since: the first time of an event (`ce_time`); None for no bound.
        until: the time before which events are replayed; None for no bound.
        begins: by partition, the first offset.
        ends: by partition, the offset after the last.
        keys: only events with one of these record keys; empty for all.
        types: only events of one of these CloudEvents types; empty for all.
        where: only events whose data meet this expression of the process language; None for all.
        reader: the Avro schema that records are resolved to, as JSON; None for the one that each was written with.
        rate: events in a second, at most; None for no cap.
        purpose: why it is replayed.
        output: where the events go.
        file: the file, where the output is one.
        readers: whom the topic is for, where the output is a topic: consumer groups or products.
    """

    address: AddressText
    topic: str
    topic_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    begins: Offsets
    ends: Offsets
    keys: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    where: str | None = None
    reader: str | None = None
    rate: int | None = None
    purpose: str
    output: OrNewer[ReplayOutput]
    file: str | None = None
    readers: tuple[str, ...] = ()


class ReplayRequest(_ReplayFacts):
    """The body of `POST /api/v1/replays`; see `ReplayJob` for its attributes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: _Name
    topic_id: _Name | None = None
    keys: tuple[_Name, ...] = Field(default=(), max_length=1000)
    types: tuple[_Name, ...] = Field(default=(), max_length=100)
    where: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    reader: Annotated[str, Field(min_length=1, max_length=1_000_000)] | None = None
    rate: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    purpose: Purpose
    output: ReplayOutput
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    readers: tuple[_Name, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _fits_its_output(self) -> Self:
        if (self.file is not None) != (self.output is ReplayOutput.FILE):
            raise ValueError("a file is named for a replay into a file, and for no other")
        if bool(self.readers) != (self.output is ReplayOutput.TOPIC):
            raise ValueError("readers are named for a replay into a topic, and for no other")
        if self.reader is not None and self.output is ReplayOutput.TOPIC:
            raise ValueError("a replay into a topic copies records, and resolves them to no schema")
        if self.begins.keys() != self.ends.keys():
            raise ValueError("`begins` and `ends` name other partitions")
        return self


class ReplayReason(BaseModel):
    """The body of `POST /api/v1/replays/{job}/cancel`.

    Attributes:
        reason: why the job ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Purpose


class ReplayProgress(BaseModel):
    """The body of `PUT /api/v1/replays/{job}/progress`.

    Attributes:
        positions: by partition, the next offset to replay.
        events: how many were replayed, by all processes that ran the job.
        unreadable: how many messages could not be read.
        state: `complete` once every event is replayed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    positions: Offsets
    events: int = Field(ge=0, lt=2**63)
    unreadable: int = Field(default=0, ge=0, lt=2**63)
    state: Literal[ReplayState.ACTIVE, ReplayState.COMPLETE] = ReplayState.ACTIVE


class ReplayJob(_ReplayFacts):
    """A replay job.

    Attributes:
        job: its id, which each of its events has as `ce_replayid`.
        owner: the group that owns the product.
        state: what may be done with it now.
        asked_by: the name of the caller who started it.
        asked_at: when.
        approved_by: the name of the caller who approved it; None before that, and where the port asks for no approval.
        approved_at: when.
        ended_by: the name of the caller who cancelled it.
        ended_at: when it was complete, or was cancelled.
        reason: why it was cancelled.
        positions: by partition, the next offset to replay, as last reported; the output knows better.
        events: how many were replayed, as last reported.
        unreadable: how many messages could not be read, as last reported.
        reported_at: when a process that runs it reported last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: str
    owner: str
    state: OrNewer[ReplayState]
    asked_by: str
    asked_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
    ended_by: str | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    positions: Offsets = Field(default_factory=dict)
    events: int = 0
    unreadable: int = 0
    reported_at: datetime | None = None

    @property
    def total(self) -> int:
        """How many offsets it spans; compaction and transactions may have left fewer events."""
        return sum(max(0, end - self.begins[each]) for each, end in self.ends.items())

    @property
    def read(self) -> int:
        """How many of these offsets were looked at, as last reported."""
        return sum(
            max(0, min(self.positions.get(each, first), self.ends[each]) - first) for each, first in self.begins.items()
        )
