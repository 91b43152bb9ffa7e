"""Publishing from the tasks of an event loop: each awaits what became of its event, and none blocks the loop.

confluent_kafka has clients for asyncio (`confluent_kafka.aio`), which are not used: its producer refuses headers, without which
there is no CloudEvent, and holds events back for a second to hand them over in batches (2.16, `AIOProducer.produce`). The
client's own `produce` only queues, and its `poll` need not wait, so the loop calls both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import MeshError, PublishError
from meshport.event import Headers
from meshport.event.model import Record
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.async_mesh import AsyncResolver, for_threads
from meshport.ports.delivery.columns import ArrowStream
from meshport.ports.delivery.deliveries import TIMEOUT_S
from meshport.ports.delivery.outcome import BatchReport
from meshport.ports.delivery.receipt import Receipt
from meshport.ports.port_writer import EventAttributes
from meshport.ports.publisher import Publisher
from meshport.ports.resolver import Resolver

if TYPE_CHECKING:
    from meshport.event.sdk import BaseCloudEvent

__all__ = ["AsyncPublisher"]

_log: Final = logging.getLogger(__name__)
# Seconds between two looks for delivery reports while a task awaits one. The client gathers a batch for 5 ms.
_LOOK_S: Final = 0.002
_Answer = TypeVar("_Answer")

_Message = tuple[str, bytes | None, bytes | None, Headers]


class AsyncPublisher:
    """Publishes to one output port. The tasks of an event loop share one, and should: it has one connection.

    `async with AsyncPublisher(...) as publisher` opens it and closes it; so do `open` and `close`, and `meshport.lifespan` for a
    whole service. Every event ends as stored, refused or unknown, as with `Publisher`.

    A task may be cancelled at any moment. Where it had not begun to wait for the outcome, its event is not published;
    afterwards the event is in the client's queue like any other. Then a failure is logged as a warning, since nothing waits for
    it any more.

    Args:
        address: of the port; a product's bare address means its default port at its live major.
        registry: an `AsyncRegistry` or a `Registry`.
        kafka: the connections to Kafka; servers that they name win over the binding's.
    """

    def __init__(
        self, address: Address | str, registry: Resolver | AsyncResolver, *, kafka: KafkaAccess = PLAINTEXT
    ) -> None:
        self._address = address
        self._registry = registry
        self._kafka = kafka
        self._opened: _OfferingPublisher | None = None
        self._room: asyncio.Future[None] | None = None
        self._look: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Resolve the address and connect; does nothing where that is done.

        Raises:
            NotRegistered: the registry knows no such port.
            PublishError: the port is retired.
            RegistryUnavailable: no answer.
        """
        if self._opened is None:
            mesh = for_threads(self._registry)
            self._opened = await asyncio.to_thread(_OfferingPublisher, self._address, mesh, kafka=self._kafka)

    @property
    def binding(self) -> Binding:
        """The binding of the address, as of when the publisher was opened."""
        return self._publisher.binding

    @property
    def waiting(self) -> int:
        """How many events of all tasks have no outcome yet, counting unread errors of connections too."""
        return self._publisher.waiting

    # -- one event -------------------------------------------------------------------------------------------------

    async def publish(self, record: Record, **attributes: Unpack[EventAttributes]) -> str:
        """Validate, encode and queue one event, and wait until it is stored.

        Args:
            record: the event's data, of the port's schema.
            attributes: of the event, see `EventAttributes`: `id`, `time`, `subject`, `extensions`.

        Returns:
            The event's id.

        Raises:
            EncodeError, EventError: the event is none of the port; nothing was published.
            PublishError, TopicError: the event is refused; it is not in the log.
            DeliveryUnknown: the outcome is unknown, and the client tries no more (`message.timeout.ms`, 5 minutes).
        """
        message = self._publisher.message(record, **attributes)
        return await self._outcome(await self._offer(message))

    async def publish_cloudevent(self, event: BaseCloudEvent) -> str:
        """Publish an event of the cloudevents SDK as `Publisher.publish_cloudevent` does, and wait until it is stored."""
        return await self._outcome(await self._offer(self._publisher.message_of(event)))

    async def retract(self, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None) -> str:
        """Publish a tombstone as `Publisher.retract` does, and wait until it is stored."""
        return await self._outcome(await self._offer(self._publisher.tombstone(key, id, time)))

    async def submit(self, record: Record, **attributes: Unpack[EventAttributes]) -> Receipt:
        """Validate, encode and queue one event and return its receipt, to be awaited later; otherwise as `publish`.

        Only a full queue (200,000 events) is waited for. Events that one task submits are stored in their order for each key.
        Where a receipt is never asked, `close` reports a failure of its event.
        """
        return await self._offer(self._publisher.message(record, **attributes))

    # -- many events -----------------------------------------------------------------------------------------------

    async def publish_batch(self, records: Iterable[Record] | ArrowStream) -> BatchReport:
        """Publish records as `Publisher.publish_batch` does, and return the outcome of each.

        A thread encodes them. A batch that has begun is published whole, also where its task is cancelled.
        """
        publisher = self._publisher
        return await self._in_thread(lambda: publisher.publish_batch(records), self._log_batch)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def close(self, timeout_s: float = TIMEOUT_S) -> None:
        """Take no more events, wait for the events of all tasks, and close the connection.

        Args:
            timeout_s: after so many seconds, events that are not acknowledged are dropped, with an unknown outcome.

        Raises:
            PublishError, DeliveryUnknown: events are not stored for certain whose receipts nothing has asked.
        """
        publisher = self._taken()
        if publisher is not None:
            await self._in_thread(lambda: publisher.close(timeout_s))

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        publisher = self._taken()
        if publisher is not None:
            await self._in_thread(lambda: publisher.__exit__(kind, error, trace))

    def _taken(self) -> _OfferingPublisher | None:
        """Return the publisher, to be closed by a thread, which serves its last delivery reports."""
        if self._look is not None:
            self._look.cancel()
        publisher, self._opened, self._look, self._room = self._opened, None, None, None
        return publisher

    # -- how -------------------------------------------------------------------------------------------------------

    @property
    def _publisher(self) -> _OfferingPublisher:
        if self._opened is None:
            raise PublishError(
                f"the publisher of {self._address} is not open",
                address=str(self._address),
                hint="`async with` opens it, `open` too",
            )
        return self._opened

    async def _offer(self, message: _Message) -> Receipt:
        publisher = self._publisher
        while (receipt := publisher.offer(message)) is None:
            await self._await_room(publisher)
        if self._look is None:
            self._look_later(publisher)
        return receipt

    def _look_later(self, publisher: _OfferingPublisher) -> None:
        """Serve delivery reports soon, and again while receipts have no outcome."""
        self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_now, publisher)

    def _look_now(self, publisher: _OfferingPublisher) -> None:
        self._look = None
        if publisher.serve():
            self._look_later(publisher)

    async def _await_room(self, publisher: _OfferingPublisher) -> None:
        """Wait a moment while the client's queue is full: one thread, however many tasks wait."""
        if self._room is None or self._room.done():
            self._room = asyncio.ensure_future(asyncio.to_thread(publisher.await_room))
        await asyncio.shield(self._room)

    async def _outcome(self, receipt: Receipt) -> str:
        try:
            return await receipt
        except asyncio.CancelledError:
            receipt.add_done_callback(self._log_failure)
            raise

    def _log_failure(self, receipt: Receipt) -> None:
        try:
            receipt.result(0)
        except MeshError as error:
            _log.warning("event %s of %s, whose task was cancelled: %s", receipt.id, self._address, error)

    async def _in_thread(self, call: Callable[[], _Answer], late: Callable[[_Answer], None] | None = None) -> _Answer:
        """Return what a call in a thread returns. It goes on where the task is cancelled; its failure is logged then."""
        running = asyncio.ensure_future(asyncio.to_thread(call))

        def ended(done: asyncio.Future[_Answer]) -> None:
            if done.cancelled():
                return
            if (error := done.exception()) is not None:
                _log.warning("%s, whose task was cancelled: %s", self._address, error)
            elif late is not None:
                late(done.result())

        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(ended)
            raise

    def _log_batch(self, report: BatchReport) -> None:
        failures = (*report.refused, *report.unknown)
        if failures:
            _log.warning(
                "a batch of %s, whose task was cancelled: %d stored, %d refused, %d unknown: %s",
                self._address,
                report.stored,
                len(report.refused),
                len(report.unknown),
                failures[0].error,
            )


class _OfferingPublisher(Publisher):
    """The publisher of an `AsyncPublisher`, whose steps are called one by one.

    All tasks are one caller, since each asks for the outcome of its own event: a caller for each task of a service would cost as
    much as the event.
    """

    def __init__(self, address: Address | str, resolver: Resolver, *, kafka: KafkaAccess) -> None:
        super().__init__(address, resolver, kafka=kafka)
        self._deliveries.leave_to_caller()
        self._tasks = self._deliveries.new_caller()

    def message(self, record: Record, **attributes: Unpack[EventAttributes]) -> _Message:
        return self._message(record, **attributes)

    def message_of(self, event: BaseCloudEvent) -> _Message:
        return self._message_of(event)

    def tombstone(self, key: Mapping[str, Any], id: str | None, time: datetime | None) -> _Message:
        return self._tombstone(key, id, time)

    def offer(self, message: _Message) -> Receipt | None:
        return self._deliveries.offer(self._tasks, *message)

    def serve(self) -> bool:
        return self._deliveries.serve()

    def await_room(self) -> None:
        self._deliveries.await_room()
