"""The messages that a processor writes, as plain values: re-keyed records, and events set aside with the reason.

Nothing here knows a clock or a random number: the same input gives the same message, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from meshport.errors import MeshError, ProcessError
from meshport.kafka.producer import Message
from meshport.process.logic import lossless_json
from meshport.process.logic.event_time import to_datetime, to_micros
from meshport.process.logic.records import EventRecord
from meshport.process.wire.input import InputMessage

REASON: Final = "mesh_reason"
ERROR: Final = "mesh_error"
TOPIC: Final = "mesh_topic"
PARTITION: Final = "mesh_partition"
OFFSET: Final = "mesh_offset"
TIME: Final = "mesh_time"
WATERMARK: Final = "mesh_watermark"
REDRIVEN: Final = "mesh_redriven"
RECORD: Final = "mesh_record"
WINDOW: Final = "mesh_window"
OURS: Final = frozenset({REASON, ERROR, TOPIC, PARTITION, OFFSET, TIME, WATERMARK, REDRIVEN, RECORD, WINDOW})
"""The headers that are added to what is set aside, and to what is redriven."""
_KEY: Final = "mesh_key"
_VALUE: Final = "mesh_value"
_LONGEST_REASON: Final = 2000


def quarantined(
    topic: str,
    message: InputMessage,
    error: Exception,
    redriven: int = 0,
    item: EventRecord | None = None,
    *,
    window: str = "",
) -> Message:
    """A message that could not be processed: its own key, bytes and headers, and the reason.

    Headers: `mesh_reason`, `mesh_error` (class), `mesh_topic`, `mesh_partition`, `mesh_offset`, and `mesh_time`, the time
    at which the original was stored. Topic, partition and offset tell a repeated one.

    Args:
        topic: the quarantine.
        message: as it was read.
        error: what is wrong with it.
        redriven: where the redrive topic was read to at that time (`mesh_redriven`): an event that was redriven from there
            on has been redriven after this.
        item: where the event itself went through and one of its records failed under its new key: that record, plain
            (`mesh_record`).
        window: the name of a window, where its output failed when it closed (`mesh_window`); no event is to blame.
    """
    reason = error.message if isinstance(error, MeshError) else f"{type(error).__name__}: {error}"
    why = [(REASON, _text(reason)), (ERROR, type(error).__name__.encode())]
    if redriven:
        why.append((REDRIVEN, str(redriven).encode()))
    if item is not None:
        why.append((RECORD, lossless_json.dumps(list(item)).encode()))
    if window:
        why.append((WINDOW, window.encode()))
    return _aside(topic, message, why)


def late(topic: str, message: InputMessage, time: int, watermark: int, lateness: int) -> Message:
    """An event that came too late: its own key, bytes and headers, by how much, and the watermark that it missed."""
    behind = timedelta(microseconds=watermark - time)
    reason = (
        f"event time is {behind} behind the watermark of its partition; lateness is {timedelta(microseconds=lateness)}"
    )
    return _aside(topic, message, ((REASON, _text(reason)), (WATERMARK, to_datetime(watermark).isoformat().encode())))


def _aside(topic: str, message: InputMessage, why: Iterable[tuple[str, bytes]]) -> Message:
    # What was set aside before and redriven comes with the old reason; the new one takes its place.
    kept = [(name, value) for name, value in message.headers if name not in OURS]
    return Message(topic, message.key, message.value, [*kept, *why, *_where(message)])


def _where(message: InputMessage) -> list[tuple[str, bytes]]:
    where = [
        (TOPIC, message.topic.encode()),
        (PARTITION, str(message.partition).encode()),
        (OFFSET, str(message.offset).encode()),
    ]
    if message.timestamp_ms >= 0:
        where.append((TIME, to_datetime(message.timestamp_ms * 1000).isoformat().encode()))
    return where


class RedrivenEvent(NamedTuple):
    """One event of a redrive topic.

    Attributes:
        original: the event as it was read first, its topic, partition and offset included.
        offset: in the redrive topic.
        item: the one record of it that is brought back; None for all of it.
    """

    original: InputMessage
    offset: int
    item: EventRecord | None = None


def redriven(topic: str, original: InputMessage, record: bytes | None) -> Message:
    """A message that brings a quarantined event back, in the partition of the redrive topic that is its own.

    Args:
        topic: the redrive topic.
        original: the event as it was read first.
        record: what `mesh_record` of the quarantined event says.
    """
    headers = [*original.headers, *_where(original)]
    if record is not None:
        headers.append((RECORD, record))
    return Message(topic, original.key, original.value, headers, None, original.partition)


def read_redriven(message: InputMessage) -> RedrivenEvent:
    """The event of a message that `redriven` made.

    Raises:
        ProcessError: it is none.
    """
    ours = {name: value for name, value in message.headers if name in OURS}
    try:
        time = ours.get(TIME)
        original = InputMessage(
            ours[TOPIC].decode(),
            int(ours[PARTITION]),
            int(ours[OFFSET]),
            message.key,
            message.value,
            [header for header in message.headers if header[0] not in OURS],
            -1 if time is None else to_micros(datetime.fromisoformat(time.decode())) // 1000,
        )
        item = EventRecord(*lossless_json.loads(ours[RECORD])) if RECORD in ours else None
    except (KeyError, ValueError, TypeError) as error:
        raise ProcessError(
            f"{message.topic} [{message.partition}] offset {message.offset} is no redriven event: {error!r}",
            hint="only `meshport redrive` writes to this topic",
        ) from error
    return RedrivenEvent(original, message.offset, item)


def _text(reason: str) -> bytes:
    return reason[:_LONGEST_REASON].encode("utf-8", "replace")


class RekeyedRecord(NamedTuple):
    """One record of the re-keyed topic.

    Attributes:
        item: the record; None where only the watermark is told.
        partition: of the input; where only the watermark is told, its number among the partitions of all inputs.
        watermark: of the source partition after this record's event, microseconds; None if it has none.
        original: the event as it was read, for the quarantine.
        redriven: where the source partition's redrive topic was read to.
        redrive: the offset in the redrive topic of an event that was redriven; None for any other.
        alone: whether this record alone of a redriven event is brought back.
    """

    item: EventRecord | None
    partition: int
    watermark: int | None
    original: InputMessage
    redriven: int = 0
    redrive: int | None = None
    alone: bool = False


def rekeyed(
    topic: str,
    key: bytes,
    item: EventRecord,
    watermark: int | None,
    original: InputMessage,
    *,
    redriven: int = 0,
    again: RedrivenEvent | None = None,
) -> Message:
    """A record on its way to the partition of its group; it brings the original event's bytes for the quarantine.

    For the arguments see `RekeyedRecord`; `again` is how it was brought back, where it was.
    """
    headers = list(original.headers)
    if original.key is not None:
        headers.append((_KEY, original.key))
    if original.value is not None:
        headers.append((_VALUE, original.value))
    given = [original.topic, original.timestamp_ms, original.key is not None, original.value is not None]
    if redriven:
        given += [redriven, None if again is None else again.offset, again is not None and again.item is not None]
    value = lossless_json.dumps([list(item), watermark, *given])
    return Message(topic, key, value.encode(), headers)


def watermarks(topic: str, partitions: int, source: int, watermark: int) -> list[Message]:
    """One message for each partition of the re-keyed topic that tells how far a source partition has come.

    Args:
        topic: the re-keyed one.
        partitions: of it.
        source: the number of the source partition among those of all inputs.
        watermark: of that, microseconds.
    """
    value = lossless_json.dumps([None, watermark, source]).encode()
    return [Message(topic, None, value, (), None, partition) for partition in range(partitions)]


def read_rekeyed(message: InputMessage) -> RekeyedRecord:
    """The record of a message that `rekeyed` or `watermarks` made.

    Raises:
        ProcessError: it is none.
    """
    found, watermark, *rest = lossless_json.loads(message.value or b"")
    if found is None:
        return RekeyedRecord(None, rest[0], watermark, message)
    item = EventRecord(*found)
    topic, timestamp_ms, keyed, valued, *redrive = rest
    headers = list(message.headers)
    value = headers.pop()[1] if valued else None
    key = headers.pop()[1] if keyed else None
    original = InputMessage(topic, item.partition, item.offset, key, value, headers, timestamp_ms)
    return RekeyedRecord(item, item.partition, watermark, original, *redrive)
