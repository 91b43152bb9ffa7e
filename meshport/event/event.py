"""One event, read from Kafka or constructed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Self

from typing_extensions import TypeVar

from meshport.codec.jsonform import to_json
from meshport.event.attributes import SPEC_VERSION, rfc3339
from meshport.event.trace import traced

if TYPE_CHECKING:
    from meshport.event.sdk import CloudEvent

Data = TypeVar("Data", default=Any)
"""The type of an event's data: a mapping, or a model that a subscriber was asked for (`meshport.event.model`)."""

NO_EXTENSIONS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Envelope:
    """Attributes that are equal for all events of a port with one schema.

    Attributes:
        source: the port's address.
        type: the CloudEvents type.
        data_schema: absolute URI of the data's schema.
        content_type: of the data.
    """

    source: str
    type: str
    data_schema: str | None = None
    content_type: str | None = None


@dataclass(eq=False, slots=True, kw_only=True)
class Event(Generic[Data]):
    """A CloudEvent and its record position in Kafka. Treat it as immutable: the reader shares parts between events.

    Attributes:
        envelope: attributes shared with other events; `source`, `type` and `data_schema` return them.
        id: unique within its source.
        time: event time, in UTC; the Kafka record's timestamp if the event has no `time`.
        recorded_time: recorded time, in UTC, if the event has one.
        subject: CloudEvents subject, if the event has one.
        data: the record; None for a tombstone.
        extensions: other attributes as text, by name (`traceparent`, `replayid`).
        key: the Kafka record's key.
        topic: of the Kafka record; "" for an event that was not read.
        partition: of the Kafka record; -1 for an event that was not read.
        offset: of the Kafka record; -1 for an event that was not read.
        timestamp_ms: of the Kafka record, milliseconds since 1970; -1 if it has none.
        has_time: whether the event has a `time` attribute.
    """

    envelope: Envelope
    id: str
    time: datetime
    data: Data
    key: bytes | None = None
    recorded_time: datetime | None = None
    subject: str | None = None
    extensions: Mapping[str, str] = field(default_factory=lambda: NO_EXTENSIONS)
    topic: str = ""
    partition: int = -1
    offset: int = -1
    timestamp_ms: int = -1
    has_time: bool = True

    @property
    def source(self) -> str:
        """Address of the port that published the event."""
        return self.envelope.source

    @property
    def type(self) -> str:
        """CloudEvents type."""
        return self.envelope.type

    @property
    def data_schema(self) -> str | None:
        """Absolute URI of the data's schema, if the event has one."""
        return self.envelope.data_schema

    @property
    def is_tombstone(self) -> bool:
        """Whether the event deletes its key."""
        return self.data is None

    def marked(self, **extensions: str) -> Self:
        """Return a copy with further extension attributes."""
        return type(self)(
            **{name: getattr(self, name) for name in self.__slots__}
            | {"extensions": MappingProxyType({**self.extensions, **extensions})}
        )

    def traced(self, name: str) -> AbstractContextManager[object]:
        """Return a context in which the event's trace goes on: what is published within it belongs to the trace.

        It has a span of OpenTelemetry, with the event's position; what that records, and where it goes, is up to the SDK of
        the process. A replayed event begins a trace of its own, which is linked to its first one. An event without a trace
        has a context that does nothing.

        Args:
            name: of the span, in words: `bill the customer`.
        """
        position = {
            "messaging.operation.type": "process",
            "messaging.destination.name": self.topic,
            "messaging.destination.partition.id": str(self.partition),
            "messaging.kafka.offset": self.offset,
            "messaging.message.id": self.id,
        }
        return traced(self.extensions, name, position)

    def attributes(self) -> dict[str, Any]:
        """CloudEvents attributes by their own names, as the SDK's `CloudEvent` takes them."""
        envelope = self.envelope
        found = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": envelope.source,
            "type": envelope.type,
            "time": self.time if self.has_time else None,
            "subject": self.subject,
            "datacontenttype": envelope.content_type,
            "dataschema": envelope.data_schema,
            "recordedtime": rfc3339(self.recorded_time).decode() if self.recorded_time else None,
            **self.extensions,
        }
        return {name: value for name, value in found.items() if value is not None}

    def to_cloudevent(self) -> CloudEvent:
        """Return the event as an object of the cloudevents SDK: its attributes, extensions included, and the record as data.

        The data is None for a tombstone. The key and the position in Kafka are no attributes of it.
        """
        from meshport.event import sdk  # noqa: PLC0415 - importing the SDK takes 40 ms

        return sdk.to_cloudevent(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON data: CloudEvents' attribute names, the record as `data`, and its position in Kafka.

        The position is in `kafkatopic`, `kafkapartition`, `kafkaoffset` and `kafkakey`. A key that is not UTF-8 is in
        `kafkakeyhex`, as hexadecimal digits.
        """
        shown = self.attributes()
        if "time" in shown:
            shown["time"] = rfc3339(self.time).decode()
        shown["data"] = to_json(self.data)
        if self.topic:
            shown |= {"kafkatopic": self.topic, "kafkapartition": self.partition, "kafkaoffset": self.offset}
        if self.key is not None:
            try:
                shown["kafkakey"] = self.key.decode()
            except UnicodeDecodeError:
                shown["kafkakeyhex"] = self.key.hex()
        return shown

    def __eq__(self, other: object) -> bool:
        """Compare attributes and data; the position in Kafka does not count."""
        if not isinstance(other, Event):
            return NotImplemented
        return (self.attributes(), self.key, self.data) == (other.attributes(), other.key, other.data)

    def __hash__(self) -> int:
        return hash((self.envelope.source, self.id))
