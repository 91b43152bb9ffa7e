"""Reading what a processor set aside: the quarantine, and the events that came too late."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from meshport.address import late_name, quarantine_name
from meshport.binding import Binding
from meshport.errors import TopicError
from meshport.process.messages import ERROR, OFFSET, PARTITION, REASON, TIME, TOPIC, WATERMARK
from meshport.scan import Stretch, history_reader, scan

_WHY = frozenset({REASON, ERROR, TOPIC, PARTITION, OFFSET, TIME, WATERMARK})


@dataclass(frozen=True, slots=True)
class SetAside:
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

    @property
    def id(self) -> str | None:
        """The CloudEvents id that the headers of the original give; None where they give none."""
        given = dict(self.headers).get("ce_id")
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


def set_aside(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> SetAside:
    """What one message of a quarantine or late topic says."""
    given = tuple((name, text or b"") for name, text in headers)
    why = {name: text.decode() for name, text in given if name in _WHY}
    return SetAside(
        reason=why.get(REASON, ""),
        error=why.get(ERROR),
        topic=why.get(TOPIC, ""),
        partition=int(why.get(PARTITION, -1)),
        offset=int(why.get(OFFSET, -1)),
        stored_at=why.get(TIME),
        key=key,
        value=value,
        headers=tuple((name, text) for name, text in given if name not in _WHY),
    )


def read_quarantine(binding: Binding) -> Iterator[SetAside]:
    """What the processor of a port could not process, oldest first within each partition, up to now."""
    return _read(binding, quarantine_name(binding.topic))


def read_late(binding: Binding) -> Iterator[SetAside]:
    """What came to the processor of a port after its window's lateness, up to now."""
    return _read(binding, late_name(binding.topic))


def _read(binding: Binding, topic: str) -> Iterator[SetAside]:
    consumer = history_reader(binding.bootstrap_servers)
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
                yield set_aside(message.key(), message.value(), message.headers() or ())
    finally:
        consumer.close()
