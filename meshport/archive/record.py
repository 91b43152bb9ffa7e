"""One record of a log, as a topic and as an archive have it, and its digest."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final, NamedTuple, Self

from meshport.kafka.received import Headers, ReceivedMessage, headers_of

__all__ = ["ArchivedMessage", "LogRecord"]

_NONE: Final = -1
_LENGTH: Final = struct.Struct(">i")
_NUMBERS: Final = struct.Struct(">qbq")


class LogRecord(NamedTuple):
    """A record without its place in a cluster.

    Attributes:
        offset: in its partition.
        timestamp_type: Kafka's: 0 none, 1 the time of creation, 2 that of the append.
        timestamp_ms: milliseconds since 1970; -1 without one.
        key: its bytes, or None.
        value: its bytes, or None for a retraction.
        headers: names and values, in order.
    """

    offset: int
    timestamp_type: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of(cls, message: ReceivedMessage) -> Self:
        """Return the record of a message that was read from a topic."""
        kind, stamp = message.timestamp()
        return cls(
            message.offset(), kind, stamp if kind else _NONE, message.key(), message.value(), headers_of(message) or ()
        )

    @property
    def digest(self) -> bytes:
        """16 bytes of BLAKE2b over all of it, each part with its length."""
        made = hashlib.blake2b(_NUMBERS.pack(self.offset, self.timestamp_type, self.timestamp_ms), digest_size=16)
        for part in (self.key, self.value):
            _add(made, part)
        made.update(_LENGTH.pack(len(self.headers)))
        for name, value in self.headers:
            _add(made, name.encode())
            _add(made, value)
        return made.digest()


def _add(made: Any, part: bytes | None) -> None:
    made.update(_LENGTH.pack(_NONE if part is None else len(part)))
    if part:
        made.update(part)


class ArchivedMessage:
    """A record of an archive as a message of its topic: a `meshport.kafka.received.ReceivedMessage`.

    Args:
        topic: that it was archived from.
        partition: of the topic.
        offset: in the partition.
        timestamp: Kafka's type and the Unix time in ms.
        key: its bytes, or None.
        value: its bytes, or None for a retraction.
        headers: names and values, in order.
    """

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp", "_topic", "_value")

    def __init__(  # noqa: PLR0917 - made for each message: keywords would take as long again
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp: tuple[int, int],
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._timestamp = timestamp
        self._key = key
        self._value = value
        self._headers = headers

    def topic(self) -> str:  # noqa: D102 - as of the client's message
        return self._topic

    def partition(self) -> int:  # noqa: D102 - as above
        return self._partition

    def offset(self) -> int:  # noqa: D102 - as above
        return self._offset

    def key(self) -> bytes | None:  # noqa: D102 - as above
        return self._key

    def value(self) -> bytes | None:  # noqa: D102 - as above
        return self._value

    def headers(self) -> Headers | None:  # noqa: D102 - as above
        return self._headers or None

    def timestamp(self) -> tuple[int, int]:  # noqa: D102 - as above
        return self._timestamp

    def error(self) -> None:  # noqa: D102 - as above
        return None

    def __len__(self) -> int:
        return len(self._value or b"")
