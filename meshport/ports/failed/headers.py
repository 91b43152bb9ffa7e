"""The headers that say why a message is kept beside its topic, and where its original is: their names, writing and reading.

A quarantined, late or redriven message has the original's own headers, then these. Why it is there:

    mesh_reason, mesh_error         in words; the class of the error (not of late events)
    mesh_watermark                  of a late event: the watermark that it missed, ISO 8601
    mesh_redriven                   the next offset of the redrive topic at that time, where it is not 0; of an event that a
                                    group of readers failed on: how often it was redriven
    mesh_record                     where one record of the event failed after re-keying: that record, as JSON
    mesh_window                     where no event failed but the output of a window that closed: its name
    mesh_tries, mesh_due            of an event that a group of readers failed on: how often; when it is tried again, Unix ms

and where the original is: `mesh_topic`, `mesh_partition`, `mesh_offset` and `mesh_time`, its Kafka timestamp in ISO 8601, or
in milliseconds where it is after the year 9999. A message that is too large is written in another form (`ports.failed.packing`):

    mesh_packed                     the value is the compressed message, with its key and its headers
    mesh_original                   the original's key, value and headers are not here: where they are, in words
    mesh_size, mesh_sha256          of an original that is not here: bytes and digest of its key and value
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from meshport.kafka.received import Headers
from meshport.rfc3339 import instant

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

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
ORIGINAL: Final = "mesh_original"
"""Name of the header of a message without its original."""
IN_THE_INPUT: Final = "in the input"
_SIZE: Final = "mesh_size"
_DIGEST: Final = "mesh_sha256"
TRIES: Final = "mesh_tries"
DUE: Final = "mesh_due"
_FAILURE: Final = frozenset(
    {_REASON, _ERROR, _TOPIC, _PARTITION, _OFFSET, _TIME, _WATERMARK, _REDRIVEN, _RECORD, _WINDOW, ORIGINAL, _SIZE}
    | {_DIGEST, TRIES, DUE}
)
_PACKED: Final = "mesh_packed"
_FORM: Final = b"zlib"
_LONGEST_REASON: Final = 2000
"""Characters of a reason that are written."""
_LONGEST_SHORT: Final = 64 * 1024
"""Bytes of a header that a message of another form keeps as it is."""


class FailureHeaders(NamedTuple):
    """What these headers of a quarantined, late or redriven message say; a header that is missing, its default.

    Attributes:
        reason: why the event is kept.
        error: the class of the error.
        topic: of the original.
        partition: of the original.
        offset: of the original.
        stored_at: Kafka timestamp of the original, ISO 8601.
        redriven: the next offset of the redrive topic when the event failed; of a group's event, how often it was redriven.
        record: the record of the event that failed, as JSON.
        window: the name of the window whose output failed.
        original: where the bytes of an original are that are not in the message, in words.
        size: bytes of such an original's key and value; None where it is not known.
        sha256: their digest; None where it is not known.
        tries: how often a group of readers failed on the event.
        due_ms: when the event is tried again, Unix time in ms.
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
    original: str | None = None
    size: int | None = None
    sha256: str | None = None
    tries: int = 0
    due_ms: int = 0


def split_failure(headers: Headers) -> tuple[FailureHeaders, list[tuple[str, bytes | None]]]:
    """Return what these headers of a message say, and the original's own headers.

    Raises:
        ValueError: a partition or offset is not a number, or a text is not UTF-8.
    """
    found = {name: (value or b"").decode() for name, value in headers if name in _FAILURE}
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
        found.get(ORIGINAL),
        None if (size := found.get(_SIZE)) is None else int(size),
        found.get(_DIGEST),
        int(found.get(TRIES, 0)),
        int(found.get(DUE, 0)),
    )
    return failure, without_failure(headers)


def without_failure(headers: Headers) -> list[tuple[str, bytes | None]]:
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
    return [(_REASON, _reason(reason)), (_WATERMARK, (_EPOCH + timedelta(microseconds=watermark)).isoformat().encode())]


def _reason(reason: str) -> bytes:
    return reason[:_LONGEST_REASON].encode("utf-8", "replace")


def origin_headers(topic: str, partition: int, offset: int, timestamp_ms: int) -> list[tuple[str, bytes]]:
    """Return the headers that say where an original is; a negative timestamp is none."""
    headers = [(_TOPIC, topic.encode()), (_PARTITION, str(partition).encode()), (_OFFSET, str(offset).encode())]
    if timestamp_ms >= 0:
        headers.append((_TIME, _stored_at(timestamp_ms).encode()))
    return headers


def original_headers(original: str | None, size: int | None, sha256: str | None) -> list[tuple[str, bytes]]:
    """Return the headers of a message without its original; the arguments are those of `FailureHeaders`."""
    if original is None:
        return []
    headers = [unread_header(original)]
    if size is not None and sha256 is not None:
        headers += [(_SIZE, str(size).encode()), (_DIGEST, sha256.encode())]
    return headers


def unread_header(where: str = IN_THE_INPUT) -> tuple[str, bytes]:
    """Return the header of a message without its original, which says where the original is."""
    return ORIGINAL, where.encode("utf-8", "replace")


def short_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Return these headers of a message, without those that are large."""
    return [each for each in headers if each[0] in _FAILURE and len(each[1] or b"") <= _LONGEST_SHORT]


def packed_header() -> tuple[str, bytes]:
    """Return the header of a message whose value is a packed message."""
    return _PACKED, _FORM


def is_packed(headers: Headers) -> bool:
    """Return whether the value of a message is a packed message."""
    return bool(headers) and headers[-1] == (_PACKED, _FORM)


def redriven_header(redriven: int) -> tuple[str, bytes]:
    """Return the header that says how often an event of a group of readers was redriven."""
    return _REDRIVEN, str(redriven).encode()


def record_header(record: bytes) -> tuple[str, bytes]:
    """Return the header of the one record of an event that is redriven."""
    return _RECORD, record


def timestamp_ms(stored_at: str | None) -> int:
    """Return the Kafka timestamp of `FailureHeaders.stored_at`, -1 for None.

    Raises:
        ValueError: the text is not a time.
    """
    if stored_at is None:
        return -1
    return int(stored_at) if stored_at.isdecimal() else (instant(stored_at) - _EPOCH) // timedelta(milliseconds=1)


def _stored_at(timestamp_ms: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat()
    except OverflowError:
        return str(timestamp_ms)  # more than ISO 8601 has
