"""Publishing to an output port: resolved once, validated, encoded, stored.

Every event ends in one of three ways (librdkafka INTRODUCTION.md, "Message persistence status"): stored, refused
(nothing of it reached the log) or unknown (the broker did not say; publishing it again with the same id is safe).
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

__all__ = ["ArrowStream", "BatchReport", "Failure", "Publisher", "Resolver", "event_time", "record_key"]

# Delivery reports are taken in once per stretch of this many events: often enough to tell a failure soon, seldom enough to be
# free. Ids end with the place in their stretch.
_STRETCH: Final = 500
_SUFFIXES: Final = tuple(f"{place:03d}" for place in range(_STRETCH))
# librdkafka wants the queue to drain; a full queue frees itself within this time or the next turn waits again.
_FULL_S: Final = 0.05


@runtime_checkable
class ArrowStream(Protocol):
    """Rows by columns, as Arrow's PyCapsule interface has them: Arrow batches and tables, data frames."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream of batches."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One event that is not stored for certain.

    Attributes:
        id: of the event, "" where it got none.
        index: its place in the batch, -1 outside of one.
        error: PublishError or EncodeError means refused, DeliveryUnknown means unknown.
    """

    id: str
    index: int
    error: MeshError


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How a batch ended: `stored + len(refused) + len(unknown)` is the number of records given.

    Attributes:
        stored: how many the broker acknowledged.
        refused: those of which nothing is stored.
        unknown: those of which the broker did not tell.
    """

    stored: int
    refused: tuple[Failure, ...]
    unknown: tuple[Failure, ...]


class Publisher:
    """Publishes to one output port.

    While two major lines stand beside each other, a producer has a publisher for each, by its address with the major
    (`shop/orders/events@1`, `shop/orders/events@2`), and gives both events of one fact the same id. One of the bare
    address stays on the line that was live when it was made.

    Args:
        address: of the port; a product's bare address means its default port at its live major.
        resolver: a registry. The schema is the one that it holds; a publisher never registers one.
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
        self._failures: list[Failure] = []
        self._sent = _Sent(f"{new_id()}-", 0, self._failures)
        self._before = 0  # how many events were queued before this stretch, since the last flush
        # Successes are counted, not called back one by one: a Python callback an event would cost as much as encoding it.
        only_failures = {"delivery.report.only.error": True}
        self._producer = Producer(kafka.at(self.binding.bootstrap_servers), settings=only_failures)
        # The client's stub wants a list of its own union type; ours is narrower, and it only reads.
        self._produce: Callable[..., None] = self._producer.produce
        self._usual = self._usual_way()

    def publish(
        self,
        record: Mapping[str, Any],
        *,
        id: str | None = None,
        time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> str:
        """Validate, encode and queue one event; `flush` tells whether it is stored.

        Args:
            record: the event's data, by the port's schema.
            id: of the event; give the same one when publishing the same fact again. By default a random one.
            time: when the fact happened, with a zone; by default the port's time field, else now.
            subject: what in the source the event is about.
            extensions: further attributes of the event by name, such as `traceparent`.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: id, time, subject or extensions make no CloudEvent.
            PublishError: the record has no key though the port is keyed, it is larger than the client sends, or the
                producer has failed for good.
        """
        if id is None and time is None and subject is None and extensions is None:
            return self._usual(record)
        moment = self._time(record) if time is None else time
        made = self._room().next_id if id is None else id
        value, headers = self._writer.message(record, id=made, time=moment, subject=subject, extensions=extensions)
        self._queue(made, value, self._key(record), headers)
        return made

    def publish_cloudevent(self, event: BaseCloudEvent) -> str:
        """Validate, encode and queue an event of the cloudevents SDK; `flush` tells whether it is stored.

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

    def _usual_way(self) -> Callable[[Mapping[str, Any]], str]:
        """`publish` for an event with nothing optional: what is the same for each event is looked up once.

        By attributes and methods it took 1.7 us beside encoding and the client, so it takes 0.9 (`tests/bench/ports.py`).
        """
        key_of, time_of, queue, plain = self._key, self._time, self._queue, self._writer.plain
        key_field = self.binding.key[0] if len(self.binding.key) == 1 else None
        time_field = self.binding.time
        topic, produce, suffixes = self._topic, self._produce, _SUFFIXES

        def publish(record: Mapping[str, Any]) -> str:
            sent = self._sent
            values = sent.values
            if len(values) == _STRETCH:
                sent = self._room()
                values = sent.values
            id = sent.prefix + suffixes[len(values)]
            moment = record.get(time_field)  # type: ignore[arg-type]  # None is no field of any record
            if type(moment) is not datetime or moment.tzinfo is None:
                moment = time_of(record)
            value, headers = plain(record, id.encode(), moment)
            text = record.get(key_field)  # type: ignore[arg-type]  # as above
            key = text.encode() if type(text) is str and text else key_of(record)
            try:
                produce(topic, value, key, headers=headers, on_delivery=sent)
            except (BufferError, Refusal):
                queue(id, value, key, headers)
            else:
                values.append(value)
            return id

        return publish

    def retract(self, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None) -> str:
        """Queue a tombstone: on a compacted port the key's row ceases to be.

        Args:
            key: the key fields and their values.
            id: as in `publish`.
            time: when it ceased to be; by default now.

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
        """Hand one event to the client; waits while its queue is full."""
        while True:
            sent = self._room()
            try:
                self._produce(self._topic, value, key, headers=headers, on_delivery=sent)
            except BufferError:
                self._poll(_FULL_S)
            except Refusal as error:
                raise self._refusal(error) from error
            else:
                break
        if id != sent.next_id:
            sent.given[len(sent.values)] = id
        sent.values.append(value)

    def _room(self) -> _Sent:
        """The stretch that takes the next event; delivery reports are taken in where a new one begins."""
        if len(self._sent.values) == _STRETCH:
            self._before += _STRETCH
            self._sent = self._sent.following()
            self._poll()
        return self._sent

    def _poll(self, wait_s: float = 0) -> None:
        self._producer.poll(wait_s)
        if self._producer.fatal is not None:
            raise self._nothing_more(self._producer.fatal) from self._producer.fatal

    def _refusal(self, error: Refusal) -> MeshError:
        fatal = self._producer.fatal
        return refusal(error, self._topic) if fatal is None else self._nothing_more(fatal)

    def _nothing_more(self, fatal: MeshError) -> PublishError:
        return PublishError(f"nothing more is stored: {fatal.message}", hint="go on with a new publisher")

    def publish_batch(self, records: Iterable[Mapping[str, Any]] | ArrowStream) -> BatchReport:
        """Publish many and wait until the outcome of each is known; a record that is refused stops no other.

        Args:
            records: mappings; or, encoded by whole columns, an Arrow batch or table or a data frame (polars, pandas 3), whose
                columns are the fields by name. A column that is not there takes its field's default.

        Raises:
            EncodeError: the columns of a frame do not fit the schema whatever stands in them, no columns hold the schema, or
                the extra `meshport[columnar]` is not installed.
        """
        self.flush()
        refused: list[Failure] = []
        ids: dict[str, int] = {}
        if isinstance(records, ArrowStream):
            self._publish_columns(records, ids, refused)
        else:
            for index, record in enumerate(records):
                try:
                    ids[self.publish(record)] = index
                except MeshError as error:
                    refused.append(Failure("", index, error))
        failed = [Failure(each.id, ids.get(each.id, -1), each.error) for each in self.settle()]
        unknown = tuple(each for each in failed if isinstance(each.error, DeliveryUnknown))
        refused += [each for each in failed if not isinstance(each.error, DeliveryUnknown)]
        return BatchReport(len(ids) - len(failed), tuple(refused), unknown)

    def _publish_columns(self, frame: ArrowStream, ids: dict[str, int], refused: list[Failure]) -> None:
        """Queue an event for each row; what `ids` and `refused` get is as `publish_batch` needs it."""
        if why := supports(self.schema):
            raise EncodeError(f"{self.schema.name} cannot be written by columns: {why}", hint="records, each a mapping")
        from meshport.event.column_writer import ColumnWriter  # noqa: PLC0415 - needs pyarrow, which is there

        topic, produce, headers_of, suffixes = self._topic, self._produce, self._writer.headers, _SUFFIXES
        writer = ColumnWriter(self.schema, self._writer.prefix, self.binding.key, self.binding.time)
        for parts in writer.parts(frame):
            refused += [Failure("", index, error) for index, error in parts.errors.items()]
            for index, value, key, time in zip(parts.rows, parts.values, parts.keys, parts.times, strict=True):
                try:
                    sent = self._room()
                    id = sent.prefix + suffixes[len(sent.values)]
                    headers = headers_of(id.encode(), time)
                    try:
                        produce(topic, value, key, headers=headers, on_delivery=sent)
                    except (BufferError, Refusal):
                        self._queue(id, value, key, headers)
                    else:
                        sent.values.append(value)
                except MeshError as error:
                    refused.append(Failure("", index, error))
                else:
                    ids[id] = index
        refused.sort(key=lambda each: each.index)

    def flush(self) -> int:
        """Wait until every queued event is acknowledged.

        Returns:
            How many were stored since the last call.

        Raises:
            PublishError: the broker refused some.
            DeliveryUnknown: the broker did not say of some whether they are stored.
        """
        queued, failures = self._before + len(self._sent.values), self.settle()
        if failures:
            first = failures[0].error
            ids = ", ".join(each.id for each in failures[:5]) + (", ..." if len(failures) > 5 else "")
            raise type(first)(
                f"{len(failures)} of {queued} events are not stored for certain ({ids}): {first.message}",
                hint=first.hint,
            )
        return queued

    def settle(self) -> list[Failure]:
        """Wait for every queued event, as `flush` does, but give what is not stored for certain instead of raising it."""
        if self._producer.flush():
            self._producer.abandon()  # else they might be told of later, among events of the next call
        failures = self._failures.copy()
        self._failures.clear()
        self._sent, self._before = self._sent.following(), 0
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


class _Sent:
    """The events of one stretch, to tell which one failed; the client holds it until the last of them is acknowledged.

    The client's failure reports lack headers, hence the id, and a callback of its own for each event would cost a fifth
    of sending it. Events of one stretch with the same bytes are alike but for their ids.
    """

    def __init__(self, publisher: str, number: int, failures: list[Failure]) -> None:
        self.prefix = f"{publisher}{number}"
        self.values: list[bytes | _Told | None] = []
        self.given: dict[int, str] = {}
        self._publisher = publisher
        self._number = number
        self._failures = failures

    @property
    def next_id(self) -> str:
        """The id of the next event, where its caller gives none: unique by the publisher's 128 random bits."""
        return self.prefix + _SUFFIXES[len(self.values)]

    def following(self) -> _Sent:
        """The stretch after this one."""
        return _Sent(self._publisher, self._number + 1, self._failures)

    def __call__(self, error: Any, message: Any) -> None:
        if error is not None:
            place = self.values.index(message.value())
            self.values[place] = _TOLD
            id = self.given.get(place) or self.prefix + _SUFFIXES[place]
            self._failures.append(Failure(id, -1, undelivered(error, message)))


class _Told:
    """Stands for an event whose failure was told."""


_TOLD: Final = _Told()
