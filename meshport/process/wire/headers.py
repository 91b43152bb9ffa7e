"""The headers that a processor adds to Kafka messages, besides those of CloudEvents: their names, writing and reading.

A quarantined, late or redriven message has the original's own headers, then the processor's. Why it is there:

    mesh_reason, mesh_error         in words; the class of the error (not of late events)
    mesh_watermark                  of a late event: the watermark that it missed, ISO 8601
    mesh_redriven                   the next offset of the redrive topic at that time, where it is not 0
    mesh_record                     where one record of the event failed after re-keying: that record, as JSON
    mesh_window                     where no event failed but the output of a window that closed: its name

and where the original is: `mesh_topic`, `mesh_partition`, `mesh_offset` and `mesh_time`, its Kafka timestamp in ISO 8601. A
re-keyed record has `mesh_key` and `mesh_value`, the original's key and value, as its last headers. A tombstone of a changelog
has `stamp`, that of the state without the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from meshport.kafka.producer import Message
from meshport.process.logic.event_time import to_datetime, to_micros
from meshport.process.state.changelog import ChangelogRecord

Headers = Sequence[tuple[str, bytes]]

_REASON: Final = "mesh_reason"
_ERROR: Final = "mesh_error"
_TOPIC: Final = "mesh_topic"
_PARTITION: Final = "mesh_partition"
_OFFSET: Final = "mesh_offset"
_TIME: Final = "mesh_time"
_WATERMARK: Final = "mesh_watermark"
_REDRIVEN: Final = "mesh_redriven"
_RECORD: Final = "mesh_record"
_WINDOW: Final = "mesh_window"
_FAILURE: Final = frozenset(
    {_REASON, _ERROR, _TOPIC, _PARTITION, _OFFSET, _TIME, _WATERMARK, _REDRIVEN, _RECORD, _WINDOW}
)
_KEY: Final = "mesh_key"
_VALUE: Final = "mesh_value"
_STAMP: Final = "stamp"
_LONGEST_REASON: Final = 2000
"""Characters of a reason that are written."""


class FailureHeaders(NamedTuple):
    """What the processor's headers of a quarantined, late or redriven message say; a header that is missing, its default.

    Attributes:
        reason: why the event was not processed.
        error: the class of the error.
        topic: of the original.
        partition: of the original.
        offset: of the original.
        stored_at: Kafka timestamp of the original, ISO 8601.
        redriven: the next offset of the redrive topic when the event failed.
        record: the record of the event that failed, as JSON.
        window: the name of the window whose output failed.
    """

    reason: str = ""
    error: str | None = None
    topic: str = ""
    partition: int = -1
    offset: int = -1
    stored_at: str | None = None
    redriven: int = 0
    record: bytes | None = None
    window: str | None = None


def split_failure(headers: Iterable[tuple[str, bytes | None]]) -> tuple[FailureHeaders, list[tuple[str, bytes]]]:
    """Return what the processor's headers of a message say, and the original's own headers.

    Raises:
        ValueError: a partition or offset is not a number, or a text is not UTF-8.
    """
    given = [(name, value or b"") for name, value in headers]
    found = {name: value.decode() for name, value in given if name in _FAILURE}
    record = found.get(_RECORD)
    failure = FailureHeaders(
        found.get(_REASON, ""),
        found.get(_ERROR),
        found.get(_TOPIC, ""),
        int(found.get(_PARTITION, -1)),
        int(found.get(_OFFSET, -1)),
        found.get(_TIME),
        int(found.get(_REDRIVEN, 0)),
        None if record is None else record.encode(),
        found.get(_WINDOW),
    )
    return failure, [header for header in given if header[0] not in _FAILURE]


def without_failure(headers: Headers) -> list[tuple[str, bytes]]:
    """Return the original's own headers of a message."""
    return [header for header in headers if header[0] not in _FAILURE]


def quarantine_headers(
    reason: str, error: Exception, *, redriven: int, record: str | None, window: str
) -> list[tuple[str, bytes]]:
    """Return the headers that say why a message is quarantined; the arguments are those of `FailureHeaders`."""
    headers = [(_REASON, _reason(reason)), (_ERROR, type(error).__name__.encode())]
    if redriven:
        headers.append((_REDRIVEN, str(redriven).encode()))
    if record is not None:
        headers.append((_RECORD, record.encode()))
    if window:
        headers.append((_WINDOW, window.encode()))
    return headers


def late_headers(reason: str, watermark: int) -> list[tuple[str, bytes]]:
    """Return the headers that say why an event is late; the watermark is in microseconds."""
    return [(_REASON, _reason(reason)), (_WATERMARK, to_datetime(watermark).isoformat().encode())]


def _reason(reason: str) -> bytes:
    return reason[:_LONGEST_REASON].encode("utf-8", "replace")


def origin_headers(topic: str, partition: int, offset: int, timestamp_ms: int) -> list[tuple[str, bytes]]:
    """Return the headers that say where an original is; a negative timestamp is none."""
    headers = [(_TOPIC, topic.encode()), (_PARTITION, str(partition).encode()), (_OFFSET, str(offset).encode())]
    if timestamp_ms >= 0:
        headers.append((_TIME, to_datetime(timestamp_ms * 1000).isoformat().encode()))
    return headers


def record_header(record: bytes) -> tuple[str, bytes]:
    """Return the header of the one record of an event that is redriven."""
    return _RECORD, record


def timestamp_ms(stored_at: str | None) -> int:
    """Return the Kafka timestamp of `FailureHeaders.stored_at`, -1 for None.

    Raises:
        ValueError: the text is not a time.
    """
    return -1 if stored_at is None else to_micros(datetime.fromisoformat(stored_at)) // 1000


def with_original(headers: Headers, key: bytes | None, value: bytes | None) -> list[tuple[str, bytes]]:
    """Return the headers of a re-keyed record: the original's, then its key and its value, where they are not null."""
    added = list(headers)
    if key is not None:
        added.append((_KEY, key))
    if value is not None:
        added.append((_VALUE, value))
    return added


def split_original(
    headers: Headers, *, has_key: bool, has_value: bool
) -> tuple[list[tuple[str, bytes]], bytes | None, bytes | None]:
    """Return the headers, the key and the value of the original of a re-keyed record."""
    own = list(headers)
    value = own.pop()[1] if has_value else None
    key = own.pop()[1] if has_key else None
    return own, key, value


def changelog_message(topic: str, partition: int, record: ChangelogRecord) -> Message:
    """Return the message of a changelog record."""
    headers = [(_STAMP, str(record.stamp).encode())] if record.value is None else []
    return Message(topic, record.key, record.value, headers, None, partition)


def changelog_record(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] | None
) -> ChangelogRecord:
    """Return the changelog record of a message; the headers are those of the Kafka client."""
    if value is not None:
        return ChangelogRecord(key or b"", value)
    stamp = next((text for name, text in headers or () if name == _STAMP), None)
    return ChangelogRecord(key or b"", None, int(stamp or b"-1"))
