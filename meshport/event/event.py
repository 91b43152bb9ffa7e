"""One event, as it was read from Kafka or made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Self

from meshport.codec.jsonform import to_json
from meshport.event.attributes import SPEC_VERSION, rfc3339

NO_EXTENSIONS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes that the events of a port share.

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
class Event:
    """A CloudEvent and its place in Kafka. Treat it as immutable: the reader shares parts between events.

    Attributes:
        envelope: what it has in common with the port's other events; `source`, `type` and `data_schema` read it.
        id: unique within its source.
        time: when the fact happened, in UTC; the Kafka record's own timestamp where the event does not say.
        recorded_time: when it was recorded, in UTC, if it says.
        subject: what in the source it is about, if it says.
        data: the record; None for a tombstone.
        extensions: other attributes as text, by name (`traceparent`, `replayid`).
        key: the Kafka record's key.
        topic: where it was read; "" for an event that was not.
        partition: -1 for an event that was not read.
        offset: -1 for an event that was not read.
        timestamp_ms: the Kafka record's timestamp, milliseconds since 1970; -1 for none.
        says_time: whether `time` stands in the event itself.
    """

    envelope: Envelope
    id: str
    time: datetime
    data: Any
    key: bytes | None = None
    recorded_time: datetime | None = None
    subject: str | None = None
    extensions: Mapping[str, str] = field(default_factory=lambda: NO_EXTENSIONS)
    topic: str = ""
    partition: int = -1
    offset: int = -1
    timestamp_ms: int = -1
    says_time: bool = True

    @property
    def source(self) -> str:
        """The address of the port that published it."""
        return self.envelope.source

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return self.envelope.type

    @property
    def data_schema(self) -> str | None:
        """Absolute URI of the data's schema, as the event says it."""
        return self.envelope.data_schema

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that nothing holds for its key any more."""
        return self.data is None

    def marked(self, **extensions: str) -> Self:
        """The same event with further extension attributes."""
        return type(self)(
            **{name: getattr(self, name) for name in self.__slots__}
            | {"extensions": MappingProxyType({**self.extensions, **extensions})}
        )

    def attributes(self) -> dict[str, Any]:
        """CloudEvents attributes by their own names, as the SDK's `CloudEvent` takes them."""
        envelope = self.envelope
        found = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": envelope.source,
            "type": envelope.type,
            "time": self.time if self.says_time else None,
            "subject": self.subject,
            "datacontenttype": envelope.content_type,
            "dataschema": envelope.data_schema,
            "recordedtime": rfc3339(self.recorded_time).decode() if self.recorded_time else None,
            **self.extensions,
        }
        return {name: value for name, value in found.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON data: CloudEvents' own names, the record under `data`, and where it was read.

        Members beside CloudEvents' are `kafkatopic`, `kafkapartition`, `kafkaoffset` and `kafkakey`; a key that is no
        UTF-8 stands in hexadecimal digits under `kafkakeyhex`.
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
        """Whether all that the events say is equal, wherever they were read."""
        if not isinstance(other, Event):
            return NotImplemented
        return (self.attributes(), self.key, self.data) == (other.attributes(), other.key, other.data)

    def __hash__(self) -> int:
        return hash((self.envelope.source, self.id))
