"""Subscribing to an address: events one by one or in batches, at least once, in order for each key."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, Self

from meshport.address import Address
from meshport.columnar import supports
from meshport.errors import CodecError, EventError, KafkaError, MeshError, NotRegistered, SchemaError
from meshport.event import Event, EventReader, SchemaSource
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.consumer import Consumer, ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.following import LOOK_S, Watch, Way
from meshport.ports.resolver import Resolver
from meshport.schema import Schema, parse_schema

if TYPE_CHECKING:
    from meshport.ports.batches import EventBatch

# Often enough that a restart repeats little, seldom enough that commits cost nothing beside reading.
_COMMIT_EVERY_S: Final = 1.0
_BATCH: Final = 2000
# librdkafka's default: a member that does not poll for so long is put out of its group.
_LONGEST_POLL_MS: Final = 300_000
# Within a batch that is handled slowly, the group hears of us this often.
_ALIVE_EVERY_S: Final = 30.0
_UNREADABLE: Final = (CodecError, EventError, NotRegistered)


class Start(StrEnum):
    """Where a group begins that has no place yet."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Mesh(Resolver, SchemaSource, Protocol):
    """What a subscriber asks of a registry: addresses and schemas."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """A message that could not be read as an event, with its bytes untouched.

    Attributes:
        message: topic, partition, offset, key, value and headers as they came.
        error: why it could not be read.
    """

    message: ReceivedMessage
    error: MeshError

    def __str__(self) -> str:
        at = f"{self.message.topic()}[{self.message.partition()}]@{self.message.offset()}"
        # The event reader names the place already; whoever refuses an event later on may not.
        return self.error.message if at in self.error.message else f"{at}: {self.error.message}"


class Subscriber:
    """Reads the events of one output port.

    Iterating gives one event after another; the group's place moves past an event once the next one is asked for, so
    that a crash repeats events but never skips one (at least once). A loop that was left, by `break` or by an error,
    can be entered again: it goes on with the event at which it was left.

    When the address is bound to another generation, it reads the one that it is in to its end, and goes on in the next one
    behind the same outputs: nothing is missed, and nothing comes twice (`meshport.ports.following`). A group moves once all of
    it is at the end.

    Args:
        address: of the port.
        mesh: a registry.
        group: the consumer group, which shares the partitions and keeps its place; None reads all of them for itself.
        start: where to begin without a place.
        reader: the schema to decode into; by default each event keeps the one it was written with.
        remember: how many (source, id) pairs to remember per partition; events seen before are left out. 0 is none.
        on_bad: gets what cannot be read, and reading goes on; without it the error is raised and the place stays.
        kafka: the connection to Kafka; servers that it names win over the binding's.
        look_s: seconds between two questions to the registry, whether the address was bound to another generation.

    Attributes:
        binding: what the address was bound to when that was last asked.
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
        kafka: KafkaConfig = PLAINTEXT,
        look_s: float = LOOK_S,
    ) -> None:
        self.binding = mesh.resolve(Address.parse(address) if isinstance(address, str) else address)
        self._group = group
        self._start = start
        self._seen = _Seen(remember) if remember else None
        self._on_bad = on_bad
        self._mesh = mesh
        self._reader = reader
        self._read = EventReader(mesh, reader).read
        self._hand: deque[ReceivedMessage] = deque()
        self._places: dict[int, int] = {}
        self._gone: set[int] = set()
        self._committed: dict[int, int] = {}
        self._commit_due = time.monotonic() + _COMMIT_EVERY_S
        self._polled = time.monotonic()
        longest_ms = int(kafka.properties.get("max.poll.interval.ms", _LONGEST_POLL_MS))
        self._alive_s = min(_ALIVE_EVERY_S, longest_ms / 3000)
        self._stopped = threading.Event()
        self._consumer = Consumer(kafka.at(self.binding.bootstrap_servers), group=group)
        self._way = Way(self.binding, self._consumer.committed if group else None)
        self._topic = self._way.leg.topic
        self._sifts = self._way.leg.ends is not None
        self._watch = Watch(self.binding.address, mesh, look_s)
        # One that is dropped without being closed asks no more.
        self._unwatch = weakref.finalize(self, self._watch.close)
        self._read_topic(self._first_offsets() if group is None else {})

    def _read_topic(self, places: dict[int, int]) -> None:
        """Read the topic of this leg: from these places, or where the group stands."""
        self._begins = places
        if self._group is None:
            self._consumer.assign({TopicPartition(self._topic, each): at for each, at in places.items()})
        else:
            self._consumer.subscribe(self._topic, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _first_offsets(self) -> dict[int, int]:
        if self._start is Start.EARLIEST:
            return self._consumer.begin_offsets(self._topic)
        return self._consumer.end_offsets(self._topic)

    def _assigned(self, partitions: Sequence[int]) -> dict[int, int]:
        known = self._consumer.committed(self._topic)
        bounds = self._consumer.bounds(self._topic)
        places = {}
        for partition in partitions:
            begin, end = bounds[partition]
            place = known.get(partition, self._first(partition, begin, end))
            if place < begin:
                raise KafkaError(
                    f"group {self._group!r} stands at offset {place} of {self._topic} [{partition}], "
                    f"but the log begins at {begin}: {begin - place} events are past retention",
                    topic=self._topic,
                    partition=partition,
                    offset=place,
                    hint="move the group on by hand if they may be missed",
                )
            places[partition] = place
            if partition in known:
                self._committed[partition] = place
            else:
                # Without a recorded place, a group that begins with the latest would skip what comes before its first commit.
                self._places[partition] = place
                self._commit_due = 0.0
        self._gone.difference_update(partitions)
        return places

    def _first(self, partition: int, begin: int, end: int) -> int:
        """Where a partition begins that the group has no place in."""
        going_on = self._way.begin(partition)
        if going_on is not None:
            return going_on
        return begin if self._start is Start.EARLIEST else end

    def _revoked(self, partitions: Sequence[int]) -> None:
        # A place that cannot be recorded any more is the next member's to repeat; that is no reason to stop reading.
        with contextlib.suppress(KafkaError):
            self.commit()
        self._lost(partitions)

    def _lost(self, partitions: Sequence[int]) -> None:
        """Another member has these already: what is in hand of them is read there, from the recorded place on."""
        self._gone.update(partitions)
        for partition in partitions:
            self._places.pop(partition, None)
            self._committed.pop(partition, None)
            if self._seen is not None:
                self._seen.forget(partition)

    def __iter__(self) -> Iterator[Event]:
        """Events one by one, for ever or until `stop`."""
        read, seen, hand, clock = self._read, self._seen, self._hand, time.monotonic
        while not self._stopped.is_set():
            if not hand:
                self._poll(_BATCH, 0.5)
            topic = self._topic
            while hand:
                message = hand[0]
                partition, offset = message.partition(), message.offset()
                try:
                    event = read(
                        message.key(),
                        message.value(),
                        message.headers(),
                        topic,
                        partition,
                        offset,
                        message.timestamp()[1],
                    )
                except _UNREADABLE as error:
                    self._refused(message, error)
                else:
                    if seen is None or seen.first(event):
                        yield event
                hand.popleft()
                self._places[partition] = offset + 1
                if self._stopped.is_set():
                    break
                if clock() >= self._commit_due:
                    self._tend()

    def batches(self, limit: int = _BATCH, *, wait_s: float = 1.0) -> Iterator[list[Event]]:
        """Events in batches of up to `limit`; a batch is empty when nothing came for `wait_s` seconds.

        The group's place moves past a batch once the next one is asked for.
        """
        read, seen, hand = self._read, self._seen, self._hand
        while not self._stopped.is_set():
            if hand:
                self._tend()
            else:
                self._poll(limit, wait_s)
            topic = self._topic
            events: list[Event] = []
            places: dict[int, int] = {}
            handled = 0
            for message in islice(hand, limit):
                partition, offset = message.partition(), message.offset()
                try:
                    event = read(
                        message.key(),
                        message.value(),
                        message.headers(),
                        topic,
                        partition,
                        offset,
                        message.timestamp()[1],
                    )
                except _UNREADABLE as error:
                    if handled and self._on_bad is None:
                        break  # what stands before it is handed out first; the next batch begins with the error
                    self._refused(message, error)
                else:
                    if seen is None or seen.first(event):
                        events.append(event)
                places[partition] = offset + 1
                handled += 1
            yield events
            for _ in range(handled):
                hand.popleft()
            self._places.update(places)

    def arrow_batches(self, limit: int = 10_000, *, wait_s: float = 1.0) -> Iterator[EventBatch]:
        """Events by columns, in batches of up to `limit` events or 32 MiB; empty when nothing came for `wait_s` seconds.

        As with `batches`, the group's place moves past a batch once the next one is asked for, what cannot be read goes to
        `on_bad` or ends the batch before it, and what was seen before is left out. Rows have the reader's schema, or else the
        port's. Events without data are the batch's `tombstones`.

        Raises:
            SchemaError: no columns hold the schema, or the extra `meshport[columnar]` is not installed.
        """
        schema = self._reader or parse_schema(self.binding.schema_text)
        if why := supports(schema):
            raise SchemaError(f"{schema.name} cannot be read by columns: {why}", hint="`batches` gives events")
        from meshport.ports.batches import BatchReader  # noqa: PLC0415 - needs pyarrow, which is there

        read, hand = BatchReader(self._mesh, schema).read, self._hand
        on_bad = None if self._on_bad is None else self._refused
        first = None if self._seen is None else self._seen.is_first
        while not self._stopped.is_set():
            if hand:
                self._tend()
            else:
                self._poll(limit, wait_s)
            messages = [*islice(hand, limit)]
            batch, handled = read(self._topic, messages, on_bad=on_bad, first=first)
            yield batch
            for message in messages[:handled]:
                hand.popleft()
                self._places[message.partition()] = message.offset() + 1

    def _poll(self, limit: int, wait_s: float) -> None:
        """Take up to `limit` messages in hand."""
        if time.monotonic() >= self._commit_due:
            self.commit()
        self._follow()
        self._take(self._consumer.read(limit, wait_s))

    def _follow(self) -> None:
        """Go on in the next generation, if the address is bound to one and this one is read to its end."""
        found = self._watch.found
        if found is not None and found.topic != self.binding.topic:
            self._way.lengthen(found)
            self.binding = found
            self._sifts = True
        if self._way.leg.ends is None or not self._is_through():
            return
        leg = self._way.go_on()
        self._topic = leg.topic
        self._hand.clear()
        self._places, self._committed = {}, {}
        self._read_topic(dict(leg.begins or {}))

    def _is_through(self) -> bool:
        leg = self._way.leg
        if self._group is None:
            return leg.is_read(self._begins | self._places)
        own = self._committed | self._places
        if any(offset < (leg.ends or {}).get(partition, 0) for partition, offset in own.items()):
            return False
        self.commit()
        return leg.is_read(self._consumer.committed(self._topic))

    def _tend(self) -> None:
        """Record the place, and stay in the group, while messages are in hand: handling them may take its time."""
        if time.monotonic() >= self._commit_due:
            self.commit()
        if self._group is not None and time.monotonic() - self._polled >= self._alive_s:
            self._take(self._consumer.keep_alive())

    def _take(self, messages: list[ReceivedMessage]) -> None:
        self._polled = time.monotonic()
        if self._sifts:
            topic, leg = self._topic, self._way.leg
            messages = [
                each for each in messages if each.topic() == topic and leg.counts(each.partition(), each.offset())
            ]
        self._hand.extend(messages)
        if self._gone:
            # A partition can leave between two messages of a batch; another member reads it now.
            kept = [each for each in self._hand if each.partition() not in self._gone]
            self._hand.clear()
            self._hand.extend(kept)
            self._gone.clear()

    def _refused(self, message: ReceivedMessage, error: MeshError) -> None:
        if self._on_bad is None:
            raise error
        self._on_bad(BadEvent(message, error))

    def commit(self) -> None:
        """Record the group's place after the last event that was handled; nothing without a group.

        While the group shares its partitions anew it takes no place; they come back with the place that it knows.

        Raises:
            KafkaError: the place could not be recorded.
        """
        self._commit_due = time.monotonic() + _COMMIT_EVERY_S
        moved = {partition: at for partition, at in self._places.items() if self._committed.get(partition) != at}
        if self._group is not None and moved and self._consumer.commit(self._topic, moved):
            self._committed.update(moved)

    def stop(self) -> None:
        """End the iteration after the event in hand; may be called from a signal handler or another thread."""
        self._stopped.set()

    def close(self) -> None:
        """Record the group's place and leave the group."""
        self._unwatch()
        try:
            self.commit()
        finally:
            self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Seen:
    """The last `size` (source, id) pairs of each partition, with the offset at which each was first seen."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pairs: dict[int, OrderedDict[tuple[str, str], int]] = {}

    def first(self, event: Event) -> bool:
        return self.is_first(event.partition, event.offset, event.source, event.id)

    def is_first(self, partition: int, offset: int, source: str, id: str) -> bool:
        pairs = self._pairs.setdefault(partition, OrderedDict())
        identity = (source, id)
        if identity in pairs:
            # The same offset again is a repeat of this very event after a rebalance, not a duplicate of it.
            return pairs[identity] == offset
        pairs[identity] = offset
        if len(pairs) > self._size:
            pairs.popitem(last=False)
        return True

    def forget(self, partition: int) -> None:
        """Another member reads the partition now; what it repeats when it comes back is new to us."""
        self._pairs.pop(partition, None)
