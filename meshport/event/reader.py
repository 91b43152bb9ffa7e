"""Kafka messages to events: CloudEvents in binary mode, and in structured JSON mode.

The cloudevents SDK generates an id, a time and a version if they are missing, and takes headers as a mapping, which drops
the second of two equal names. This reader refuses attributes that are missing, repeated, empty or not UTF-8: with a generated
id, a repeated event could not be recognised.

A tombstone is the exception. Kafka deletes a row by a key with a null value, whatever its headers: compaction asks for no more,
and the tools that delete rows (Kafka Connect, kcat, a console producer) write no headers. Where the headers of a keyed null value
are no CloudEvent, it is a tombstone all the same, named by its topic, partition and offset; otherwise a table would keep a row
that compaction removes. A value that is there and holds no record (Avro's null, structured JSON without data) is no tombstone:
Kafka keeps it as the row, so it is refused.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from copy import copy
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from meshport.codec import PREFIX_BYTES, codec_for
from meshport.codec.jsonform import from_json
from meshport.errors import CodecError, DecodeError, EncodeError, EventError, MeshError, NotRegistered, SchemaError
from meshport.event.attributes import (
    COMMON_HEADERS,
    ID,
    OWN_HEADERS,
    RECORDED_TIME,
    SPEC_VERSION,
    STRUCTURED,
    TIME,
    fingerprint_of,
    is_name,
)
from meshport.event.event import NO_EXTENSIONS, Envelope, Event
from meshport.event.headers import (
    RawHeaders,
    attributes_of,
    canonical_text,
    check_attributes,
    check_prefix,
    deleted_at,
    instant_of,
    optional_attributes,
    refuse_name,
    stored_at,
)
from meshport.event.reading import ReaderSchemas, reader_schemas
from meshport.event.value import Decode, SchemaSource, ValueReader
from meshport.rfc3339 import usual_instant
from meshport.schema import Schema

UNREADABLE: Final = (CodecError, EventError, NotRegistered, SchemaError)
"""What `EventReader.read` raises for one bad message, as opposed to a registry that does not answer."""


class UnreadableHeaders(tuple[tuple[str, bytes | None], ...]):
    """The headers of a message that could not be read, and the reason, for which `EventReader` refuses it.

    Of one that the client could not read, there are none.
    """

    reason: str

    def __new__(cls, reason: str, headers: RawHeaders = ()) -> UnreadableHeaders:
        """Return headers, with the reason."""
        made = super().__new__(cls, headers)
        made.reason = reason
        return made


FOREIGN_TOMBSTONE: Final = "kafka.tombstone"
"""The CloudEvents type of a tombstone whose own headers are no CloudEvent."""

# Key, topic, partition, offset and Kafka timestamp of a message.
_Position = tuple[bytes | None, str, int, int, int]
_NO_DATA: Final = "a record as the data; a tombstone is a Kafka record whose value is null"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONSTANT: Final = len(COMMON_HEADERS)
_SHARED: Final = frozenset({"specversion", "source", "type", "dataschema", "datacontenttype"})
_USUAL: Final = _CONSTANT + len(OWN_HEADERS)
_new: Final = Event.__new__


class EventReader:
    """Reads the events of a topic. Not thread-safe.

    Args:
        schemas: looks schemas up, usually in a registry.
        reader: resolve records to this schema (Avro's schema resolution), or to one for each writer's; by default each
            record keeps its writer's.
    """

    def __init__(self, schemas: SchemaSource, reader: Schema | ReaderSchemas | None = None) -> None:
        self._schemas = schemas
        self._reader = reader_schemas(reader)
        self._values = ValueReader(schemas, self._reader)
        # State of the fast path: the parts of our writer's last event that the next one shares.
        self._constant: list[tuple[str, bytes]] = []
        self._prefix = b""
        self._decode: Decode = _undecided
        self._envelope = Envelope("", "")
        self._recorded_bytes: bytes | None = None
        self._recorded = _EPOCH

    def read(  # noqa: PLR0917 - a Kafka message in the order in which clients give its parts, without keywords for speed
        self,
        key: bytes | None,
        value: bytes | None,
        headers: RawHeaders | None,
        topic: str = "",
        partition: int = -1,
        offset: int = -1,
        timestamp_ms: int = -1,
    ) -> Event:
        """Return the event of a Kafka message.

        Raises:
            EventError: the headers are not a CloudEvent, or disagree about the value's schema.
            DecodeError: the value does not match its schema.
            NotRegistered: the value's schema is not registered.
            SchemaError: the value's schema is not safe to decode, or a default of the reader's schema is invalid.
            RegistryUnavailable: the registry did not answer a look-up of the schema; the message may be valid.
        """
        try:
            if headers and value and headers[:_CONSTANT] == self._constant and value[:PREFIX_BYTES] == self._prefix:
                first, id_bytes = headers[_CONSTANT]
                second, time_bytes = headers[_CONSTANT + 1]
                third, recorded_bytes = headers[_CONSTANT + 2]
                if (
                    first == ID
                    and second == TIME
                    and third == RECORDED_TIME
                    and id_bytes
                    and time_bytes
                    and recorded_bytes
                ):
                    event = _new(Event)
                    event.id = id_bytes.decode()
                    event.time = usual_instant(time_bytes)
                    # A busy publisher records many events in one millisecond, with equal bytes.
                    if recorded_bytes != self._recorded_bytes:
                        self._recorded = usual_instant(recorded_bytes)
                        self._recorded_bytes = recorded_bytes
                    event.recorded_time = self._recorded
                    event.data = data = self._decode(value, PREFIX_BYTES)
                    event.envelope = self._envelope
                    event.key = key
                    event.topic = topic
                    event.partition = partition
                    event.offset = offset
                    event.timestamp_ms = timestamp_ms
                    event.has_time = True
                    if len(headers) > _USUAL:
                        event.subject, event.extensions = optional_attributes(headers[_USUAL:])
                    else:
                        event.subject = None
                        event.extensions = NO_EXTENSIONS
                    if data is not None:
                        return event
        except (ValueError, IndexError):
            # Another layout or an error (EventError and DecodeError are ValueErrors); the slow path decides.
            pass
        try:
            return self._read(key, value, () if headers is None else headers, topic, partition, offset, timestamp_ms)
        except MeshError as error:
            # A copy, since a schema source may cache an error and raise it again.
            located = copy(error)
            located.message = f"{topic}[{partition}]@{offset}: {error.message}"
            located.args = (located.message,)
            raise located from error

    def _read(  # noqa: PLR0917 - as `read`
        self,
        key: bytes | None,
        value: bytes | None,
        headers: RawHeaders,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
    ) -> Event:
        # A message that the client could not read has neither key nor value.
        if isinstance(headers, UnreadableHeaders) and (value is not None or key is None):
            raise EventError(headers.reason)
        position = (key, topic, partition, offset, timestamp_ms)
        if value is None:
            return _tombstone(headers, position)
        attributes, schema_header = attributes_of(headers)
        content_type = attributes.get("datacontenttype", "")
        if content_type.lower().startswith(STRUCTURED):
            attributes, data = self._structured(content_type, value)
        else:
            check_prefix(headers, attributes)
            check_attributes(attributes)
            fingerprint = fingerprint_of(attributes.get("dataschema"))
            data = self._data(content_type, value, fingerprint, schema_header)
        if data is None:
            raise EventError("the event has no data: its value is the null of Avro or JSON", hint=_NO_DATA)
        event = _event(attributes, data, position)
        self._freeze(headers, value, schema_header, event.envelope)
        return event

    def _freeze(self, headers: RawHeaders, value: bytes, schema_header: bytes | None, envelope: Envelope) -> None:
        """Store the shared parts of an event for the fast path."""
        names = [name for name, _ in headers]
        if schema_header is not None or tuple(names[_CONSTANT:_USUAL]) != OWN_HEADERS:
            return
        if not _SHARED.issuperset(attributes_of(headers[:_CONSTANT])[0]):  # a subject or an extension is there
            return
        decode = self._values.prefix_decoder(value, fingerprint_of(envelope.data_schema))
        if decode is not None:
            self._constant = [(name, each) for name, each in headers[:_CONSTANT] if each is not None]
            self._prefix, self._decode, self._envelope = value[:PREFIX_BYTES], decode, envelope

    def _data(self, content_type: str, value: bytes, fingerprint: str | None, schema_header: bytes | None) -> Any:
        if content_type.partition(";")[0].strip().lower().endswith("json"):
            return self._of_json(_json(value), fingerprint)
        return self._values.read(value, fingerprint, schema_header)

    def _of_json(self, data: Any, fingerprint: str | None) -> Any:
        """Return the record of JSON data in the schema that the event names: the value that Avro would give."""
        if fingerprint is not None:
            schema = self._schemas.by_fingerprint(fingerprint)
        elif self._reader is not None:
            schema = self._reader.schema
        else:
            raise EventError("JSON data names no schema", hint="a dataschema that ends in the schema's fingerprint")
        try:
            body = codec_for(schema).encode(from_json(schema, data))
        except EncodeError as error:
            raise DecodeError(f"the JSON data is no {schema.name}: {error.message}", hint=error.hint) from error
        return self._values.decoder(schema)(body, 0)

    def _structured(self, content_type: str, value: bytes) -> tuple[dict[str, str], Any]:
        if content_type.lower().partition(";")[0].strip() != f"{STRUCTURED}+json":
            raise EventError(
                f"the header content-type is {content_type!r}",
                attribute="content-type",
                hint="application/cloudevents+json",
            )
        document = _json(value)
        if not isinstance(document, dict):
            raise EventError("the structured event is no JSON object")
        data, encoded = document.pop("data", None), document.pop("data_base64", None)
        misnamed = next((name for name in document if not is_name(name)), None)
        attributes = {
            name: canonical_text(name, each) for name, each in document.items() if each is not None and is_name(name)
        }
        check_attributes(attributes)
        if misnamed is not None:
            refuse_name(misnamed, attributes)
        fingerprint = fingerprint_of(attributes.get("dataschema"))
        if data is None and encoded is None:
            raise EventError("the structured event has no data", hint=_NO_DATA)
        if data is not None and encoded is not None:
            raise EventError("the structured event has both data and data_base64", hint="one of them")
        if encoded is None:
            return attributes, self._of_json(data, fingerprint)
        try:
            body = b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise EventError(f"data_base64 is no base64: {error}") from error
        return attributes, self._data(attributes.get("datacontenttype", ""), body, fingerprint, None)


def _event(attributes: dict[str, str], data: Any, position: _Position) -> Event:
    """Return the event of checked attributes, which are taken out of their dict."""
    key, topic, partition, offset, timestamp_ms = position
    has_time = "time" in attributes
    kafka_time = deleted_at if data is None else stored_at
    event = Event(
        envelope=Envelope(
            attributes.pop("source"),
            attributes.pop("type"),
            attributes.pop("dataschema", None),
            attributes.pop("datacontenttype", None),
        ),
        id=attributes.pop("id"),
        time=instant_of("time", attributes.pop("time")) if has_time else kafka_time(timestamp_ms),
        data=data,
        key=key,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp_ms=timestamp_ms,
        has_time=has_time,
        subject=attributes.pop("subject", None),
    )
    if "recordedtime" in attributes:
        event.recorded_time = instant_of("recordedtime", attributes.pop("recordedtime"))
    del attributes["specversion"]
    if attributes:
        event.extensions = MappingProxyType(attributes)
    return event


def _tombstone(headers: RawHeaders, position: _Position) -> Event:
    """Return the event of a null value; one of our own where its headers are no CloudEvent and it has a key.

    Raises:
        EventError: the headers are no CloudEvent, and there is no key that could be deleted.
    """
    try:
        attributes, _ = attributes_of(headers)
        check_attributes(attributes)
        return _event(attributes, None, position)
    except EventError:
        key, topic, partition, offset, _ = position
        if key is None:
            raise
    own = {
        "specversion": SPEC_VERSION,
        "id": f"{topic}-{partition}-{offset}",
        "source": f"kafka:{topic}",
        "type": FOREIGN_TOMBSTONE,
    }
    return _event(own, None, position)


def _undecided(_body: bytes, _start: int) -> Any:
    raise EventError("no event was read yet")


def _json(value: bytes) -> Any:
    try:
        return json.loads(value.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise EventError(f"the value is no JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
