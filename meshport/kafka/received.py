"""Received messages, and the one place that handles what confluent_kafka cannot read of them.

A message may be odd in ways that Kafka allows and the client does not: a header's name that is not UTF-8, a batch that cannot
be decompressed. Such a message costs itself only: each function here returns something for every message, and raises nothing.

confluent_kafka raises from `Message.headers` for a name that is not UTF-8 (SystemError; UnicodeDecodeError is its cause), after
it has kept the list of all headers, in which the pair of an odd name has no name at all (`c_headers_to_py` of its C source). A
second call returns that list. Python code must not read the name that is not there: that ends the process. The garbage
collector's own walk over a tuple passes over what is not there, so that it shows safely which pairs are whole.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from itertools import islice
from operator import methodcaller
from typing import Any, Final, NamedTuple, Protocol, Self, cast

from meshport.event.reader import UnreadableHeaders

__all__ = [
    "Headers",
    "InputMessage",
    "ReceivedMessage",
    "UnreadableMessage",
    "event_parts",
    "headers_of",
    "headers_of_each",
]

_log: Final = logging.getLogger(__name__)

Headers = Sequence[tuple[str, bytes | None]]
_EventParts = tuple[bytes | None, bytes | None, Headers | None, str, int, int, int]

# Never `message.headers()`: compiled to a direct call of the C function, it returns the list with the exception pending, which
# is raised by whatever is called next. `methodcaller` checks for it (CPython's `_Py_CheckFunctionResult`).
_headers: Final = methodcaller("headers")
# What the client raises for a header's name that is not UTF-8.
_ODD_NAME: Final = (SystemError, UnicodeError)


class ReceivedMessage(Protocol):
    """A message of confluent_kafka without an error, or an `UnreadableMessage`. `headers_of` returns its headers."""

    def topic(self) -> str: ...  # noqa: D102 - Kafka's own term
    def partition(self) -> int: ...  # noqa: D102 - Kafka's own term
    def offset(self) -> int: ...  # noqa: D102 - Kafka's own term
    def key(self) -> bytes | None: ...  # noqa: D102 - Kafka's own term
    def value(self) -> bytes | None: ...  # noqa: D102 - None is a tombstone
    def timestamp(self) -> tuple[int, int]:
        """(type, Unix time in ms)."""
        ...


class InputMessage(NamedTuple):
    """A message as it was read.

    Attributes:
        topic: that it was read from.
        partition: of the topic.
        offset: in the partition.
        key: its bytes; None for a null key.
        value: its bytes; None for a tombstone.
        headers: name and value of each, in order.
        timestamp_ms: the Kafka timestamp; -1 where there is none.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int = -1

    @classmethod
    def of(cls, parts: _EventParts) -> Self:
        """Return the message of `event_parts`; headers that cannot be read are left out."""
        key, value, headers, topic, partition, offset, timestamp_ms = parts
        return cls(topic, partition, offset, key, value, () if headers is None else headers, timestamp_ms)

    @property
    def parts(self) -> tuple[bytes | None, bytes | None, Headers, str, int, int, int]:
        """The arguments of `EventReader.read`, in its order."""
        return self.key, self.value, self.headers, self.topic, self.partition, self.offset, self.timestamp_ms


class UnreadableMessage:
    """Stands for a message that the client could not read; `EventReader` refuses it for the reason that its headers have.

    Args:
        topic: the topic.
        partition: of the topic.
        offset: of the message; compaction may have removed it.
        reason: why it could not be read.
    """

    __slots__ = ("_headers", "_offset", "_partition", "_topic")

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._headers = UnreadableHeaders(reason)

    @property
    def reason(self) -> str:
        """Why it could not be read."""
        return self._headers.reason

    def topic(self) -> str:  # noqa: D102 - as of the client's message
        return self._topic

    def partition(self) -> int:  # noqa: D102 - as above
        return self._partition

    def offset(self) -> int:  # noqa: D102 - as above
        return self._offset

    def key(self) -> bytes | None:  # noqa: D102 - as above
        return None

    def value(self) -> bytes | None:  # noqa: D102 - as above
        return None

    def headers(self) -> UnreadableHeaders:  # noqa: D102 - as above
        return self._headers

    def timestamp(self) -> tuple[int, int]:  # noqa: D102 - as above
        return 0, -1

    def error(self) -> None:  # noqa: D102 - as above
        return None

    def __len__(self) -> int:
        return 0


def headers_of(message: ReceivedMessage) -> Headers | None:
    """Return the headers of a message, without those whose names are not UTF-8; None where it has none.

    CloudEvents gives a meaning to headers whose names begin with `ce_`, and to `content-type`; a name that is not UTF-8 is
    neither. It is logged with its offset.
    """
    try:
        return cast("Headers | None", _headers(message))
    except _ODD_NAME as error:
        return _whole_headers(message, error)


def headers_of_each(messages: Sequence[ReceivedMessage]) -> list[Headers | None]:
    """Return `headers_of` each message, at C speed where every name is UTF-8."""
    found: list[Headers | None] = []
    while len(found) < len(messages):
        try:
            found.extend(map(_headers, islice(messages, len(found), None)))
        except _ODD_NAME as error:
            # What came before it is in the list. A second call for this one would return pairs without a name.
            found.append(_whole_headers(messages[len(found)], error))
    return found


def event_parts(topic: str, message: ReceivedMessage) -> _EventParts:
    """Return the arguments of `meshport.event.EventReader.read`, in its order.

    The topic is passed in, so that all events of a topic share one str.
    """
    return (
        message.key(),
        message.value(),
        headers_of(message),
        topic,
        message.partition(),
        message.offset(),
        message.timestamp()[1],
    )


def _whole_headers(message: Any, error: Exception) -> Headers:
    """Return the headers that have a name, and give the message these, so that no further call meets the others."""
    at = f"{message.topic()} [{message.partition()}] offset {message.offset()}"
    cause = error if isinstance(error, UnicodeDecodeError) else error.__cause__
    name = f" {cause.object!r}" if isinstance(cause, UnicodeDecodeError) else ""
    try:
        given = _headers(message)
    except _ODD_NAME:
        given = None
    if type(given) is not list:
        # A client that keeps no list of the others.
        return UnreadableHeaders(f"a header's name{name} is not UTF-8, and the client returns no header of the message")
    whole = [pair for pair in given if len(gc.get_referents(pair)) == 2]
    message.set_headers(whole)
    facts = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
    _log.warning("%s: a header's name%s is not UTF-8; the event is read without it", at, name, extra={"facts": facts})
    return whole
