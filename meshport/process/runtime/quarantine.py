"""Reading what a processor set aside: the quarantine, and the events that came too late."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshport.address import late_name, quarantine_name, redrive_name
from meshport.binding import Binding
from meshport.errors import TopicError
from meshport.event.attributes import ID
from meshport.kafka.config import KafkaConfig
from meshport.ports.scan import Stretch, history_reader, scan
from meshport.process.logic import lossless_json
from meshport.process.logic.records import EventRecord
from meshport.process.wire.headers import split_failure

Origin = tuple[str, int, int, int]
"""(topic, partition, offset, number): an event of an input, or one record of it; the number is -1 for the whole event."""


@dataclass(frozen=True, slots=True)
class QuarantinedEvent:
    """One event that a processor put aside, with its original bytes.

    Attributes:
        reason: why, in words.
        error: the class of the error; None for an event that was merely late.
        topic: where it was read.
        partition: as `topic`.
        offset: as `topic`.
        stored_at: when the original was stored, RFC 3339; None where Kafka did not say.
        key: of the original.
        value: of the original, byte for byte.
        headers: of the original.
        redriven_before: where the redrive topic was read to when the event was put aside.
        record: where the event itself went through and one of its records failed under its new key: that record, plain.
        window: the name of a window that could not be written when it closed. It is no event, and its bytes are none.
    """

    reason: str
    error: str | None
    topic: str
    partition: int
    offset: int
    stored_at: str | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    redriven_before: int = 0
    record: bytes | None = None
    window: str | None = None

    @property
    def origin(self) -> Origin:
        """What is brought back: the event, or the record that failed alone."""
        number = -1 if self.record is None else EventRecord(*lossless_json.loads(self.record)).number
        return self.topic, self.partition, self.offset, number

    @property
    def id(self) -> str | None:
        """The CloudEvents id that the headers of the original give; None where they give none."""
        given = dict(self.headers).get(ID)
        return None if given is None else given.decode("utf-8", "backslashreplace")

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON data: bytes as hexadecimal text."""
        return {
            "reason": self.reason,
            "error": self.error,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "stored_at": self.stored_at,
            "key": None if self.key is None else self.key.hex(),
            "value": None if self.value is None else self.value.hex(),
            "headers": {name: value.decode("utf-8", "backslashreplace") for name, value in self.headers},
        }


def quarantined_event(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> QuarantinedEvent:
    """Return the event of one message of a quarantine or late topic."""
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
    )


def read_quarantine(binding: Binding) -> Iterator[QuarantinedEvent]:
    """What the processor of a port could not process, oldest first within each partition, up to now."""
    return (quarantined_event(*parts) for _, parts in _read(binding, quarantine_name(binding.topic)))


def read_late(binding: Binding) -> Iterator[QuarantinedEvent]:
    """What came to the processor of a port after its window's lateness, up to now."""
    return (quarantined_event(*parts) for _, parts in _read(binding, late_name(binding.topic)))


def read_redriven(binding: Binding) -> dict[Origin, int]:
    """Everything that was redriven by now, with the offset in the redrive topic at which it was last."""
    return {quarantined_event(*parts).origin: offset for offset, parts in _read(binding, redrive_name(binding.topic))}


def is_redriven(event: QuarantinedEvent, last: Mapping[Origin, int]) -> bool:
    """Whether an event was redriven after it was put aside.

    Args:
        event: of the quarantine.
        last: as of `read_redriven`.
    """
    return last.get(event.origin, -1) >= event.redriven_before


_Parts = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]


def _read(binding: Binding, topic: str) -> Iterator[tuple[int, _Parts]]:
    """Offset, key, value and headers of each message."""
    consumer = history_reader(KafkaConfig(binding.bootstrap_servers))
    try:
        bounds = consumer.bounds(topic)
    except TopicError:
        # A processor makes these topics when it first starts; before that, or without one, nothing was set aside.
        consumer.close()
        return
    begin, end = ({partition: pair[at] for partition, pair in bounds.items()} for at in (0, 1))
    try:
        for messages in scan(consumer, Stretch(topic, begin, end)):
            for message in messages:
                yield message.offset(), (message.key(), message.value(), message.headers() or ())
    finally:
        consumer.close()
