"""One record of a log, as a topic and as an archive have it, and its digest."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

from meshport.kafka.received import Headers, ReceivedMessage, headers_of

__all__ = ["LogRecord", "records_of"]

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


def records_of(rows: Any) -> Iterator[LogRecord]:
    """Yield the records of rows of an archive, a `pyarrow.Table` with the columns of the log, in their order."""
    instants = rows.column("_timestamp").cast("int64")
    columns = [rows.column(each).to_pylist() for each in ("_offset", "_timestamp_type", "_key", "_value", "_headers")]
    for (offset, kind, key, value, headers), micros in zip(
        zip(*columns, strict=True), instants.to_pylist(), strict=True
    ):
        pairs = tuple((each["name"], each["value"]) for each in headers or ())
        yield LogRecord(offset, kind, _NONE if micros is None else micros // 1000, key, value, pairs)
