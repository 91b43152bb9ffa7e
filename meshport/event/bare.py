"""Events that are no CloudEvents: the messages of a topic that other writers fill (`envelope: none`).

Such a message has a value in Confluent's wire format and nothing else that could identify it. Its event gets the attributes that
every reader derives alike: the id from topic, partition and offset, the source and the type of the port, the time of the port's
time field or else Kafka's timestamp, and Kafka's timestamp as the recorded time. Headers of the message have no meaning, but for
Confluent's `__value_schema_id`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, get_args

from meshport.binding import Binding, PortEnvelope
from meshport.codec import PREFIX_BYTES, SCHEMA_HEADER, Codec, prefix
from meshport.errors import EventError, PublishError
from meshport.event.attributes import AVRO, DATA_SCHEMA, Extension, Headers
from meshport.event.event import NO_EXTENSIONS, Envelope, Event
from meshport.event.headers import RawHeaders, deleted_at, stored_at
from meshport.event.reader import EventReader, UnreadableHeaders
from meshport.event.reading import ContractReader, ReaderSchemas
from meshport.event.record import event_time
from meshport.event.value import Decode, SchemaSource, ValueReader
from meshport.event.writer import EventWriter
from meshport.newer import unknown_value
from meshport.schema import Schema, parse_schema

BARE: Final = "none"
"""The `envelope` of a port whose events are no CloudEvents."""

# Bounds the cache of writers: a hostile producer could name any number of schemas.
_REMEMBERED: Final = 1024
_NO_DATA: Final = "a record as the data; a tombstone is a Kafka record whose value is null"

TimeOf = Callable[[Any, bytes, RawHeaders], datetime]
"""Returns the event time of a message from its record, its value and its headers."""


def reader_for(binding: Binding, schemas: SchemaSource, reader: Schema | ReaderSchemas | None = None) -> EventReader:
    """Return the reader of a port's events: of CloudEvents, or of messages without an envelope.

    Args:
        binding: of the port.
        schemas: looks schemas up, usually in a registry.
        reader: as for `EventReader`.

    Raises:
        NewerRegistry: this version does not know the form of the port's events.
    """
    _insist_known(binding)
    return BareReader(binding, schemas, reader) if binding.envelope == BARE else EventReader(schemas, reader)


def writer_for(binding: Binding, codec: Codec) -> EventWriter | BareWriter:
    """Return the writer of a port's events: of CloudEvents, or of messages without an envelope.

    Raises:
        EventError: CloudEvents does not allow the source or the type.
        SchemaError: a default in the schema is not a value of its field.
        NewerRegistry: this version does not know the form of the port's events.
    """
    _insist_known(binding)
    if binding.envelope == BARE:
        return BareWriter(binding, codec)
    return EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=binding.schema_id)


def _insist_known(binding: Binding) -> None:
    if binding.envelope not in get_args(PortEnvelope):
        raise unknown_value(binding.envelope, f"the envelope of {binding.address}", PortEnvelope)


class BareReader(EventReader):
    """Reads the messages of a topic as events of the port that has adopted it. Not thread-safe.

    Args:
        binding: of the port.
        schemas: as for `EventReader`.
        reader: as for `EventReader`.
    """

    def __init__(self, binding: Binding, schemas: SchemaSource, reader: Schema | ReaderSchemas | None = None) -> None:
        super().__init__(schemas, reader)
        self._source, self._type = str(binding.address), binding.type
        self._written: dict[tuple[bytes | None, bytes], tuple[Decode, int, Envelope]] = {}
        self._deleted = Envelope(self._source, self._type)
        self._time_of = _time_of(binding, schemas, self._reader)

    def _read(  # noqa: PLR0917 - as `EventReader.read`
        self,
        key: bytes | None,
        value: bytes | None,
        headers: RawHeaders,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
    ) -> Event:
        if isinstance(headers, UnreadableHeaders) and (value is not None or key is None):
            raise EventError(headers.reason)
        has_time = timestamp_ms >= 0
        if value is None:
            if key is None:
                raise EventError(
                    "the message has neither key nor value", hint="a tombstone has the key that it deletes"
                )
            envelope, data, time = self._deleted, None, deleted_at(timestamp_ms)
        else:
            decode, start, envelope = self._writer_of(value, headers)
            data = decode(value, start)
            if data is None:
                raise EventError("the event has no data: its value is the null of Avro", hint=_NO_DATA)
            if self._time_of is None:
                time = stored_at(timestamp_ms)
            else:
                time, has_time = self._time_of(data, value, headers), True
        return Event(
            envelope=envelope,
            id=f"{topic}-{partition}-{offset}",
            time=time,
            data=data,
            key=key,
            recorded_time=_recorded(timestamp_ms),
            extensions=NO_EXTENSIONS,
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp_ms=timestamp_ms,
            has_time=has_time,
        )

    def _writer_of(self, value: bytes, headers: RawHeaders) -> tuple[Decode, int, Envelope]:
        """Return the decoder of a value, where its body begins, and the envelope that names the writer's schema."""
        header = _schema_header(headers)
        named = (header, value[:PREFIX_BYTES] if header is None else b"")
        known = self._written.get(named)
        if known is None:
            writer, start = self._values.writer_of(value, header)
            envelope = Envelope(self._source, self._type, f"{DATA_SCHEMA}{writer.fingerprint}", AVRO)
            known = self._values.decoder(writer), start, envelope
            if len(self._written) >= _REMEMBERED:
                self._written.clear()
            self._written[named] = known
        return known


def _schema_header(headers: RawHeaders) -> bytes | None:
    return next((each for name, each in headers if name == SCHEMA_HEADER), None)


def _recorded(timestamp_ms: int) -> datetime | None:
    """Return Kafka's timestamp as the recorded time; None where there is none, or one that Python does not have."""
    try:
        return stored_at(timestamp_ms) if timestamp_ms >= 0 else None
    except EventError:
        return None


def _time_of(binding: Binding, schemas: SchemaSource, reader: ReaderSchemas | None) -> TimeOf | None:
    """Return how the event time of a port's messages is found; None for Kafka's timestamp.

    The field is read as the port's contract has it, also where the reader's schema lacks it, or has another type for it.
    """
    name = binding.time
    if name is None:
        return None
    contract = parse_schema(binding.schema_text, source=f"the schema of {binding.address}")
    own = next((field for field in contract.fields if field["name"] == name), None)
    if own is None:
        raise EventError(f"the time field {name!r} of {binding.address} is not in {contract.name}")
    alone = parse_schema(json.dumps({"type": "record", "name": contract.name, "fields": [own]}))
    apart = ValueReader(schemas, ContractReader(contract, alone, always=True))
    moment = event_time(name, contract)
    direct = reader is None or own in reader.schema.fields

    def time_of(record: Any, value: bytes, headers: RawHeaders) -> datetime:
        if not (direct and isinstance(record, Mapping) and name in record):
            record = apart.read(value, None, _schema_header(headers))
        try:
            return moment(record)
        except PublishError as error:
            raise EventError(
                error.message, hint="without `time` at the port, the time of its events is Kafka's timestamp"
            ) from error

    return time_of


class BareWriter:
    """Makes the Kafka messages of a port without an envelope, as the topic's other writers do: no header is written.

    Its methods are those of `EventWriter`. The ids that they take identify an event until it is stored, and are not written.

    Args:
        binding: of the port.
        codec: of the port's schema.

    Raises:
        SchemaError: a default in the schema is not a value of its field.
    """

    def __init__(self, binding: Binding, codec: Codec) -> None:
        self.codec = codec
        self._address, self._time = binding.address, binding.time
        self._encode: Final = codec.encoder()
        self.prefix: Final = prefix(binding.schema_id)
        """The first bytes of each value of the port."""

    def check(
        self,
        *,
        id: str | None,
        time: datetime | None,
        subject: str | None,
        extensions: Mapping[str, Extension] | None,
    ) -> None:
        """Refuse what a message without an envelope cannot carry.

        Raises:
            EventError: an attribute is given.
        """
        given = {"id": id, "time": time, "subject": subject, "extensions": extensions or None}
        name = next((name for name, each in given.items() if each is not None), None)
        if name is None:
            return
        hints = {
            "id": "leave it out: the id is made of topic, partition and offset",
            "time": f"leave it out: the time is that of the field {self._time!r}"
            if self._time
            else "leave it out: the time is Kafka's timestamp",
        }
        raise EventError(
            f"an event of {self._address} cannot have the attribute {name}: the port has `envelope: none`, so that its messages "
            "carry no attributes",
            attribute=name,
            hint=hints.get(name, "a field of the record"),
        )

    def message(
        self,
        record: Mapping[str, Any],
        *,
        id: str,  # noqa: ARG002 - as of `EventWriter`
        time: datetime,  # noqa: ARG002 - as above
        recorded_time: datetime | None = None,  # noqa: ARG002 - as above
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> tuple[bytes, Headers]:
        """Return the value of an event, and no headers.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: a subject or extensions are given.
        """
        self.check(id=None, time=None, subject=subject, extensions=extensions)
        return self._encode(record, self.prefix), []

    def plain(self, record: Mapping[str, Any], id: bytes, time: datetime) -> tuple[bytes, Headers]:  # noqa: ARG002 - as above
        """Return the value of an event, and no headers."""
        return self._encode(record, self.prefix), []

    def headers(self, id: bytes, time: bytes) -> Headers:  # noqa: ARG002 - as above
        """Return no headers."""
        return []

    def tombstone(
        self,
        *,
        id: str,  # noqa: ARG002 - as above
        time: datetime,  # noqa: ARG002 - as above
        recorded_time: datetime | None = None,  # noqa: ARG002 - as above
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> tuple[None, Headers]:
        """Return the value (None) of a tombstone, and no headers."""
        self.check(id=None, time=None, subject=subject, extensions=extensions)
        return None, []
