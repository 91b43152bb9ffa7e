"""Publishing to an output port: the events are validated, encoded and stored.

An event has one of three outcomes (librdkafka INTRODUCTION.md, "Message persistence status"): stored, refused (it is not
in the log) or unknown (the broker did not answer; it can be published again with the same id).
"""

from __future__ import annotations

import logging
from asyncio import _get_running_loop as running_loop  # C, and returns None without an error: 40 ns for each event
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from meshport.address import Address
from meshport.columnar import supports
from meshport.errors import EncodeError, MeshError
from meshport.event.model import Record, plain_record
from meshport.event.stored import stored_values
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.producer import Producer
from meshport.ports.delivery.chunk import CHUNK, SUFFIXES
from meshport.ports.delivery.columns import ArrowStream, queue_columns
from meshport.ports.delivery.deliveries import TIMEOUT_S, Deliveries
from meshport.ports.delivery.outcome import BatchReport, PublishFailure
from meshport.ports.delivery.receipt import Receipt
from meshport.ports.measures import PublisherMeasures
from meshport.ports.port_writer import EventAttributes, PortWriter
from meshport.ports.resolver import Resolver

if TYPE_CHECKING:
    from meshport.event.sdk import BaseCloudEvent
    from meshport.ports.delivery.caller import PublishingCaller

__all__ = ["ArrowStream", "BatchReport", "PublishFailure", "Publisher", "Receipt"]

_log: Final = logging.getLogger(__name__)

# Seconds for which a publisher that an error closes waits for the broker.
_CLOSE_S: Final = 5.0


class Publisher:
    """Publishes to one output port. Threads and asyncio tasks may share a publisher, and should: it has one connection.

    `publish` is the fastest; `flush` then reports on the events of the thread or task that calls it. `submit` returns a receipt
    for each event, which can be waited for and awaited anywhere.

    While two major lines of a port are live, a producer has a publisher for each, by its address with the major
    (`shop/orders/events@1`, `shop/orders/events@2`), and gives both events of one fact the same id. A publisher of an address
    without a major keeps the line that was live when it was created.

    On a port with `envelope: none` it writes as the topic's other writers do: values in Confluent's wire format, without
    attributes. The ids that it returns identify events in its own reports alone, and an id, a time, a subject or extensions
    that are given are refused.

    Args:
        address: of the port; a product's bare address means its default port at its live major.
        resolver: a registry. The schema is the registered one; a publisher never registers a schema.
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Raises:
        NotRegistered: the registry knows no such port.
        PublishError: the port is retired.
        BrokerUnavailable: Kafka refuses the login or the certificate. Where no broker answers, events are queued.
    """

    def __init__(self, address: Address | str, resolver: Resolver, *, kafka: KafkaAccess = PLAINTEXT) -> None:
        self.binding = resolver.resolve(Address.parse(address) if isinstance(address, str) else address)
        port = PortWriter(self.binding)
        self.schema = port.schema
        self._writer, self._key, self._time = port.events, port.key, port.time
        # Successes are not called back one by one: a Python callback an event would cost as much as encoding it.
        only_failures = {"delivery.report.only.error": True}
        self._producer = Producer(kafka.to(self.binding), settings=only_failures)
        self._producer.require_login(self.binding.topic)
        self._deliveries = Deliveries(self._producer, self.binding.topic)
        producer = self._producer  # a publisher is in no cycle of references
        self._measures = PublisherMeasures(self.binding.address, self._deliveries.totals, lambda: producer.waiting)
        counting = self._measures.counting
        self._message, self._tombstone = counting(port.message), counting(port.tombstone)
        self._parts_of = counting(port.parts_of)
        self._message_of = counting(port.message_of)
        self._publish_plain = self._plain_publisher()

    # -- one event -------------------------------------------------------------------------------------------------

    def publish(self, record: Record, **attributes: Unpack[EventAttributes]) -> str:
        """Validate, encode and queue one event; `flush` reports whether it is stored.

        Args:
            record: the event's data, of the port's schema: a mapping, or an object of a pydantic model, such as `meshport
                generate` writes.
            attributes: of the event, see `EventAttributes`: `id`, `time`, `subject`, `extensions`.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: id, time, subject or extensions make no CloudEvent.
            PublishError: the record has no key though the port is keyed, the message is larger than the client sends, the
                publisher is closed, or the producer has failed for good.
        """
        if not attributes or all(each is None for each in attributes.values()):
            return self._publish_plain(record)
        made, value, key, headers = self._message(record, **attributes)
        self._deliveries.queue(self._deliveries.caller(), made, value, key, headers)
        return made

    def submit(self, record: Record, **attributes: Unpack[EventAttributes]) -> Receipt:
        """Validate, encode and queue one event and return its receipt; otherwise as `publish`.

        A thread calls `publisher.submit(record).result(5)`, a task awaits `publisher.submit(record)`. The call itself waits
        only while the client's queue is full (200,000 events).
        """
        message = self._message(record, **attributes)
        return self._deliveries.queue_with_receipt(self._deliveries.caller(), *message)

    def publish_cloudevent(self, event: BaseCloudEvent) -> str:
        """Validate, encode and queue an event of the cloudevents SDK; `flush` reports whether it is stored.

        The event's id, time, subject and extensions are published as they are, its data as the record. Its source and
        type have to be the port's; so have dataschema and datacontenttype, which may be missing. `recordedtime` is the
        time of this call, whatever the event has.

        Args:
            event: CloudEvents 1.0, with a mapping as its data.

        Returns:
            The event's id.

        Raises:
            EncodeError: the data does not fit the schema.
            EventError: an attribute contradicts the port (the message names both) or makes no CloudEvent; or the data is
                no mapping.
            PublishError: as `publish`.
        """
        record, id, time, subject, extensions = self._parts_of(event)
        return self.publish(record, id=id, time=time, subject=subject, extensions=extensions)

    def submit_cloudevent(self, event: BaseCloudEvent) -> Receipt:
        """Validate, encode and queue an event of the cloudevents SDK and return its receipt; see `publish_cloudevent`."""
        record, id, time, subject, extensions = self._parts_of(event)
        return self.submit(record, id=id, time=time, subject=subject, extensions=extensions)

    def retract(self, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None) -> str:
        """Queue a tombstone, which deletes the key's row on a compacted port.

        Args:
            key: the key fields and their values.
            id: as in `publish`.
            time: when the row ceased to hold; by default now.

        Returns:
            The event's id.

        Raises:
            PublishError: the port has no key, or a key field has no value; or as `publish`.
        """
        made, value, bytes_of_key, headers = self._tombstone(key, id, time)
        self._deliveries.queue(self._deliveries.caller(), made, value, bytes_of_key, headers)
        return made

    def submit_retraction(
        self, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None
    ) -> Receipt:
        """Queue a tombstone and return its receipt; see `retract`."""
        message = self._tombstone(key, id, time)
        return self._deliveries.queue_with_receipt(self._deliveries.caller(), *message)

    def _plain_publisher(self) -> Callable[[Record], str]:
        """Return `publish` for an event with nothing optional; the closure looks up once what is the same for each event.

        With attributes and methods it took 1.7 us beside encoding and the client; so it takes 1.0 (`tests/bench/ports.py`).
        """
        key_of, time_of, plain = self._key, self._time, self._writer.plain
        # The key of a text is the text, but that of a UUID in lower case.
        has_text = len(self.binding.key) == 1 and not stored_values(self.binding.key, self.schema)
        key_field = self.binding.key[0] if has_text else None
        time_field = self.binding.time
        deliveries, callers = self._deliveries, self._deliveries.callers
        queue, suffixes, refuse = deliveries.queue_next, SUFFIXES, self._measures.refuse

        def publish(record: Record) -> str:
            caller = callers.get()
            if caller is None or caller.thread != get_ident() or running_loop() is not None:
                caller = deliveries.caller()
            chunk = caller.chunk
            index = len(chunk.values)
            if index == CHUNK:
                chunk = deliveries.chunk(caller)
                index = len(chunk.values)
            id = chunk.prefix + suffixes[index]
            try:
                if type(record) is not dict:
                    record = plain_record(record)
                moment = record.get(time_field)  # type: ignore[arg-type]  # None is no field of any record
                if type(moment) is not datetime or moment.tzinfo is None:
                    moment = time_of(record)
                value, headers = plain(record, id.encode(), moment)
                text = record.get(key_field)  # type: ignore[arg-type]  # as above
                key = text.encode() if type(text) is str and text else key_of(record)
            except MeshError:
                refuse()
                raise
            queue(caller, id, value, key, headers)
            return id

        return publish

    # -- many events -----------------------------------------------------------------------------------------------

    def publish_batch(self, records: Iterable[Record] | ArrowStream) -> BatchReport:
        """Publish records and wait for the outcome of each; a record that is refused does not stop the others.

        The report is of these records alone, whatever else is published at the same time or was before.

        Args:
            records: mappings or objects of a pydantic model; or an Arrow batch or table or a data frame (polars, pandas 3), which
                is encoded by columns. Its columns are the fields by name; a field without a column takes its default.

        Raises:
            EncodeError: the types of a frame's columns do not fit the schema, the schema cannot be held by columns, or the
                extra `meshport[columnar]` is not installed.
            PublishError: the publisher is closed.
        """
        caller = self._deliveries.new_caller()
        if isinstance(records, ArrowStream):
            ids, refused = self._queue_columns(records, caller)
        else:
            ids, refused = self._queue_rows(records, caller)
        failures = self._deliveries.settle_alone(caller).failures
        failed = [PublishFailure(each.id, ids.get(each.id, -1), each.error) for each in failures]
        refused += [each for each in failed if not each.unknown]
        return BatchReport(len(ids) - len(failed), tuple(refused), tuple(each for each in failed if each.unknown))

    def _queue_rows(
        self, records: Iterable[Record], caller: PublishingCaller
    ) -> tuple[dict[str, int], list[PublishFailure]]:
        ids: dict[str, int] = {}
        refused: list[PublishFailure] = []
        for index, record in enumerate(records):
            try:
                ids[self._publish_for(caller, record)] = index
            except MeshError as error:
                refused.append(PublishFailure("", index, error))
        return ids, refused

    def _publish_for(self, caller: PublishingCaller, record: Record) -> str:
        token = self._deliveries.callers.set(caller)
        try:
            return self._publish_plain(record)
        finally:
            self._deliveries.callers.reset(token)

    def _queue_columns(
        self, frame: ArrowStream, caller: PublishingCaller
    ) -> tuple[dict[str, int], list[PublishFailure]]:
        if why := supports(self.schema):
            raise EncodeError(f"{self.schema.name} cannot be written by columns: {why}", hint="records, each a mapping")
        from meshport.event.column_writer import ColumnWriter  # noqa: PLC0415 - needs pyarrow, which is there

        writer = ColumnWriter(self.schema, self._writer.prefix, self.binding.key, self.binding.time)
        return queue_columns(writer.parts(frame), self._writer.headers, self._deliveries, caller)

    # -- outcomes --------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait until the events of the calling thread or task are acknowledged.

        `await asyncio.to_thread(publisher.flush)` waits for the events of the task. Where the caller has published nothing
        since its last call, the events of all callers are waited for, as by the thread that ends a pool of others. Events
        that were published in one call of `to_thread` and are flushed in another belong to neither: a failure among them is
        reported to each caller without events of its own for 10 minutes. A receipt (`submit`) is exact everywhere.

        Args:
            timeout_s: after so many seconds, the outcome of an event that is not acknowledged is unknown.

        Returns:
            How many events were stored since the caller's last call.

        Raises:
            PublishError: events are refused; the others are stored. The error has their ids.
            DeliveryUnknown: the outcome of an event is unknown. The error has the ids of all that are not stored for certain.
        """
        return self._deliveries.settle(timeout_s).check()

    def settle(self, timeout_s: float = TIMEOUT_S) -> list[PublishFailure]:
        """Wait for events as `flush` does, and return the failures instead of raising an error."""
        return list(self._deliveries.settle(timeout_s).failures)

    @property
    def waiting(self) -> int:
        """How many events of all callers have no outcome yet, counting unread errors of connections too."""
        return self._producer.waiting

    def close(self, timeout_s: float = TIMEOUT_S) -> int:
        """Take no more events, wait for the events of all callers, and close the connection; `publish` raises from then on.

        Args:
            timeout_s: after so many seconds, events that are not acknowledged are dropped, with an unknown outcome.

        Returns:
            How many events were stored of which neither `flush` nor an earlier `close` has reported.

        Raises:
            PublishError, DeliveryUnknown: as `flush`, for events of which nothing has reported.
        """
        settled = self._deliveries.close(timeout_s)
        self._measures.close()
        return settled.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close(_CLOSE_S)
        except MeshError as failed:
            _log.warning("%s: %s", self.binding.address, failed)  # beside the error that ends the block
