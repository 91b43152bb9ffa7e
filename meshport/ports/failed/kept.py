"""Messages that are kept with their original bytes and the reason."""

from __future__ import annotations

from meshport.errors import MeshError
from meshport.event.reader import UnreadableHeaders
from meshport.kafka.producer import Message
from meshport.kafka.received import InputMessage
from meshport.ports.failed.headers import origin_headers, unread_header, without_failure
from meshport.ports.failed.packing import fitted

__all__ = ["kept", "origin_of", "reason_of"]


def reason_of(error: Exception) -> str:
    """Return in words why a message could not be handled."""
    return error.message if isinstance(error, MeshError) else f"{type(error).__name__}: {error}"


def kept(topic: str, message: InputMessage, why: list[tuple[str, bytes]]) -> Message:
    """Return the message that keeps another one: its own key, value and headers, why it is kept, and where it was.

    Args:
        topic: where it is kept.
        message: as it was read.
        why: headers; those of an earlier failure are replaced.
    """
    own = without_failure(message.headers)
    left = [unread_header()] if isinstance(message.headers, UnreadableHeaders) else []
    return fitted(Message(topic, message.key, message.value, [*own, *why, *origin_of(message), *left]))


def origin_of(message: InputMessage) -> list[tuple[str, bytes]]:
    """Return the headers that say where a message was read."""
    return origin_headers(message.topic, message.partition, message.offset, message.timestamp_ms)
