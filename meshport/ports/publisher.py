"""Publishing to an output port: the events are validated, encoded and stored.

An event has one of three outcomes (librdkafka INTRODUCTION.md, "Message persistence status"): stored, refused (it is not
in the log) or unknown (the broker did not answer; it can be published again with the same id).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, runtime_checkable

from meshport.address import Address
from meshport.codec import codec_for
from meshport.columnar import supports
from meshport.errors import DeliveryUnknown, EncodeError, MeshError, PublishError
from meshport.event import DATA_SCHEMA, Envelope, EventWriter, Extension, Headers, new_id
from meshport.event.attributes import AVRO
from meshport.event.record import event_time, record_key
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.producer import Producer, Refusal, refusal, undelivered
from meshport.ports.resolver import Resolver
from meshport.product import Status
from meshport.schema import parse_schema

if TYPE_CHECKING:
    from meshport.event.sdk import BaseCloudEvent

__all__ = ["ArrowStream", "BatchReport", "PublishFailure", "Publisher"]

# Delivery reports are polled once for so many events: often enough to report a failure soon, seldom enough to cost nothing.
# An event's id ends with its index in such a chunk.
_CHUNK: Final = 500
_SUFFIXES: Final = tuple(f"{index:03d}" for index in range(_CHUNK))
# Seconds of one wait for room in librdkafka's queue.
_FULL_S: Final = 0.05


@runtime_checkable
class ArrowStream(Protocol):
    """Rows by columns, with Arrow's PyCapsule interface: Arrow batches and tables, data frames."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the stream of batches."""


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """An event that is not certainly stored.

    Attributes:
        id: the event's; "" where it has none.
        index: its index in the batch; -1 outside of one.
        error: PublishError or EncodeError means refused, DeliveryUnknown means unknown.
    """

    id: str
    index: int
    error: MeshError


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


class Publisher:
    """Publishes to one output port.

    While two major lines of a port are live, a producer has a publisher for each, by its address with the major
    (`shop/orders/events@1`, `shop/orders/events@2`), and gives both events of one fact the same id. A publisher of an address
    without a major keeps the line that was live when it was created.

    Args:
        address: of the port; a product's bare address means its default port at its live major.
        resolver: a registry. The schema is the registered one; a publisher never registers a schema.
        kafka: the connection to Kafka; servers that it names win over the binding's.

    Raises:
        NotRegistered: the registry knows no such port.
        PublishError: the port is retired.
    """

    def __init__(self, address: Address | str, resolver: Resolver, *, kafka: KafkaConfig = PLAINTEXT) -> None:
        self.binding = resolver.resolve(Address.parse(address) if isinstance(address, str) else address)
        if self.binding.status is Status.RETIRED:
            raise PublishError(
                f"{self.binding.address} is retired",
                address=str(self.binding.address),
                hint=f"its successor: {self.binding.successor}",
            )
        self.schema = parse_schema(self.binding.schema_text, source=f"the schema of {self.binding.address}")
        self._writer = EventWriter(
            source=str(self.binding.address),
            type=self.binding.type,
            codec=codec_for(self.schema),
            schema_id=self.binding.schema_id,
        )
        self._envelope = Envelope(
            str(self.binding.address), self.binding.type, f"{DATA_SCHEMA}{self.schema.fingerprint}", AVRO
        )
        self._topic = self.binding.topic
        self._key = record_key(self.binding.key)
        self._time = event_time(self.binding.time, self.schema)
        self._failures: list[PublishFailure] = []
        self._chunk = _Chunk(f"{new_id()}-", 0, self._failures)
        self._before = 0  # how many events were queued before this chunk, since the last flush
        # Successes are counted, not called back one by one: a Python callback an event would cost as much as encoding it.
        only_failures = {"delivery.report.only.error": True}
        self._producer = Producer(kafka.at(self.binding.bootstrap_servers), settings=only_failures)
        # The client's stub has a list of a wider type of header; the client only reads it.
        self._produce: Callable[..., None] = self._producer.produce
        self._publish_plain = self._plain_publisher()

    def publish(
        self,
        record: Mapping[str, Any],
        *,
        id: str | None = None,
        time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> str:
        """Validate, encode and queue one event; `flush` reports whether it is stored.

        Args:
            record: the event's data, of the port's schema.
            id: the event's; the same one whenever the same fact is published again. By default a random one.
            time: when the fact happened, with a zone; by default the port's time field, else now.
            subject: what in the source the event is about.
            extensions: further attributes of the event by name, such as `traceparent`.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: id, time, subject or extensions make no CloudEvent.
            PublishError: the record has no key though the port is keyed, the message is larger than the client sends, or
                the producer has failed for good.
        """
        if id is None and time is None and subject is None and extensions is None:
            return self._publish_plain(record)
        moment = self._time(record) if time is None else time
        made = self._room().next_id if id is None else id
        value, headers = self._writer.message(record, id=made, time=moment, subject=subject, extensions=extensions)
        self._queue(made, value, self._key(record), headers)
        return made

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
        from meshport.event import sdk  # noqa: PLC0415 - importing the SDK takes 40 ms

        record, id, time, subject, extensions = sdk.parts_of(event, self._envelope)
        return self.publish(record, id=id, time=time, subject=subject, extensions=extensions)

    def _plain_publisher(self) -> Callable[[Mapping[str, Any]], str]:
        """Return `publish` for an event with nothing optional; the closure looks up once what is the same for each event.

        With attributes and methods it took 1.7 us beside encoding and the client; so it takes 0.9 (`tests/bench/ports.py`).
        """
        key_of, time_of, queue, plain = self._key, self._time, self._queue, self._writer.plain
        key_field = self.binding.key[0] if len(self.binding.key) == 1 else None
        time_field = self.binding.time
        topic, produce, suffixes = self._topic, self._produce, _SUFFIXES

        def publish(record: Mapping[str, Any]) -> str:
            chunk = self._chunk
            values = chunk.values
            if len(values) == _CHUNK:
                chunk = self._room()
                values = chunk.values
            id = chunk.prefix + suffixes[len(values)]
            moment = record.get(time_field)  # type: ignore[arg-type]  # None is no field of any record
            if type(moment) is not datetime or moment.tzinfo is None:
                moment = time_of(record)
            value, headers = plain(record, id.encode(), moment)
            text = record.get(key_field)  # type: ignore[arg-type]  # as above
            key = text.encode() if type(text) is str and text else key_of(record)
            try:
                produce(topic, value, key, headers=headers, on_delivery=chunk)
            except (BufferError, Refusal):
                queue(id, value, key, headers)
            else:
                values.append(value)
            return id

        return publish

    def retract(self, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None) -> str:
        """Queue a tombstone, which deletes the key's row on a compacted port.

        Args:
            key: the key fields and their values.
            id: as in `publish`.
            time: when the row ceased to hold; by default now.

        Raises:
            PublishError: the port has no key, or a key field has no value.
        """
        if not self.binding.key:
            raise PublishError(
                f"{self.binding.address} has no key, so that nothing of it can be retracted",
                address=str(self.binding.address),
                hint="an event that tells of the end",
            )
        made = self._room().next_id if id is None else id
        _, headers = self._writer.tombstone(id=made, time=time or datetime.now(UTC))
        self._queue(made, None, self._key(key), headers)
        return made

    def _queue(self, id: str, value: bytes | None, key: bytes | None, headers: Headers) -> None:
        """Queue one event with the client; wait while its queue is full."""
        while True:
            chunk = self._room()
            try:
                self._produce(self._topic, value, key, headers=headers, on_delivery=chunk)
            except BufferError:
                self._poll(_FULL_S)
            except Refusal as error:
                raise self._refusal(error) from error
            else:
                break
        if id != chunk.next_id:
            chunk.given[len(chunk.values)] = id
        chunk.values.append(value)

    def _room(self) -> _Chunk:
        """Return the chunk of the next event; delivery reports are polled where a new one begins."""
        if len(self._chunk.values) == _CHUNK:
            self._before += _CHUNK
            self._chunk = self._chunk.following()
            self._poll()
        return self._chunk

    def _poll(self, wait_s: float = 0) -> None:
        self._producer.poll(wait_s)
        if self._producer.fatal is not None:
            raise self._failed_for_good(self._producer.fatal) from self._producer.fatal

    def _refusal(self, error: Refusal) -> MeshError:
        fatal = self._producer.fatal
        return refusal(error, self._topic) if fatal is None else self._failed_for_good(fatal)

    def _failed_for_good(self, fatal: MeshError) -> PublishError:
        return PublishError(f"nothing more is stored: {fatal.message}", hint="go on with a new publisher")

    def publish_batch(self, records: Iterable[Mapping[str, Any]] | ArrowStream) -> BatchReport:
        """Publish records and wait for the outcome of each; a record that is refused does not stop the others.

        Args:
            records: mappings; or an Arrow batch or table or a data frame (polars, pandas 3), which is encoded by columns. Its
                columns are the fields by name; a field without a column takes its default.

        Raises:
            EncodeError: the types of a frame's columns do not fit the schema, the schema cannot be held by columns, or the
                extra `meshport[columnar]` is not installed.
        """
        self.flush()
        refused: list[PublishFailure] = []
        ids: dict[str, int] = {}
        if isinstance(records, ArrowStream):
            self._publish_columns(records, ids, refused)
        else:
            for index, record in enumerate(records):
                try:
                    ids[self.publish(record)] = index
                except MeshError as error:
                    refused.append(PublishFailure("", index, error))
        failed = [PublishFailure(each.id, ids.get(each.id, -1), each.error) for each in self.settle()]
        unknown = tuple(each for each in failed if isinstance(each.error, DeliveryUnknown))
        refused += [each for each in failed if not isinstance(each.error, DeliveryUnknown)]
        return BatchReport(len(ids) - len(failed), tuple(refused), unknown)

    def _publish_columns(self, frame: ArrowStream, ids: dict[str, int], refused: list[PublishFailure]) -> None:
        """Queue an event for each row; add its index to `ids` by the event's id, or its failure to `refused`."""
        if why := supports(self.schema):
            raise EncodeError(f"{self.schema.name} cannot be written by columns: {why}", hint="records, each a mapping")
        from meshport.event.column_writer import ColumnWriter  # noqa: PLC0415 - needs pyarrow, which is there

        topic, produce, headers_of, suffixes = self._topic, self._produce, self._writer.headers, _SUFFIXES
        writer = ColumnWriter(self.schema, self._writer.prefix, self.binding.key, self.binding.time)
        for parts in writer.parts(frame):
            refused += [PublishFailure("", index, error) for index, error in parts.errors.items()]
            for index, value, key, time in zip(parts.rows, parts.values, parts.keys, parts.times, strict=True):
                try:
                    chunk = self._room()
                    id = chunk.prefix + suffixes[len(chunk.values)]
                    headers = headers_of(id.encode(), time)
                    try:
                        produce(topic, value, key, headers=headers, on_delivery=chunk)
                    except (BufferError, Refusal):
                        self._queue(id, value, key, headers)
                    else:
                        chunk.values.append(value)
                except MeshError as error:
                    refused.append(PublishFailure("", index, error))
                else:
                    ids[id] = index
        refused.sort(key=lambda each: each.index)

    def flush(self) -> int:
        """Wait until every queued event is acknowledged.

        Returns:
            How many events were stored since the last call.

        Raises:
            PublishError: the broker refused an event.
            DeliveryUnknown: the outcome of an event is unknown.
        """
        queued, failures = self._before + len(self._chunk.values), self.settle()
        if failures:
            first = failures[0].error
            ids = ", ".join(each.id for each in failures[:5]) + (", ..." if len(failures) > 5 else "")
            raise type(first)(
                f"{len(failures)} of {queued} events are not stored for certain ({ids}): {first.message}",
                hint=first.hint,
            )
        return queued

    def settle(self) -> list[PublishFailure]:
        """Wait for every queued event, as `flush` does, and return the failures instead of raising an error."""
        if self._producer.flush():
            self._producer.abandon()  # else their reports might come among those of the next call
        failures = self._failures.copy()
        self._failures.clear()
        self._chunk, self._before = self._chunk.following(), 0
        return failures

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.flush(timeout_s=5)


class _Chunk:
    """The events of one chunk, to find the one that failed; the client keeps it until the last of them is acknowledged.

    The client's failure reports have no headers, hence no id, and a callback for each event would cost a fifth of sending
    it. Where several events of a chunk have the same bytes, it does not matter which of them is reported as failed.
    """

    def __init__(self, publisher: str, number: int, failures: list[PublishFailure]) -> None:
        self.prefix = f"{publisher}{number}"
        self.values: list[bytes | _Reported | None] = []
        self.given: dict[int, str] = {}
        self._publisher = publisher
        self._number = number
        self._failures = failures

    @property
    def next_id(self) -> str:
        """The id of the next event where the caller gives none: unique by the publisher's 128 random bits."""
        return self.prefix + _SUFFIXES[len(self.values)]

    def following(self) -> _Chunk:
        """Return the next chunk."""
        return _Chunk(self._publisher, self._number + 1, self._failures)

    def __call__(self, error: Any, message: Any) -> None:
        if error is not None:
            index = self.values.index(message.value())
            self.values[index] = _REPORTED
            id = self.given.get(index) or self.prefix + _SUFFIXES[index]
            self._failures.append(PublishFailure(id, -1, undelivered(error, message)))


class _Reported:
    """Replaces the value of an event whose failure was reported."""


_REPORTED: Final = _Reported()
