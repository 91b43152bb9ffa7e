"""Events as objects of the cloudevents SDK, for services that have it already. The only importer of `cloudevents`.

The SDK's bindings write and read no message here: they invent what is missing, and lose headers (`meshport.event.reader`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.v1.event import CloudEvent

from meshport.errors import EventError
from meshport.event.attributes import CORE, SPEC_VERSION, Extension
from meshport.event.event import Envelope, Event

__all__ = ["BaseCloudEvent", "CloudEvent", "EventParts", "parts_of", "to_cloudevent"]


class EventParts(NamedTuple):
    """What one of the SDK's events has of its own, beside what all events of its port share.

    Attributes:
        record: the data.
        id: the event's id.
        time: when the fact happened.
        subject: what in the source it is about; None where the event has none.
        extensions: the extension attributes by name.
    """

    record: Mapping[str, Any]
    id: str
    time: datetime
    subject: str | None
    extensions: dict[str, Extension]


def to_cloudevent(event: Event) -> CloudEvent:
    """Return the event as the SDK's object.

    The data is the record; None for a tombstone. The time is `Event.time`, also where the event itself has none: the
    SDK would take the present.
    """
    return CloudEvent({**event.attributes(), "time": event.time}, event.data)


def parts_of(event: BaseCloudEvent, port: Envelope) -> EventParts:
    """Return the parts of one of the SDK's events that is to be published to a port.

    `recordedtime` is left out: an event that is published is recorded anew.

    Args:
        event: with a mapping as its data.
        port: what all events of the port share.

    Raises:
        EventError: the event has another version of CloudEvents; its source, type, dataschema or datacontenttype is not
            the port's (the last two may be missing); or its data is no mapping.
    """
    own = {name: value for name, value in event.get_attributes().items() if value is not None}
    if own.get("specversion") != SPEC_VERSION:
        raise EventError(f"the event has the specversion {own.get('specversion')!r}", hint=SPEC_VERSION)
    shared = {
        "source": port.source,
        "type": port.type,
        "dataschema": port.data_schema,
        "datacontenttype": port.content_type,
    }
    for name, wanted in shared.items():
        if (found := own.get(name, wanted)) != wanted:
            raise EventError(f"the event's {name} is {found!r}, the port's is {wanted!r}", hint=f"{name} {wanted}")
    record = event.get_data()
    if not isinstance(record, Mapping):
        raise EventError(
            f"the event's data is {'missing' if record is None else f'of type {type(record).__name__}'}",
            hint="the record as a mapping; `retract` publishes a tombstone",
        )
    extensions = {name: value for name, value in own.items() if name not in CORE}
    return EventParts(record, own["id"], own["time"], own.get("subject"), extensions)
