"""Replaying a range of a port's history: a bounded job of its own that commits no live group's offsets.

The bounds are fixed when the job begins. A time is one of the facts (`ce_time`), as a person asks for it; events that were
recorded late are found too. A replay ends at the last stable offset as it is then: what open transactions hide is not part of
it, and is reported. Each event is marked with the job's id (the CloudEvents extension `replayid`), so that a
handler with side effects can distinguish a replay from the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Generic, Self
from uuid import uuid4

from meshport.address import Address
from meshport.errors import ReplayError
from meshport.event import UNREADABLE, Event, reader_for
from meshport.event.model import as_model, model_schema
from meshport.event.reading import ReaderSchemas
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.received import ReceivedMessage, event_parts
from meshport.kafka.topic_log import LogWatch
from meshport.ports.bound_log import apply_hint, refuse_other_log
from meshport.ports.earlier_lines import earlier_lines
from meshport.ports.history import (
    Missing,
    RemovedHistory,
    UndecidedHistory,
    insist,
    readable_bounds,
    removed_history,
)
from meshport.ports.line_history import line_range
from meshport.ports.scan import MOST_MESSAGES, TopicRange, history_reader, read_range
from meshport.ports.subscriber import BadEvent, Mesh, Model
from meshport.schema import Schema

# An event is recorded after it happened, and clocks differ by less than this: an event of the time T was recorded no earlier
# than T minus this.
_CLOCK_SKEW: Final = timedelta(hours=24)
_ALLOWED: Final = "ask for what is there, or allow a part to be missing: `missing=Missing.ALLOW`, `--allow-missing`"


@dataclass(frozen=True, slots=True)
class Offsets:
    """A bound by offset.

    Attributes:
        every: the bound of each partition that `each` does not name.
        each: by partition, its bound.
    """

    every: int = 0
    each: Mapping[int, int] | None = None

    def of(self, partition: int) -> int:
        """Return the bound of a partition."""
        return (self.each or {}).get(partition, self.every)


Bound = datetime | Offsets | tuple[datetime, Offsets] | None
"""A time (with a zone), offsets, both (the narrower counts), or None for the first or last offset of the log."""


class Earlier(StrEnum):
    """Whether a replay begins with the earlier lines of its port, where the port declares a migration of them.

    One that begins at an offset does not: the offset is one of the line itself.
    """

    READ = "read"
    LEAVE_OUT = "leave-out"


class Replay(Generic[Model]):
    """One replay job.

    Args:
        address: of the port.
        mesh: a registry.
        begin: the first time or offset of the replay; None for the beginning of the history. Of a time and offsets together
            both hold.
        end: the time or offset before which the replay ends, also both; None for what can be read now.
        reader: the schema to decode into, or one for each writer's; by default each event keeps the schema that it was
            written with.
        as_: the pydantic model of the events' data, such as a class of `meshport generate`, to whose schema each record is then
            resolved. A tombstone's data is None all the same. A record that the model refuses is a message that cannot be read.
        id: the job's; by default a random one. Its consumer group is `meshport-replay-<id>`.
        on_bad: called with each message that cannot be read, after which the job continues; without it the error is raised.
        missing: whether a replay may begin where part of what it asks for cannot be read.
        earlier: whether events of earlier lines come first, as events of this one (`migration` of the port).
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Attributes:
        since: the first time of the replay (UTC); None where it has none.
        until: the time before which the replay ends (UTC); None where it has none.
        range: the offsets that it reads of the line itself.
        lines: the earlier lines that it reads first, oldest first, each with the offsets that it reads.
        topic_id: Kafka's id of the topic; None where the cluster has none.
        removed: what is removed of the history that was asked for; not empty only where `missing` allows it.
        undecided: the partitions of which open transactions hide the end. With an `end`, only those of which offsets
            before it are hidden, and only where `missing` allows it.

    Raises:
        ValueError: `reader` is given beside a model that has a schema.
        ReplayError: the end is not after the beginning, a time has no zone, or a partition does not exist.
        HistoryMissing: the history from `begin` on is removed in part; `missing` allows it.
        HistoryUndecided: the history up to `end` is hidden in part by an open transaction; `missing` allows it.
        TopicRemade: the address is bound to an earlier topic of the same name.
        NotRegistered: the registry knows no such port.
    """

    def __init__(
        self,
        address: Address | str,
        mesh: Mesh,
        *,
        begin: Bound = None,
        end: Bound = None,
        reader: Schema | ReaderSchemas | None = None,
        as_: type[Model] | None = None,
        id: str | None = None,
        on_bad: Callable[[BadEvent], None] | None = None,
        missing: Missing = Missing.REFUSE,
        earlier: Earlier = Earlier.READ,
        kafka: KafkaAccess = PLAINTEXT,
    ) -> None:
        self.binding = mesh.resolve(Address.parse(address) if isinstance(address, str) else address)
        self.id = id or uuid4().hex
        self._on_bad = on_bad
        self._read = as_model(reader_for(self.binding, mesh, model_schema(as_, reader)).read, as_)
        self.since, first = _parts(begin, "begin")
        self.until, last = _parts(end, "end")
        if self.since and self.until and self.until <= self.since:
            raise ReplayError(
                f"the replay would end at {self.until.isoformat()}, not after it begins at {self.since.isoformat()}"
            )
        self._kafka = kafka.to(self.binding)
        lines = earlier_lines(self.binding, mesh, mesh) if earlier is Earlier.READ and first is None else ()
        self._ports = [self.binding, *(each.binding for each in lines)]
        self._consumer = history_reader(self._kafka, self._ports, group=f"meshport-replay-{self.id}")
        self._logs = LogWatch(
            self._kafka,
            self.binding.topic,
            reader=f"replay {self.id} has read another log",
            hint=f"{apply_hint(self.binding)}; then begin the replay again, which reads it",
        )
        try:
            self.topic_id = self._logs.id_of(self.binding.topic)
            refuse_other_log(self.binding, self.topic_id)
            bounds, undecided = readable_bounds(self._kafka, self._consumer, self.binding.topic)
            self.range = self._range_of(first, last, bounds)
            self.removed: Sequence[RemovedHistory] = self._removed(first, bounds)
            insist(self.removed, missing, _ALLOWED)
            self.undecided: Sequence[UndecidedHistory] = _hidden(undecided, last)
            insist(self.undecided, missing if end is not None else Missing.ALLOW, _ALLOWED)
            recorded = None if self.since is None else self.since - _CLOCK_SKEW
            wanted = [each for each in lines if self.since is None or each.until > self.since]
            self.lines = [
                (
                    each,
                    line_range(
                        each, self._kafka, self._consumer, missing, _ALLOWED, since=self.since, recorded=recorded
                    ),
                )
                for each in wanted
            ]
        except BaseException:
            self._consumer.close()
            raise

    def _removed(self, begin: Offsets | None, bounds: Mapping[int, tuple[int, int]]) -> list[RemovedHistory]:
        offsets = None if begin is None else {each: begin.of(each) for each in bounds}
        removed = self._removed_from(bounds, self.since if offsets is None else offsets)
        if not removed or offsets is None or self.since is None:
            return removed
        # Of a time and offsets together the later one counts, so that history is missed only where both miss some.
        missed = {each.partition for each in self._removed_from(bounds, self.since)}
        return [each for each in removed if each.partition in missed]

    def _removed_from(
        self, bounds: Mapping[int, tuple[int, int]], asked: Mapping[int, int] | datetime | None
    ) -> list[RemovedHistory]:
        return removed_history(self._kafka, self.binding.topic, bounds, asked, ports=self._ports)

    def _range_of(
        self, begin: Offsets | None, end: Offsets | None, bounds: Mapping[int, tuple[int, int]]
    ) -> TopicRange:
        topic = self.binding.topic
        for bound in (begin, end):
            if bound is not None:
                _refuse_impossible(bound, topic, bounds)
        first = {partition: low for partition, (low, _) in bounds.items()}
        last = {partition: high for partition, (_, high) in bounds.items()}
        if self.since is not None:
            # Kafka's timestamp is the recorded time: an event of the time T has an offset after the first that was recorded at T.
            recorded = self._consumer.offsets_at(topic, max(0, int((self.since - _CLOCK_SKEW).timestamp() * 1000)))
            first = {partition: max(low, recorded.get(partition, low)) for partition, low in first.items()}
        if begin is not None:
            first = {partition: max(low, begin.of(partition)) for partition, low in first.items()}
        if end is not None:
            last = {partition: min(high, end.of(partition)) for partition, high in last.items()}
        if begin is not None and end is not None and all(end.of(p) <= begin.of(p) for p in bounds):
            partition = min(bounds)
            raise ReplayError(
                f"the replay would end at offset {end.of(partition)} of {topic} [{partition}], "
                f"not after it begins at {begin.of(partition)}",
                topic=topic,
                partition=partition,
                offset=end.of(partition),
            )
        return TopicRange(topic, first, last)

    def events(self, *, progress: Callable[[int, int], None] | None = None) -> Iterator[Event[Model]]:
        """Yield the events, those of each partition in order, each marked with the job's id.

        Args:
            progress: called with (offsets read, offsets in all) after each batch.

        Raises:
            DecodeError, EventError, NotRegistered: an event cannot be read and there is no `on_bad`.
            TopicRemade: the topic was deleted and made again since the job began.
            BrokerUnavailable: nothing came for half a minute though there was more to read.
        """
        for event in self.history(progress=progress):
            yield event.marked(replayid=self.id)

    def history(self, *, progress: Callable[[int, int], None] | None = None) -> Iterator[Event[Model]]:
        """Yield the same events without the mark: to look at a port's past, not to handle it again."""
        for messages in self._messages(progress):
            for message in messages:
                event = self._event(message)
                if event is not None and self._is_within(event):
                    yield event

    def batches(self, *, limit: int = MOST_MESSAGES) -> Iterator[list[tuple[ReceivedMessage, Event[Model]]]]:
        """Yield the same events in batches, without the mark, each with its message; a batch may be empty.

        `range.positions` are after a batch once the next one is asked for.

        Args:
            limit: the messages to read for a batch, at most.

        Raises:
            DecodeError, EventError, NotRegistered, TopicRemade, BrokerUnavailable: see `events`.
        """
        for messages in self._messages(None, limit):
            batch = []
            for message in messages:
                event = self._event(message)
                if event is not None and self._is_within(event):
                    batch.append((message, event))
            yield batch

    def commit(self) -> None:
        """Commit the positions of the range as offsets of the job's own group.

        Raises:
            KafkaError: they were not committed.
        """
        self._consumer.commit(self.range.topic, self.range.positions)

    def _is_within(self, event: Event[Model]) -> bool:
        since, until = self.since, self.until
        return not ((since and event.time < since) or (until and event.time >= until))

    def _messages(
        self, progress: Callable[[int, int], None] | None, limit: int = MOST_MESSAGES
    ) -> Iterator[list[ReceivedMessage]]:
        for line, wanted in self.lines:
            for messages in read_range(self._consumer, wanted, progress=self._counted(progress), limit=limit):
                yield line.read(messages)
        with self._logs.explaining():
            for messages in read_range(self._consumer, self.range, progress=self._counted(progress), limit=limit):
                self._logs.look()
                yield messages
            self._logs.check()  # the last messages may be of another log

    @property
    def total(self) -> int:
        """How many offsets the replay spans, with those of earlier lines."""
        return sum(each.total for each in self._ranges)

    @property
    def _ranges(self) -> list[TopicRange]:
        return [*(each for _, each in self.lines), self.range]

    def _counted(self, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None] | None:
        """Return a function that reports the offsets of all lines together."""
        if progress is None:
            return None
        return lambda *_: progress(sum(each.read for each in self._ranges), self.total)

    def _event(self, message: ReceivedMessage) -> Event[Model] | None:
        try:
            return self._read(*event_parts(message.topic(), message))
        except UNREADABLE as error:
            if self._on_bad is None:
                raise
            self._on_bad(BadEvent(message, error))
            return None

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hidden(undecided: Sequence[UndecidedHistory], end: Offsets | None) -> list[UndecidedHistory]:
    """Return the partitions of which open transactions hide offsets before the end; a time may be that of any event."""
    if end is None:
        return list(undecided)
    return [each for each in undecided if end.of(each.partition.partition) > each.stable]


def _refuse_impossible(bound: Offsets, topic: str, partitions: Collection[int]) -> None:
    each = bound.each or {}
    for partition in each:
        if partition not in partitions:
            raise ReplayError(
                f"{topic} has no partition {partition}",
                topic=topic,
                partition=partition,
                hint=f"its partitions are 0 to {max(partitions)}",
            )
    if negative := [offset for offset in (bound.every, *each.values()) if offset < 0]:
        raise ReplayError(
            f"{negative[0]} is no offset of {topic}", topic=topic, offset=negative[0], hint="offsets are counted from 0"
        )


def _parts(bound: Bound, name: str) -> tuple[datetime | None, Offsets | None]:
    """Return the time (UTC) and the offsets of a bound."""
    time, offsets = bound if isinstance(bound, tuple) else (bound, bound)
    if not isinstance(time, datetime):
        return None, offsets if isinstance(offsets, Offsets) else None
    if time.tzinfo is None:
        raise ReplayError(f"{name} is {time.isoformat()}, a time without a zone", hint="2001-02-01T00:00:00Z")
    return time.astimezone(UTC), offsets if isinstance(offsets, Offsets) else None
