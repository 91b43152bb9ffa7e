"""Subscribing to an address: events one by one or in batches, at least once, in order for each key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self

from pydantic import BaseModel
from typing_extensions import TypeVar

from meshport.address import Address
from meshport.binding import Binding
from meshport.columnar import supports
from meshport.errors import MeshError, RegistryUnavailable, SchemaError
from meshport.event import UNREADABLE, Event, SchemaSource, reader_for
from meshport.event.model import as_model, model_schema
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.received import Headers, ReceivedMessage, event_parts, headers_of
from meshport.ports.earlier_lines import earlier_lines
from meshport.ports.failed.reading import RetryingReader
from meshport.ports.failed.waiting import Retry, WaitingEvents, require_group
from meshport.ports.generation_cursor import LOOK_S
from meshport.ports.group_start import Begin, Start
from meshport.ports.history import Missing
from meshport.ports.registry_outage import WaitingSchemas
from meshport.ports.replayed import OnReplay, PassedOver
from meshport.ports.required_levels import RequireWord
from meshport.ports.resolver import Resolver, subscriber_resolver
from meshport.ports.seen_events import SeenEvents
from meshport.ports.stop_signals import stopped_by_signals
from meshport.ports.subscription import Subscription
from meshport.schema import Schema, parse_schema

if TYPE_CHECKING:
    from meshport.ports.batches import EventBatch

_BATCH: Final = 2000

Model = TypeVar("Model", bound=BaseModel, default=Any)
"""The class of the events' data; without `as_` they are mappings."""


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


class Subscriber(Generic[Model]):
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
        start: where to begin without a committed offset: `EARLIEST` is the beginning of the history; a time begins with the first
            event of each partition that was recorded then or later; offsets by partition with these (`Snapshot.boundary`).
        reader: the schema to decode into; by default each event keeps the schema that it was written with.
        as_: the pydantic model of the events' data, such as a class of `meshport generate`, to whose schema each record is then
            resolved. A tombstone's data is None all the same. A record that the model refuses is a message that cannot be read.
        remember: how many (source, id) pairs to remember for each partition; an event with one of them is left out. 0 keeps
            all events.
        on_bad: called with each message that cannot be read, after which reading continues; without it the error is raised,
            and the offset does not advance.
        on_error: what is done with an event that could not be handled (`run`, `failed`): tried again later, and quarantined after
            the last try. A message that cannot be read is quarantined at once, unless there is `on_bad`. Needs a group.
        missing: whether to go on where part of the history is removed: before a beginning at the earliest, or since the group
            read last.
        kafka: the connections to Kafka; servers that they name win over the binding's.
        look_s: seconds between two requests to the registry for the binding of the address.
        require: what is required of the port's service levels, as measured (`Require`): "met" refuses to read while they are
            below it, "await-met" waits. By default nothing.

    Reading ends with TopicRemade where the topic was deleted and made again, and takes up partitions that are added to it,
    from their first offset.

    Raises:
        ValueError: `on_error` is given without a group, or `reader` beside a model that has a schema.
        ReplayError: `start` is a time without a zone.
        NotRegistered: the registry knows no such port.
        HistoryMissing: part of the history is removed, and `missing` does not allow it. With a group, reading raises it.
        LevelsNotMet: the service levels are below what is required. Later, reading raises it.
        RegistryUnavailable, BrokerUnavailable: no answer.
    """

    def __init__(
        self,
        address: Address | str,
        mesh: Mesh,
        *,
        group: str | None = None,
        start: Begin = Start.EARLIEST,
        reader: Schema | None = None,
        as_: type[Model] | None = None,
        remember: int = 0,
        on_bad: Callable[[BadEvent], None] | None = None,
        on_error: Retry | None = None,
        missing: Missing = Missing.REFUSE,
        kafka: KafkaAccess = PLAINTEXT,
        look_s: float = LOOK_S,
        require: RequireWord | None = None,
    ) -> None:
        require_group(on_error, group)
        self._reader = model_schema(as_, reader)
        named = subscriber_resolver(mesh, group, self._reader)
        binding = named.resolve(Address.parse(address) if isinstance(address, str) else address)
        self._seen = SeenEvents(remember) if remember else None
        self._on_bad = on_bad
        self._stopped = threading.Event()
        self._schemas = WaitingSchemas(mesh, self._stopped, waiter=f"the subscriber of {binding.address}")
        self._read = as_model(reader_for(binding, self._schemas, self._reader).read, as_)
        # The functions hold no reference to this object: one that is not closed ends as soon as it is not used any more.
        waiting = WaitingEvents()
        forgetting = [waiting.forget] if self._seen is None else [waiting.forget, self._seen.forget]
        self._subscription = Subscription(
            binding,
            subscriber_resolver(mesh, group, self._reader, kafka.to(binding)),
            kafka,
            group=group,
            start=start,
            missing=missing,
            look_s=look_s,
            on_lost=lambda partition: [forget(partition) for forget in forgetting],
            require=require,
            lines=earlier_lines(binding, mesh, self._schemas),
        )
        self._retrying: RetryingReader | None = None
        if on_error is not None and group is not None:
            self._retrying = RetryingReader(
                self._subscription,
                waiting,
                on_error,
                kafka.to(binding),
                group,
                read=self._read,
                seen=self._seen,
                on_bad=None if on_bad is None else self._refused,
                stopped=self._stopped,
            )
        if self._seen is not None:
            self._seen.on_repeated = self._subscription.measures.repeated

    @property
    def binding(self) -> Binding:
        """The newest binding of the address."""
        return self._subscription.binding

    def __iter__(self) -> Iterator[Event[Model]]:
        """Yield events one by one, for ever or until `stop`."""
        return self._events() if self._retrying is None else self._retrying.events()

    def _events(self) -> Iterator[Event[Model]]:
        read, seen, clock = self._read, self._seen, time.monotonic
        subscription = self._subscription
        buffer, next_offsets = subscription.buffer, subscription.next_offsets
        while not self._stopped.is_set():
            if buffer:
                subscription.tend()
            else:
                subscription.poll(_BATCH, 0.5)
            topic = subscription.topic
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
                next_offsets[parts[4]] = parts[5] + 1
                if self._stopped.is_set():
                    break
                if clock() >= subscription.commit_due:
                    subscription.tend()

    def batches(self, limit: int = _BATCH, *, wait_s: float = 1.0) -> Iterator[list[Event[Model]]]:
        """Yield events in batches of up to `limit`; a batch is empty where none came for `wait_s` seconds.

        The group's offset advances past a batch when the next one is asked for.

        Raises:
            ValueError: the subscriber has `on_error`, which is for events one by one.
        """
        self._refuse_on_error()
        read, seen, subscription = self._read, self._seen, self._subscription
        buffer = subscription.buffer
        while not self._stopped.is_set():
            if buffer:
                subscription.tend()
            else:
                subscription.poll(limit, wait_s)
            topic = subscription.topic
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
            subscription.next_offsets.update(next_offsets)

    def arrow_batches(self, limit: int = 10_000, *, wait_s: float = 1.0) -> Iterator[EventBatch]:
        """Yield events by columns, in batches of up to `limit` events or 32 MiB; empty where none came for `wait_s` seconds.

        As with `batches`, the group's offset advances past a batch when the next one is asked for. A message that cannot be
        read goes to `on_bad` or ends the batch before it, and an event that was seen before is left out. Rows have the
        reader's schema, or else the port's. Events without data are the batch's `tombstones`.

        Raises:
            SchemaError: no columns hold the schema, or the extra `meshport[columnar]` is not installed.
            ValueError: as `batches`.
        """
        self._refuse_on_error()
        schema = self._reader or parse_schema(self.binding.schema_text)
        if why := supports(schema):
            raise SchemaError(f"{schema.name} cannot be read by columns: {why}", hint="`batches` gives events")
        from meshport.ports.batches import BatchReader  # noqa: PLC0415 - needs pyarrow, which is there

        read, subscription = BatchReader(self.binding, self._schemas, schema).read, self._subscription
        buffer = subscription.buffer
        on_bad = None if self._on_bad is None else self._refused
        first = None if self._seen is None else self._seen.is_first
        while not self._stopped.is_set():
            if buffer:
                subscription.tend()
            else:
                subscription.poll(limit, wait_s)
            messages = [*islice(buffer, limit)]
            try:
                batch, handled = read(subscription.topic, messages, on_bad=on_bad, first=first)
            except RegistryUnavailable:
                if self._stopped.is_set():
                    return
                raise
            yield batch
            for message in messages[:handled]:
                buffer.popleft()
                subscription.next_offsets[message.partition()] = message.offset() + 1

    def _refuse_on_error(self) -> None:
        if self._retrying is not None:
            raise ValueError(
                "`on_error` is for events one by one: events that wait are given between those of the topic"
            )

    def _refused(self, message: ReceivedMessage, error: MeshError) -> None:
        if self._on_bad is None:
            raise error
        self._subscription.measures.unreadable()
        self._on_bad(BadEvent(message, error))

    def run(self, handle: Callable[[Event[Model]], object], *, on_replay: OnReplay = "skip") -> None:
        """Handle events one by one until `stop`, SIGTERM or SIGINT; the offset advances past an event when `handle` returns.

        A signal lets the present event be handled to its end, after which the offsets are committed. Python lets only the main
        thread handle signals: elsewhere, call `stop`.

        Args:
            handle: handles one event.
            on_replay: what is done with an event of a replay: it is passed over, since `handle` may have effects outside of the
                mesh, or handled.

        Raises:
            Exception: what `handle` raised, without `on_error`; the offset does not advance, and a further call begins with this
                event.
        """
        passed_over = PassedOver(on_replay, f"the subscriber of {self.binding.address}")
        with stopped_by_signals(self.stop):
            for event in self:
                if passed_over(event):
                    continue
                try:
                    handle(event)
                except Exception as error:  # noqa: BLE001 - what is done with it is the caller's to say
                    self.failed(error)
        self.commit()

    def failed(self, error: Exception) -> None:
        """Report that the present event of the iteration could not be handled; without `on_error` the error is raised.

        With it, the event is stored in the retry topic of the group, the offset advances, and the event is given again after a
        pause, until it is handled or its tries are used up. Then it is stored in the group's quarantine topic, with its original
        bytes and the reason. Later events of its key wait meanwhile, and those of other keys do not. While 1000 events wait,
        no new one is given: where everything fails, it is not for the sake of the events.
        """
        if self._retrying is None:
            raise error
        self._retrying.failed(error)

    @property
    def received(self) -> int:
        """How many messages are received and not handled; any thread may ask."""
        return len(self._subscription.buffer)

    @property
    def waiting(self) -> int:
        """How many events of the partitions of this member failed and wait to be given again, with those that wait for them."""
        return 0 if self._retrying is None else len(self._retrying.waiting)

    def seek(self, to: Begin) -> None:
        """Continue elsewhere in the topic, after the present event or batch; the group's offsets move there as well.

        Each member of a group seeks in the partitions that it is assigned; one that has not joined yet, in its first ones.

        Args:
            to: the earliest or the latest event; the first event of each partition that was recorded at a time or later; or by
                partition an offset. Other partitions stay.

        Raises:
            ReplayError: a time has no zone, or an offset is negative. Reading raises it for an offset after the end of a
                partition, and HistoryMissing where the history there is removed.
        """
        self._subscription.seek(to)

    def commit(self) -> None:
        """Commit the group's offsets after the last events that were handled; does nothing without a group.

        While the group rebalances nothing is committed; the partitions are assigned again at their committed offsets.

        Raises:
            KafkaError: the offsets could not be committed.
        """
        self._subscription.commit()

    def stop(self) -> None:
        """End the iteration after the present event; may be called from a signal handler or another thread."""
        self._stopped.set()

    def close(self) -> None:
        """Commit the group's offsets and leave the group."""
        try:
            self._subscription.close()
        finally:
            if self._retrying is not None:
                self._retrying.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
