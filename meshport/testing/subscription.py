"""Reading a port of a mesh in memory, from a group's position on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass

from meshport.binding import Binding
from meshport.event import UNREADABLE, Event, EventReader
from meshport.ports.subscriber import BadEvent
from meshport.process.wire.input import InputMessage

Positions = MutableMapping[tuple[str, int], int]
"""By topic and partition: the offset of the next event."""


class MemorySubscription:
    """An iterator over the events of a port that were not read yet; it ends where they end, and goes on when more come.

    The position moves past an event once the next one is asked for, as with `meshport.Subscriber`: a loop that was left by
    `break` or by an error begins again with the event at which it was left.

    Args:
        binding: of the port.
        stored: returns the messages of its topic, in the order in which they were stored.
        positions: of the group; moved while events are read.
        reader: reads the messages.
        on_bad: gets each message that cannot be read; without it the error is raised, and the position stays.

    Attributes:
        binding: of the port.
    """

    def __init__(
        self,
        binding: Binding,
        stored: Callable[[], list[InputMessage]],
        positions: Positions,
        reader: EventReader,
        on_bad: Callable[[BadEvent], None] | None,
    ) -> None:
        self.binding = binding
        self._stored = stored
        self._positions = positions
        self._reader = reader
        self._on_bad = on_bad

    def __iter__(self) -> Iterator[Event]:
        """Yield the events that are there and were not read yet.

        Raises:
            DecodeError, EventError, NotRegistered: a message is no event, and there is no `on_bad`.
        """
        while waiting := [each for each in self._stored() if each.offset >= self._positions.get(each[:2], 0)]:
            for message in waiting:
                try:
                    event = self._reader.read(*message.parts)
                except UNREADABLE as error:
                    if self._on_bad is None:
                        raise
                    self._on_bad(BadEvent(_Received(message), error))
                else:
                    yield event
                self._positions[message.topic, message.partition] = message.offset + 1


@dataclass(frozen=True)
class _Received:
    """A message with the methods that Kafka's client gives it."""

    _message: InputMessage

    def topic(self) -> str:
        return self._message.topic

    def partition(self) -> int:
        return self._message.partition

    def offset(self) -> int:
        return self._message.offset

    def key(self) -> bytes | None:
        return self._message.key

    def value(self) -> bytes | None:
        return self._message.value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return [*self._message.headers]

    def timestamp(self) -> tuple[int, int]:
        return 1, self._message.timestamp_ms
