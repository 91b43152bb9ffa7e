"""Subscribing to an address: events one by one or in batches, at least once, in order for each key."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, Self

from meshport.address import Address
from meshport.columnar import supports
from meshport.errors import KafkaError, MeshError, RegistryUnavailable, SchemaError
from meshport.event import UNREADABLE, Event, EventReader, SchemaSource
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import Headers, ReceivedMessage, event_parts, headers_of
from meshport.kafka.topic_log import LogWatch, TopicLog
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.generation_cursor import LOOK_S, BindingWatch, GenerationCursor
from meshport.ports.group_start import MOVE_GROUP, GroupStart, Start
from meshport.ports.history import Missing, insist, removed_history
from meshport.ports.registry_outage import WaitingSchemas
from meshport.ports.resolver import Resolver
from meshport.ports.seen_events import SeenEvents
from meshport.schema import Schema, parse_schema

if TYPE_CHECKING:
    from meshport.ports.batches import EventBatch

# Often enough that a restart repeats little, seldom enough that commits cost nothing beside the reading.
_COMMIT_EVERY_S: Final = 1.0
_BATCH: Final = 2000
# librdkafka's default: a member that does not poll for so long is removed from its group.
_LONGEST_POLL_MS: Final = 300_000
# A member polls this often while its caller handles a batch slowly.
_POLL_EVERY_S: Final = 30.0
_ALLOWED: Final = "`missing=Missing.ALLOW` goes on with what is left; `start=Start.LATEST` begins with what comes"


class Mesh(Resolver, SchemaSource, Protocol):
    """What a subscriber asks of a registry: bindings of addresses, and schemas."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """A message that is no readable event.

    Attributes:
        message: the message as it was received: topic, partition, offset, key and value.
        error: why it cannot be read.
    """

    message: ReceivedMessage
    error: MeshError

    @property
    def headers(self) -> Headers:
        """The headers of the message, without those whose names are not UTF-8."""
        return headers_of(self.message) or ()

    def __str__(self) -> str:
        at = f"{self.message.topic()}[{self.message.partition()}]@{self.message.offset()}"
        # The event reader's message names the position already; that of a later check may not.
        return self.error.message if at in self.error.message else f"{at}: {self.error.message}"


class Subscriber:
    """Reads the events of one output port.

    Iterating yields one event after another. The group's offset advances past an event when the next one is asked for, so
    that a crash repeats events but never skips one (at least once). A loop that was left, by `break` or by an error, can be
    entered again: it continues with the event at which it was left.

    While the registry does not answer, the subscriber goes on with every schema that it knows; at an event of another schema it
    waits, and logs that (`meshport.ports.registry_outage`). `stop` ends the wait.

    When the address is bound to another generation, the subscriber reads the present one to its end, and continues in the
    next one after the same outputs: no event is missed or repeated (`meshport.ports.generation_cursor`). A group moves once
    all of its partitions are at the end.

    Args:
        address: of the port.
        mesh: a registry.
        group: the consumer group, which shares the partitions and commits its offsets; None reads all partitions and commits
            nothing.
        start: where to begin without a committed offset. `EARLIEST` is the beginning of the history.
        reader: the schema to decode into; by default each event keeps the schema that it was written with.
        remember: how many (source, id) pairs to remember for each partition; an event with one of them is left out. 0 keeps
            all events.
        on_bad: called with each message that cannot be read, after which reading continues; without it the error is raised,
            and the offset does not advance.
        missing: whether to go on where part of the history is removed: before a beginning at the earliest, or since the group
            read last.
        kafka: the connection to Kafka; servers that it names win over the binding's.
        look_s: seconds between two requests to the registry for the binding of the address.

    Attributes:
        binding: the newest binding of the address.

    Reading ends with TopicRemade where the topic was deleted and made again, and takes up partitions that are added to it,
    from their first offset.

    Raises:
        NotRegistered: the registry knows no such port.
        HistoryMissing: part of the history is removed, and `missing` does not allow it. With a group, reading raises it.
        RegistryUnavailable, BrokerUnavailable: no answer.
    """

    def __init__(
        self,
        address: Address | str,
        mesh: Mesh,
        *,
        group: str | None = None,
        start: Start = Start.EARLIEST,
        reader: Schema | None = None,
        remember: int = 0,
        on_bad: Callable[[BadEvent], None] | None = None,
        missing: Missing = Missing.REFUSE,
        kafka: KafkaConfig = PLAINTEXT,
        look_s: float = LOOK_S,
    ) -> None:
        self.binding = mesh.resolve(Address.parse(address) if isinstance(address, str) else address)
        self._group = group
        self._start = start
        self._missing = missing
        self._seen = SeenEvents(remember) if remember else None
        self._on_bad = on_bad
        self._reader = reader
        self._buffer: deque[ReceivedMessage] = deque()
        self._next_offsets: dict[int, int] = {}
        self._revoked_partitions: set[int] = set()
        self._committed: dict[int, int] = {}
        self._commit_due = time.monotonic() + _COMMIT_EVERY_S
        self._polled = time.monotonic()
        longest_ms = int(kafka.properties.get("max.poll.interval.ms", _LONGEST_POLL_MS))
        self._poll_every_s = min(_POLL_EVERY_S, longest_ms / 3000)
        self._stopped = threading.Event()
        self._schemas = WaitingSchemas(mesh, self._stopped, waiter=f"the subscriber of {self.binding.address}")
        self._read = EventReader(self._schemas, reader).read
        self._kafka = kafka.at(self.binding.bootstrap_servers)
        self._consumer = Consumer(self._kafka, group=group)
        self._cursor = GenerationCursor(self.binding, self._consumer.committed if group else None)
        self._topic = self._cursor.current.topic
        self._filters = self._cursor.current.ends is not None
        self._watch = BindingWatch(self.binding.address, mesh, look_s)
        # A subscriber that is garbage-collected without being closed stops resolving.
        self._unwatch = weakref.finalize(self, self._watch.close)
        self._read_topic()

    def _read_topic(self, continued: dict[int, int] | None = None) -> None:
        """Read the current topic: from these offsets, or by default from the start that was asked for or from the group's."""
        topic, group = self._topic, self._group
        reader = (
            f"what was read of it as group {group!r} is of another log" if group else "what was read is of another log"
        )
        hint = MOVE_GROUP if group else "start again, to read the new topic from its beginning"
        self._logs = LogWatch(self._kafka, topic, reader=reader, hint=hint, group=group)
        if group is None:
            self._begins = self._first_offsets() if continued is None else continued
            self._consumer.assign({TopicPartition(topic, each): offset for each, offset in self._begins.items()})
            return
        self._begins = {}
        log = self._logs.known.get(topic, TopicLog(topic, None, self.binding.partitions))
        self._group_start = GroupStart(group, log, self._start, self._cursor.first_offset)
        self._consumer.subscribe(topic, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def _first_offsets(self) -> dict[int, int]:
        bounds = self._consumer.bounds(self._topic)
        offsets = {each: 0 if self._start is Start.EARLIEST else end for each, (_, end) in bounds.items()}
        return self._retained(offsets, bounds)

    def _retained(self, offsets: dict[int, int], bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Return offsets to begin at, none before the first that is left of its partition.

        Raises:
            HistoryMissing: one is, and that is not allowed.
        """
        asked = {partition: bounds[partition] for partition in offsets}
        insist(removed_history(self._kafka, self._topic, asked, offsets), self._missing, _ALLOWED)
        return {partition: max(offset, bounds[partition][0]) for partition, offset in offsets.items()}

    def _take_up_partitions(self) -> None:
        """Read partitions that were added to the topic from their first offset. A group is assigned them by Kafka."""
        if self._group is not None or self._logs.partitions.get(self._topic, 0) <= len(self._begins):
            return
        begins = self._consumer.begin_offsets(self._topic)
        added = {partition: offset for partition, offset in begins.items() if partition not in self._begins}
        self._consumer.assign_more({TopicPartition(self._topic, each): offset for each, offset in added.items()})
        self._begins |= added

    def _on_assign(self, partitions: Sequence[int]) -> dict[int, int]:
        self._logs.check()
        commits = self._consumer.commits(self._topic)
        bounds = self._consumer.bounds(self._topic)
        offsets = self._retained(self._group_start.offsets(partitions, commits, bounds), bounds)
        for partition, offset in offsets.items():
            if partition in commits:
                self._committed[partition] = offset
            else:
                # Without a committed offset, a restarted group that begins at the latest would skip what came before its
                # first commit.
                self._next_offsets[partition] = offset
                self._commit_due = 0.0
        self._revoked_partitions.difference_update(partitions)
        return offsets

    def _on_revoke(self, partitions: Sequence[int]) -> None:
        # Events whose offset cannot be committed any more are read again by the next member; reading need not stop for that.
        with contextlib.suppress(KafkaError):
            self.commit()
        self._on_lost(partitions)

    def _on_lost(self, partitions: Sequence[int]) -> None:
        """Drop what was received of these partitions: another member reads it from the committed offset on."""
        self._revoked_partitions.update(partitions)
        for partition in partitions:
            self._next_offsets.pop(partition, None)
            self._committed.pop(partition, None)
            if self._seen is not None:
                self._seen.forget(partition)

    def __iter__(self) -> Iterator[Event]:
        """Yield events one by one, for ever or until `stop`."""
        read, seen, buffer, clock = self._read, self._seen, self._buffer, time.monotonic
        while not self._stopped.is_set():
            if not buffer:
                self._poll(_BATCH, 0.5)
            topic = self._topic
            while buffer:
                message = buffer[0]
                parts = event_parts(topic, message)
                try:
                    event = read(*parts)
                except UNREADABLE as error:
                    self._refused(message, error)
                except RegistryUnavailable:
                    if self._stopped.is_set():
                        return
                    raise
                else:
                    if seen is None or seen.first(event):
                        yield event
                buffer.popleft()
                self._next_offsets[parts[4]] = parts[5] + 1
                if self._stopped.is_set():
                    break
                if clock() >= self._commit_due:
                    self._tend()

    def batches(self, limit: int = _BATCH, *, wait_s: float = 1.0) -> Iterator[list[Event]]:
        """Yield events in batches of up to `limit`; a batch is empty where none came for `wait_s` seconds.

        The group's offset advances past a batch when the next one is asked for.
        """
        read, seen, buffer = self._read, self._seen, self._buffer
        while not self._stopped.is_set():
            if buffer:
                self._tend()
            else:
                self._poll(limit, wait_s)
            topic = self._topic
            events: list[Event] = []
            next_offsets: dict[int, int] = {}
            handled = 0
            for message in islice(buffer, limit):
                parts = event_parts(topic, message)
                try:
                    event = read(*parts)
                except UNREADABLE as error:
                    if handled and self._on_bad is None:
                        break  # the events before it are returned first; the next batch begins with the error
                    self._refused(message, error)
                except RegistryUnavailable:
                    if self._stopped.is_set():
                        break
                    raise
                else:
                    if seen is None or seen.first(event):
                        events.append(event)
                next_offsets[parts[4]] = parts[5] + 1
                handled += 1
            yield events
            for _ in range(handled):
                buffer.popleft()
            self._next_offsets.update(next_offsets)

    def arrow_batches(self, limit: int = 10_000, *, wait_s: float = 1.0) -> Iterator[EventBatch]:
        """Yield events by columns, in batches of up to `limit` events or 32 MiB; empty where none came for `wait_s` seconds.

        As with `batches`, the group's offset advances past a batch when the next one is asked for. A message that cannot be
        read goes to `on_bad` or ends the batch before it, and an event that was seen before is left out. Rows have the
        reader's schema, or else the port's. Events without data are the batch's `tombstones`.

        Raises:
            SchemaError: no columns hold the schema, or the extra `meshport[columnar]` is not installed.
        """
        schema = self._reader or parse_schema(self.binding.schema_text)
        if why := supports(schema):
            raise SchemaError(f"{schema.name} cannot be read by columns: {why}", hint="`batches` gives events")
        from meshport.ports.batches import BatchReader  # noqa: PLC0415 - needs pyarrow, which is there

        read, buffer = BatchReader(self._schemas, schema).read, self._buffer
        on_bad = None if self._on_bad is None else self._refused
        first = None if self._seen is None else self._seen.is_first
        while not self._stopped.is_set():
            if buffer:
                self._tend()
            else:
                self._poll(limit, wait_s)
            messages = [*islice(buffer, limit)]
            try:
                batch, handled = read(self._topic, messages, on_bad=on_bad, first=first)
            except RegistryUnavailable:
                if self._stopped.is_set():
                    return
                raise
            yield batch
            for message in messages[:handled]:
                buffer.popleft()
                self._next_offsets[message.partition()] = message.offset() + 1

    def _poll(self, limit: int, wait_s: float) -> None:
        """Receive up to `limit` messages into the buffer."""
        if time.monotonic() >= self._commit_due:
            self.commit()
        self._follow()
        self._logs.look()
        self._take_up_partitions()
        with self._logs.explaining():
            self._take(self._consumer.read(limit, wait_s))

    def _follow(self) -> None:
        """Continue in the next generation, if the address is bound to one and this one is read to its end."""
        found = self._watch.found
        if found is not None and found.topic != self.binding.topic:
            self._cursor.rebind(found)
            self.binding = found
            self._filters = True
        if self._cursor.current.ends is None or not self._is_read():
            return
        generation = self._cursor.advance()
        self._topic = generation.topic
        self._buffer.clear()
        self._next_offsets, self._committed = {}, {}
        self._read_topic(dict(generation.begins or {}))

    def _is_read(self) -> bool:
        generation = self._cursor.current
        if self._group is None:
            return generation.is_read(self._begins | self._next_offsets)
        own = self._committed | self._next_offsets
        if any(offset < (generation.ends or {}).get(partition, 0) for partition, offset in own.items()):
            return False
        self.commit()
        return generation.is_read(self._consumer.committed(self._topic))

    def _tend(self) -> None:
        """Commit and stay in the group while messages are in the buffer: the caller may take long to handle them."""
        if time.monotonic() >= self._commit_due:
            self.commit()
        if self._group is not None and time.monotonic() - self._polled >= self._poll_every_s:
            self._take(self._consumer.keep_alive())

    def _take(self, messages: list[ReceivedMessage]) -> None:
        self._polled = time.monotonic()
        if self._filters:
            topic, generation = self._topic, self._cursor.current
            messages = [
                each
                for each in messages
                if each.topic() == topic and generation.counts(each.partition(), each.offset())
            ]
        self._buffer.extend(messages)
        if self._revoked_partitions:
            # A partition can be revoked between two messages of a batch; another member reads it now.
            kept = [each for each in self._buffer if each.partition() not in self._revoked_partitions]
            self._buffer.clear()
            self._buffer.extend(kept)
            self._revoked_partitions.clear()

    def _refused(self, message: ReceivedMessage, error: MeshError) -> None:
        if self._on_bad is None:
            raise error
        self._on_bad(BadEvent(message, error))

    def commit(self) -> None:
        """Commit the group's offsets after the last events that were handled; does nothing without a group.

        While the group rebalances nothing is committed; the partitions are assigned again at their committed offsets.

        Raises:
            KafkaError: the offsets could not be committed.
        """
        self._commit_due = time.monotonic() + _COMMIT_EVERY_S
        known = self._committed
        advanced = {each: offset for each, offset in self._next_offsets.items() if known.get(each) != offset}
        if self._group is None or not advanced:
            return
        if self._consumer.commit(self._topic, advanced, self._group_start.note):
            known.update(advanced)

    def stop(self) -> None:
        """End the iteration after the present event; may be called from a signal handler or another thread."""
        self._stopped.set()

    def close(self) -> None:
        """Commit the group's offsets and leave the group."""
        self._unwatch()
        try:
            self.commit()
        finally:
            self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
