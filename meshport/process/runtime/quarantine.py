"""Reading a processor's quarantine topic and its late topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshport.address import (
    late_name,
    quarantine_name,
    reader_quarantine_name,
    reader_redrive_name,
    redrive_name,
    topic_name,
)
from meshport.binding import Binding
from meshport.errors import TopicError
from meshport.event.attributes import ID
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.received import headers_of
from meshport.ports.failed.headers import split_failure
from meshport.ports.failed.packing import unpacked
from meshport.ports.scan import read_topic
from meshport.process.logic import lossless_json
from meshport.process.logic.records import EventRecord

Origin = tuple[str, int, int, int]
"""(topic, partition, offset, number) of an input event, or of one of its records; the number is -1 for the whole event."""


@dataclass(frozen=True, slots=True)
class QuarantinedEvent:
    """An event of a quarantine topic or of a late topic, with its original bytes.

    Attributes:
        reason: why the processor put it there, in words.
        error: the class of the error; None for a late event.
        topic: the input topic that the event was read from.
        partition: its partition there.
        offset: its offset there.
        stored_at: when the original was stored, RFC 3339; None where Kafka has no timestamp of it.
        key: of the original.
        value: of the original, byte for byte.
        headers: of the original.
        redriven_before: the offset up to which the redrive topic had been read when the event failed; of an event that a group
            of readers failed on, how often it had been redriven.
        record: the one re-keyed record that failed, as lossless JSON, where the other records of the event were processed.
        window: the name of a window that could not be written when it closed. Then key and value are not those of an event.
        original: where key, value and headers are, in words, of an event that is too large for the topic; None of others.
        size: bytes of such an event's key and value, where it is known.
        sha256: their digest, where it is known.
    """

    reason: str
    error: str | None
    topic: str
    partition: int
    offset: int
    stored_at: str | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    redriven_before: int = 0
    record: bytes | None = None
    window: str | None = None
    original: str | None = None
    size: int | None = None
    sha256: str | None = None

    @property
    def origin(self) -> Origin:
        """The event that a redrive brings back, or its one record that failed."""
        number = -1 if self.record is None else EventRecord(*lossless_json.loads(self.record)).number
        return self.topic, self.partition, self.offset, number

    @property
    def id(self) -> str | None:
        """The CloudEvents id in the headers of the original; None where they have none."""
        given = dict(self.headers).get(ID)
        return None if given is None else given.decode("utf-8", "backslashreplace")

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON data, with bytes as hexadecimal text."""
        return {
            "reason": self.reason,
            "error": self.error,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "stored_at": self.stored_at,
            "key": None if self.key is None else self.key.hex(),
            "value": None if self.value is None else self.value.hex(),
            "headers": {
                name: None if value is None else value.decode("utf-8", "backslashreplace")
                for name, value in self.headers
            },
            **({} if self.original is None else {"original": self.original, "size": self.size, "sha256": self.sha256}),
        }


def quarantined_event(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> QuarantinedEvent:
    """Return the event of one message of a quarantine or late topic."""
    key, value, headers = unpacked(key, value, headers)
    failure, own = split_failure(headers)
    return QuarantinedEvent(
        reason=failure.reason,
        error=failure.error,
        topic=failure.topic,
        partition=failure.partition,
        offset=failure.offset,
        stored_at=failure.stored_at,
        key=key,
        value=value,
        headers=tuple(own),
        redriven_before=failure.redriven,
        record=failure.record,
        window=failure.window,
        original=failure.original,
        size=failure.size,
        sha256=failure.sha256,
    )


def read_quarantine(
    binding: Binding, kafka: KafkaAccess = PLAINTEXT, *, group: str | None = None
) -> Iterator[QuarantinedEvent]:
    """Yield the events that the processor of a port could not process, in offset order within each partition, up to now.

    Args:
        binding: of the port.
        kafka: the connections to Kafka.
        group: yield the port's events that this group of readers could not handle instead.
    """
    own = quarantine_name(binding.topic)
    topic = own if group is None else reader_quarantine_name(group, topic_name(binding.address))
    return (quarantined_event(*parts) for _, parts in _read(binding, topic, kafka))


def read_late(binding: Binding, kafka: KafkaAccess = PLAINTEXT) -> Iterator[QuarantinedEvent]:
    """Yield the events that came later than the lateness of the port's processor allows, up to now."""
    return (quarantined_event(*parts) for _, parts in _read(binding, late_name(binding.topic), kafka))


def read_redriven(binding: Binding, kafka: KafkaAccess = PLAINTEXT, *, group: str | None = None) -> dict[Origin, int]:
    """Return every event that was redriven by now, with a number for `is_redriven`.

    It is the last offset of the event in the processor's redrive topic; of a group of readers' event, how often it was redriven,
    less one.

    Args:
        binding: of the port.
        kafka: the connections to Kafka.
        group: for this group of readers instead of the processor.
    """
    if group is None:
        found = _read(binding, redrive_name(binding.topic), kafka)
        return {quarantined_event(*parts).origin: offset for offset, parts in found}
    last: dict[Origin, int] = {}
    for _, parts in _read(binding, reader_redrive_name(group, topic_name(binding.address)), kafka):
        event = quarantined_event(*parts)
        last[event.origin] = max(last.get(event.origin, 0), event.redriven_before - 1)
    return last


def is_redriven(event: QuarantinedEvent, last: Mapping[Origin, int]) -> bool:
    """Return whether an event was redriven after it was quarantined.

    Args:
        event: of the quarantine topic.
        last: see `read_redriven`.
    """
    return last.get(event.origin, -1) >= event.redriven_before


_Parts = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]


def _read(binding: Binding, topic: str, kafka: KafkaAccess) -> Iterator[tuple[int, _Parts]]:
    """Yield (offset, (key, value, headers)) of each message of a topic, up to now; nothing where there is no topic."""
    try:
        for messages in read_topic(kafka.to(binding), topic):
            for message in messages:
                yield message.offset(), (message.key(), message.value(), headers_of(message) or ())
    except TopicError:
        # A processor creates these topics when it first starts.
        return
