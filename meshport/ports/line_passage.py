"""A subscriber's passage through the earlier lines of its port: where each ends, and whether all of it was read.

An offset that has no event that counts is read too: that of a transaction's marker, and of an event that was recorded after the
line's end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from meshport.archive.reader import LogReader
from meshport.binding import Binding
from meshport.errors import TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import ReceivedMessage
from meshport.ports.earlier_lines import EarlierLine
from meshport.ports.group_start import Begin, Start

__all__ = ["EOF_SETTINGS", "LinePassage"]

_log: Final = logging.getLogger(__name__)

EOF_SETTINGS: Final = {"enable.partition.eof": True}
"""The settings of a consumer that reports where a partition ends in `Consumer.ends`."""


class LinePassage:
    """The earlier lines of one port.

    Args:
        lines: oldest first.
        kafka: the connection to their cluster.

    A line whose topic is missing is left out with those before it, which is logged.

    Attributes:
        lines: the lines.
        ends: where each line ends that is over, by topic and partition.

    Raises:
        KafkaError: the cluster did not answer.
    """

    def __init__(self, lines: Sequence[EarlierLine], kafka: KafkaConfig) -> None:
        self.lines: tuple[EarlierLine, ...] = ()
        self.ends: dict[str, dict[int, int]] = {}
        self._kafka = kafka
        self._reached: dict[int, int] = {}
        for each in reversed(lines):
            try:
                ends = self.ends_of(each)
            except TopicError as error:
                _log.warning("%s: its events are not read: %s", each.binding.address, error.message)
                break
            self.lines = (each, *self.lines)
            if each.is_over:
                self.ends[each.binding.topic] = ends

    @property
    def bindings(self) -> list[Binding]:
        """The bindings of the lines."""
        return [each.binding for each in self.lines]

    def topic_at(self, start: Begin) -> str | None:
        """Return the topic in which a start lies; None for that of the port itself."""
        if start is Start.LATEST or isinstance(start, Mapping):
            return None
        since = start if isinstance(start, datetime) else None
        return next((each.binding.topic for each in self.lines if since is None or each.until > since), None)

    def ends_of(self, line: EarlierLine) -> dict[int, int]:
        """Return by partition the offset after the last event of a line that counts.

        Raises:
            TopicError: its topic is missing.
            KafkaError: the cluster did not answer.
        """
        with LogReader(self._kafka, [line.binding]) as asker:
            return line.ends(asker, asker.bounds(line.binding.topic))

    def take(self, line: EarlierLine, messages: Iterable[ReceivedMessage]) -> list[ReceivedMessage]:
        """Return what counts of messages of a line, as messages of the port."""
        received = list(messages)
        for each in received:
            self._reached[each.partition()] = each.offset() + 1
        return line.read(received)

    def is_passed(self, partition: int, end: int, seen_end: int) -> bool:
        """Return whether everything before an offset of the present topic was received.

        Args:
            partition: of the topic.
            end: the offset.
            seen_end: where the consumer has met the end of the partition; 0 where it has not.
        """
        return max(self._reached.get(partition, 0), seen_end) >= end

    def advance(self) -> None:
        """Begin with another topic."""
        self._reached.clear()
