"""Subscribing from the tasks of an event loop: one event after another, or many at a time in order for each key."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Generic, Self, cast

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import KafkaError
from meshport.event import Event, reader_for
from meshport.event.model import as_model, model_schema
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.async_mesh import AsyncMesh, for_threads
from meshport.ports.earlier_lines import earlier_lines
from meshport.ports.failed.retries import Retries
from meshport.ports.failed.retry_topic import RetryTopic
from meshport.ports.failed.waiting import Retry, WaitingEvents, require_group
from meshport.ports.generation_cursor import LOOK_S
from meshport.ports.group_start import Begin, Start
from meshport.ports.history import Missing
from meshport.ports.in_flight import InFlight
from meshport.ports.key_lanes import KeyLanes
from meshport.ports.loop_signals import stopped_by_sigterm
from meshport.ports.open_subscriber import OpenSubscriber
from meshport.ports.read_ahead import ReadAhead, TaskSubscription
from meshport.ports.registry_outage import WaitingSchemas
from meshport.ports.replayed import OnReplay, PassedOver
from meshport.ports.required_levels import RequireWord
from meshport.ports.resolver import subscriber_resolver
from meshport.ports.retry_turns import RetryTurns
from meshport.ports.seen_events import SeenEvents
from meshport.ports.subscriber import BadEvent, Mesh, Model
from meshport.ports.turns import Received
from meshport.schema import Schema

__all__ = ["AsyncSubscriber"]

# Events that are read ahead of the tasks: enough for a hundred of them.
_AHEAD: Final = 1000


class AsyncSubscriber(Generic[Model]):
    """Reads the events of one output port for the tasks of an event loop.

    `async for` yields one event after another. The group's offset advances past an event when the next one is asked for, so
    that a crash repeats events but never skips one (at least once). A loop that was left can be entered again: it continues
    with the event at which it was left. `run` handles many events at a time.

    A thread reads ahead. It keeps the member in its group however long a task takes, commits every second what is handled, and
    when a partition is revoked waits for the events of it that are being handled, for 30 seconds at most.

    `async with` opens the subscriber and closes it; so do `open` and `close`, and `meshport.lifespan` for a whole service.

    Args:
        address: of the port.
        registry: an `AsyncRegistry` or a `Registry`.
        group: the consumer group, which shares the partitions and commits its offsets; None reads all partitions and commits
            nothing.
        start: where to begin without a committed offset, as for `Subscriber`.
        reader: the schema to decode into; by default each event keeps the schema that it was written with.
        as_: the pydantic model of the events' data, as for `Subscriber`.
        remember: how many (source, id) pairs to remember for each partition; an event with one of them is left out. 0 keeps
            all events.
        on_bad: called in the event loop with each message that cannot be read, and awaited where it returns an awaitable;
            without it the error is raised, and the offset does not advance.
        on_error: what is done with an event that could not be handled (`run`, `failed`), as for `Subscriber`. Needs a group.
        missing: whether to go on where part of the history is removed.
        kafka: the connections to Kafka; servers that they name win over the binding's.
        look_s: seconds between two requests to the registry for the binding of the address.
        ahead: how many events are read and not handled at most.
        require: what is required of the port's service levels, as measured (`Require`): "met" refuses to read while they are
            below it, "await-met" waits. By default nothing.

    Attributes:
        address: as given.

    Raises:
        ValueError: `on_error` is given without a group, or `reader` beside a model that has a schema.
    """

    def __init__(
        self,
        address: Address | str,
        registry: Mesh | AsyncMesh,
        *,
        group: str | None = None,
        start: Begin = Start.EARLIEST,
        reader: Schema | None = None,
        as_: type[Model] | None = None,
        remember: int = 0,
        on_bad: Callable[[BadEvent], object] | None = None,
        on_error: Retry | None = None,
        missing: Missing = Missing.REFUSE,
        kafka: KafkaAccess = PLAINTEXT,
        look_s: float = LOOK_S,
        ahead: int = _AHEAD,
        require: RequireWord | None = None,
    ) -> None:
        require_group(on_error, group)
        self.address = Address.parse(address) if isinstance(address, str) else address
        self._registry = registry
        self._group = group
        self._start = start
        self._as = as_
        self._reader = model_schema(as_, reader)
        self._remember = remember
        self._on_bad = on_bad
        self._on_error = on_error
        self._missing = missing
        self._require = require
        self._kafka = kafka
        self._look_s = look_s
        self._ahead = ahead
        self._reading: OpenSubscriber | None = None
        self._current: Received | None = None
        self._error: Exception | None = None

    # -- open and closed -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Resolve the address, connect, and begin to read; does nothing where that is done.

        Raises:
            NotRegistered: the registry knows no such port.
            HistoryMissing: part of the history is removed, and `missing` does not allow it. With a group, reading raises it.
            RegistryUnavailable, BrokerUnavailable: no answer.
        """
        if self._reading is None:
            reading = OpenSubscriber(asyncio.get_running_loop())
            await asyncio.to_thread(self._prepare, reading, for_threads(self._registry))
            self._reading, self._current = reading, None
            reading.thread.start()

    def _prepare(self, reading: OpenSubscriber, mesh: Mesh) -> None:
        binding = subscriber_resolver(mesh, self._group, self._reader).resolve(self.address)
        closing, in_flight = reading.closing, reading.in_flight
        seen = SeenEvents(self._remember) if self._remember else None
        retries: RetryTurns | None = None

        def lost(partition: int) -> None:
            if seen is not None:
                seen.forget(partition)
            if retries is not None:
                retries.lost(partition)

        schemas = WaitingSchemas(mesh, closing, waiter=f"the subscriber of {binding.address}")
        reading.subscription = TaskSubscription(
            binding,
            subscriber_resolver(mesh, self._group, self._reader, self._kafka.to(binding)),
            self._kafka,
            group=self._group,
            start=self._start,
            missing=self._missing,
            look_s=self._look_s,
            on_lost=lost,
            in_flight=in_flight,
            closing=closing,
            require=self._require,
            lines=earlier_lines(binding, mesh, schemas),
        )
        if seen is not None:
            seen.on_repeated = reading.subscription.measures.repeated
        if self._on_error is not None and self._group is not None:
            cluster, group = self._kafka.to(binding), self._group
            retries = reading.turns = RetryTurns(
                in_flight,
                Retries(self._on_error, group, reading.subscription.measures, WaitingEvents()),
                lambda topic: RetryTopic(cluster, group, binding.address, topic),
                read=as_model(reader_for(binding, schemas, self._reader).read, self._as),
                seen=seen,
                name=f"retries of {binding.address.key}",
                in_loop=reading.in_loop,
                changed=reading.wake,
            )
        reading.thread = ReadAhead(
            reading.subscription,
            in_flight,
            as_model(reader_for(binding, schemas, self._reader).read, self._as),
            seen,
            retries=retries,
            closing=closing,
            limit=self._ahead,
            arrived=reading.arrived,
            ended=reading.ended,
            name=f"subscriber of {binding.address.key}",
        )

    async def close(self) -> None:
        """Commit the offsets of what is handled, and leave the group; `async for` and `run` end as by `stop`.

        An event that is being handled is not waited for.

        Raises:
            KafkaError: the offsets could not be committed; or what ended reading, where nothing has raised it.
        """
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.stop()
            reading.closing.set()
            reading.in_flight.wake()
            await asyncio.wait([reading.end])
            await asyncio.to_thread(reading.turns.close)
            if not reading.raised:
                reading.end.result()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            with suppress(Exception):  # what ended reading is most often the error that ends the block
                await self.close()

    @property
    def binding(self) -> Binding:
        """The newest binding of the address."""
        return self._open.subscription.binding

    @property
    def _open(self) -> OpenSubscriber:
        if self._reading is None:
            raise KafkaError(f"the subscriber of {self.address} is not open", hint="`async with` opens it, `open` too")
        return self._reading

    def stop(self) -> None:
        """End `async for` and `run` after what is being handled; may be called from a signal handler or another thread."""
        if self._reading is not None:
            self._reading.stop()

    async def commit(self) -> None:
        """Commit the group's offsets of what is handled; does nothing without a group.

        Raises:
            KafkaError: the offsets could not be committed.
        """
        subscription = self._open.subscription
        await self._in_thread(subscription.commit)

    async def seek(self, to: Begin) -> None:
        """Continue elsewhere in the topic at once; events that were received before it are given no more.

        Args:
            to: as for `Subscriber.seek`.

        Raises:
            ReplayError: a time has no zone, or there is no such offset.
            HistoryMissing: the history there is removed, and `missing` does not allow it.
        """
        subscription = self._open.subscription

        def seek() -> None:
            subscription.seek(to)
            subscription.tend()

        await self._in_thread(seek)

    async def _in_thread(self, call: Callable[[], None]) -> None:
        reading = self._open
        if reading.end.done():
            reading.end.result()
        await asyncio.wrap_future(reading.thread.call(call))

    # -- one by one ------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event[Model]]:
        """Yield events one by one, for ever or until `stop`."""
        self._restore()
        return self

    async def __anext__(self) -> Event[Model]:
        reading = self._open
        if self._current is not None:
            if self._error is None:
                await reading.turns.done(self._current)
            else:
                await reading.turns.failed(self._current, self._error)
            self._current = self._error = None
        while (each := await self._next(reading, lambda: False)) is not None:
            if await reading.turns.begin(each):
                self._current = each
                return cast("Event[Model]", each.item)
        raise StopAsyncIteration

    def _restore(self) -> None:
        """Give the event at which a loop was left once more."""
        if self._current is not None:
            self._open.give_back([self._current])
            self._current = self._error = None

    def failed(self, error: Exception) -> None:
        """Report that the present event of `async for` could not be handled; without `on_error` the error is raised.

        With it, the event is tried again and quarantined at last, as `Subscriber.failed` says; that is written when the next
        event is asked for.
        """
        if self._on_error is None:
            raise error
        self._error = error

    @property
    def waiting(self) -> int:
        """How many events of the partitions of this member failed and wait to be given again, with those that wait for them."""
        return 0 if self._reading is None else self._reading.turns.waiting

    # -- many at a time --------------------------------------------------------------------------------------------

    async def run(
        self,
        handle: Callable[[Event[Model]], Awaitable[object]],
        *,
        concurrency: int = 100,
        on_replay: OnReplay = "skip",
    ) -> None:
        """Handle events, up to `concurrency` of them at a time, until `stop` or SIGTERM; events of one key one after another.

        An event is handled once `handle` returns, and a partition's offset advances to the first event that is not. Events
        without a key have no order. Where `handle` raises an error, no further event is begun; those that are being handled are
        waited for, and the error is raised. A further call continues with the events that are not handled. With `on_error`, an
        event on which `handle` fails is tried again instead, before later ones of its key (see `failed`).

        The trace of an event goes on in `handle`: what is published there belongs to it. Where a server handles SIGTERM, its
        lifespan ends the reading (`meshport.SubscriberTask`).

        Args:
            handle: handles one event. It is cancelled where the task that runs this is.
            concurrency: how many events are handled at a time at most.
            on_replay: what is done with an event of a replay: it is passed over, since `handle` may have effects outside of the
                mesh, or handled.

        Raises:
            Exception: what `handle` raised first, without `on_error`; or what ended reading.
        """
        self._restore()
        reading = self._open
        passed_over = PassedOver(on_replay, f"the subscriber of {self.binding.address}")

        async def unless_passed_over(event: Event[Model]) -> None:
            if not passed_over(event):
                await handle(event)

        lanes = KeyLanes(
            unless_passed_over,
            reading.turns,
            concurrency=concurrency,
            stopped=lambda: reading.stopped,
            changed=reading.wake,
        )
        try:
            with stopped_by_sigterm(self.stop):
                async with lanes:
                    while (each := await self._next(reading, lambda: lanes.failed)) is not None:
                        await lanes.add(cast("InFlight[Event]", each))
        finally:
            reading.give_back(lanes.left)

    # -- how -------------------------------------------------------------------------------------------------------

    async def _next(self, reading: OpenSubscriber, until: Callable[[], bool]) -> Received | None:
        """Return the next event once there is one; see `OpenSubscriber.next`. Messages that cannot be read are handled here."""
        while (each := await reading.next(until)) is not None:
            if not isinstance(each.item, BadEvent):
                return each
            await self._refused(reading, each, each.item)
        return None

    async def _refused(self, reading: OpenSubscriber, each: Received, bad: BadEvent) -> None:
        if not reading.in_flight.begin(each):
            return
        try:
            if self._on_bad is None:
                await reading.turns.unreadable(each, bad)
            else:
                outcome = self._on_bad(bad)
                if inspect.isawaitable(outcome):
                    await outcome
        except BaseException:
            reading.give_back([each])
            raise
        reading.in_flight.done(each)
