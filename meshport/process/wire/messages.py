"""The messages that a processor writes beside its outputs: quarantined, late, redriven and re-keyed ones, with their readers.

Nothing here reads a clock or a random number: the same input gives the same message, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from meshport.errors import EncodeError, ProcessError
from meshport.event.reader import UnreadableHeaders
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.failed.headers import (
    ORIGINAL,
    late_headers,
    quarantine_headers,
    record_header,
    split_failure,
    timestamp_ms,
    unread_header,
)
from meshport.ports.failed.kept import kept, origin_of, reason_of
from meshport.ports.failed.packing import LARGEST, fitted, message_bytes, original_digest, unpacked
from meshport.process.logic import lossless_json
from meshport.process.logic.records import EventRecord
from meshport.process.wire.headers import Headers, split_original, with_original
from meshport.process.wire.input import InputMessage


def quarantined(
    topic: str,
    message: InputMessage,
    error: Exception,
    redriven: int = 0,
    record: EventRecord | None = None,
    *,
    window: str = "",
) -> Message:
    """Return the message that quarantines an event: its own key, value and headers, and the reason.

    Args:
        topic: the quarantine topic.
        message: the event as it was read.
        error: why it could not be processed.
        redriven: the next offset of the redrive topic at that time; an event that is redriven from there on is redriven after
            this failure.
        record: where one record of the event failed after re-keying, and the event did not: that record.
        window: where the output of a window that closed failed, and no event did: its name.
    """
    text = None if record is None else lossless_json.dumps(list(record))
    why = quarantine_headers(reason_of(error), error, redriven=redriven, record=text, window=window)
    return kept(topic, message, why)


def late(topic: str, message: InputMessage, time: int, watermark: int, lateness: int) -> Message:
    """Return the message of a late event: its own key, value and headers, and how late it is.

    Args:
        topic: the late topic.
        message: the event as it was read.
        time: its event time, microseconds.
        watermark: that it missed, microseconds.
        lateness: that is allowed, microseconds.
    """
    behind = timedelta(microseconds=watermark - time)
    reason = (
        f"event time is {behind} behind the watermark of its partition; lateness is {timedelta(microseconds=lateness)}"
    )
    return kept(topic, message, late_headers(reason, watermark))


class RedrivenEvent(NamedTuple):
    """An event of the redrive topic.

    Attributes:
        original: the event as it was read from the input, with its topic, partition and offset there.
        offset: in the redrive topic.
        record: the one record of the event that is redriven; None for the whole event.
    """

    original: InputMessage
    offset: int
    record: EventRecord | None = None


def redriven(topic: str, original: InputMessage, record: bytes | None, left: Headers = ()) -> Message:
    """Return the message that redrives an event, in the partition of the redrive topic that the event has in its input.

    Args:
        topic: the redrive topic.
        original: the event as it was read from the input.
        record: the `mesh_record` header of the quarantined event; None where it has none.
        left: where the event's bytes stayed in the input: the headers that say so.
    """
    headers = [*original.headers, *origin_of(original)]
    if record is not None:
        headers.append(record_header(record))
    return fitted(Message(topic, original.key, original.value, [*headers, *left], None, original.partition))


def with_bytes(message: InputMessage, read: Callable[[TopicPartition, int], InputMessage | None]) -> InputMessage:
    """Return a message of the redrive topic with the bytes of its original, where they stayed in the input.

    Args:
        message: the message.
        read: returns the message of a partition and offset; None where it is not there any more.
    """
    found = split_failure(message.headers)[0] if any(name == ORIGINAL for name, _ in message.headers) else None
    if found is None or found.original is None:
        return message
    original = read(TopicPartition(found.topic, found.partition), found.offset)
    own = [each for each in message.headers if each[0] != ORIGINAL]
    if original is None:
        return message._replace(headers=[*own, unread_header("no longer in the input")])
    if isinstance(original.headers, UnreadableHeaders):
        return message._replace(headers=[*own, unread_header(original.headers.reason)])
    if found.sha256 not in {None, original_digest(original.key, original.value)}:
        return message._replace(
            headers=[*own, unread_header("no longer in the input, which has another message there")]
        )
    return message._replace(key=original.key, value=original.value, headers=[*original.headers, *own])


def read_redriven(message: InputMessage) -> RedrivenEvent:
    """Return the event of a message that `redriven` made.

    Raises:
        ProcessError: something else wrote the message.
    """
    try:
        key, value, given = unpacked(message.key, message.value, message.headers)
        found, own = split_failure(given)
        if not found.topic or found.partition < 0 or found.offset < 0:
            raise ValueError("its headers do not say where the original is")
        position = (found.topic, found.partition, found.offset)
        headers: Headers = own
        if found.original is not None:
            headers = UnreadableHeaders(f"the bytes of the event were not redriven with it; they are {found.original}")
        original = InputMessage(*position, key, value, headers, timestamp_ms(found.stored_at))
        record = None if found.record is None else EventRecord(*lossless_json.loads(found.record))
    except (ValueError, TypeError, ProcessError) as error:
        raise foreign(message, f"is no redriven event: {error}", writer="`meshport redrive`") from error
    return RedrivenEvent(original, message.offset, record)


def foreign(message: InputMessage, finding: str, *, writer: str = "the processor itself") -> ProcessError:
    """Return the error for a message of a processor's own topic that something else wrote.

    Args:
        message: as it was read.
        finding: what is wrong with it; the end of a sentence that begins with the message's position.
        writer: what writes to this topic.
    """
    return ProcessError(
        f"{message.topic} [{message.partition}] offset {message.offset} {finding}",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        hint=f"only {writer} writes to this topic",
    )


class RekeyedRecord(NamedTuple):
    """A record of the repartition topic.

    Attributes:
        record: the record; None in a message that only reports a watermark.
        partition: of the input; in a message that only reports a watermark, its number among the partitions of all inputs.
        watermark: of the source partition after the record's event, microseconds; None if it has none.
        original: the event as it was read, for the quarantine.
        redriven: the next offset of the source partition's redrive topic.
        redrive_offset: of a redriven event, its offset in the redrive topic; None for others.
        alone: whether this record alone of a redriven event is redriven.
    """

    record: EventRecord | None
    partition: int
    watermark: int | None
    original: InputMessage
    redriven: int = 0
    redrive_offset: int | None = None
    alone: bool = False


def rekeyed(
    topic: str,
    key: bytes,
    record: EventRecord,
    watermark: int | None,
    original: InputMessage,
    *,
    redriven: int = 0,
    redrive: RedrivenEvent | None = None,
) -> Message:
    """Return the message that takes a record to the partition of its new key, with the original event for the quarantine.

    Args:
        topic: the repartition topic.
        key: the new key.
        record: the record.
        watermark: as of `RekeyedRecord`.
        original: as of `RekeyedRecord`.
        redriven: as of `RekeyedRecord`.
        redrive: the redriven event that the record was made of; None for an event of the input.

    Raises:
        EncodeError: the message is too large.
    """
    headers = with_original(original.headers, original.key, original.value)
    values = [original.topic, original.timestamp_ms, original.key is not None, original.value is not None]
    if redriven:
        alone = redrive is not None and redrive.record is not None
        values += [redriven, None if redrive is None else redrive.offset, alone]
    value = lossless_json.dumps([list(record), watermark, *values])
    message = fitted(Message(topic, key, value.encode(), headers))
    if message.value is None or message.key != key:
        raise EncodeError(
            f"a record of the event has {message_bytes(key, value.encode(), headers)} bytes with the event itself",
            hint=f"the repartition topic takes {LARGEST}, compressed",
        )
    return message


def watermarks(topic: str, partitions: int, source: int, watermark: int) -> list[Message]:
    """Return a message for each partition of the repartition topic that reports the watermark of a source partition.

    Args:
        topic: the repartition topic.
        partitions: of that topic.
        source: the number of the source partition among those of all inputs.
        watermark: of the source partition, microseconds.
    """
    value = lossless_json.dumps([None, watermark, source]).encode()
    return [Message(topic, None, value, (), None, partition) for partition in range(partitions)]


def read_rekeyed(message: InputMessage) -> RekeyedRecord:
    """Return the record of a message that `rekeyed` or `watermarks` made.

    Raises:
        ProcessError: something else wrote the message.
    """
    try:
        _, body, given = unpacked(message.key, message.value, message.headers)
        values, watermark, *rest = lossless_json.loads(body or b"")
        if values is None:
            return RekeyedRecord(None, rest[0], watermark, message)
        record = EventRecord(*values)
        topic, stored_ms, has_key, has_value, *redrive = rest
        headers, key, value = split_original(given, has_key=has_key, has_value=has_value)
    except (ValueError, TypeError, IndexError, ProcessError) as error:
        raise foreign(message, f"is no re-keyed record: {error}") from error
    original = InputMessage(topic, record.partition, record.offset, key, value, headers, stored_ms)
    return RekeyedRecord(record, record.partition, watermark, original, *redrive)
