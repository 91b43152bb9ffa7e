"""The messages of one output port, as a publisher queues them and an outbox keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypedDict

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.errors import PublishError
from meshport.event import DATA_SCHEMA, Envelope, Extension, Headers, new_id, writer_for
from meshport.event.attributes import AVRO
from meshport.event.model import Record, plain_record
from meshport.event.record import event_time, record_key, retraction_key
from meshport.product import Status
from meshport.schema import parse_schema

if TYPE_CHECKING:
    from meshport.event.sdk import BaseCloudEvent, EventParts

__all__ = ["EventAttributes", "PortWriter"]


class EventAttributes(TypedDict, total=False):
    """The attributes of an event that may be given where it is made: by publishers and outboxes alike.

    Attributes:
        id: the event's; the same one whenever the same fact is published again. By default a random one.
        time: when the fact happened, with a zone; by default the port's time field, else now.
        subject: what in the source the event is about.
        extensions: further attributes of the event by name, such as `traceparent`.
    """

    id: str | None
    time: datetime | None
    subject: str | None
    extensions: Mapping[str, Extension] | None


class PortWriter:
    """Validates and encodes the events of one port. Thread-safe.

    Args:
        binding: of the port.

    Raises:
        PublishError: the port is retired.
    """

    def __init__(self, binding: Binding) -> None:
        if binding.status is Status.RETIRED:
            raise PublishError(
                f"{binding.address} is retired",
                address=str(binding.address),
                hint=f"its successor: {binding.successor}",
            )
        self.binding: Final = binding
        self.schema: Final = parse_schema(binding.schema_text, source=f"the schema of {binding.address}")
        self.events: Final = writer_for(binding, codec_for(self.schema))
        """The writer of values and headers."""
        self.key: Final = record_key(binding.key, self.schema)
        """Returns the key of a record."""
        self.time: Final = event_time(binding.time, self.schema)
        """Returns the time of a record."""
        self._retraction_key = retraction_key(binding.key, self.schema)
        self._envelope = Envelope(str(binding.address), binding.type, f"{DATA_SCHEMA}{self.schema.fingerprint}", AVRO)

    def message(
        self,
        record: Record,
        *,
        id: str | None = None,
        time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> tuple[str, bytes, bytes | None, Headers]:
        """Return the id, value, key and headers of an event.

        Args:
            record: the data.
            id: as in `EventAttributes`, and so are the others.
            time: when the fact happened.
            subject: what it is about.
            extensions: further attributes.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: id, time, subject or extensions make no CloudEvent.
            PublishError: the record has no key though the port is keyed, or no time.
        """
        self.events.check(id=id, time=time, subject=subject, extensions=extensions)
        record = plain_record(record)
        moment = self.time(record) if time is None else time
        made = new_id() if id is None else id
        value, headers = self.events.message(record, id=made, time=moment, subject=subject, extensions=extensions)
        return made, value, self.key(record), headers

    def tombstone(
        self, key: Mapping[str, Any], id: str | None, time: datetime | None
    ) -> tuple[str, None, bytes | None, Headers]:
        """Return the id, value, key and headers of a tombstone.

        Args:
            key: the key fields and their values.
            id: by default a random one.
            time: by default now.

        Raises:
            EventError: id or time make no CloudEvent.
            PublishError: the port has no key, or a key field has no value.
        """
        if not self.binding.key:
            raise PublishError(
                f"{self.binding.address} has no key, so that nothing of it can be retracted",
                address=str(self.binding.address),
                hint="an event that tells of the end",
            )
        self.events.check(id=id, time=time, subject=None, extensions=None)
        made = new_id() if id is None else id
        _, headers = self.events.tombstone(id=made, time=time or datetime.now(UTC))
        return made, None, self._retraction_key(key), headers

    def message_of(self, event: BaseCloudEvent) -> tuple[str, bytes, bytes | None, Headers]:
        """Return the id, value, key and headers of an event of the cloudevents SDK.

        Raises:
            MeshError: as `parts_of` and `message`.
        """
        record, id, time, subject, extensions = self.parts_of(event)
        return self.message(record, id=id, time=time, subject=subject, extensions=extensions)

    def parts_of(self, event: BaseCloudEvent) -> EventParts:
        """Return the arguments of `message` for an event of the cloudevents SDK.

        Raises:
            EventError: an attribute contradicts the port, or makes no CloudEvent; or the data is no mapping.
        """
        from meshport.event import sdk  # noqa: PLC0415 - importing the SDK takes 40 ms

        return sdk.parts_of(event, self._envelope)
