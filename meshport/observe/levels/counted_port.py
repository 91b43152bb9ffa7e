"""A port whose source reports how many events it has: what it reported is fetched, and the topic is read for it, part by part."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from meshport.binding import Binding
from meshport.errors import MeshError
from meshport.event import Event
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.observe.levels.cluster_reader import Bounds, ClusterReader
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.reading import EventReading
from meshport.observe.levels.source_counting import MOST_READ, PATIENCE_MS, SKEW_MS, CountedFacts, SourceCounting
from meshport.observe.levels.tally import DAY_MS, HOUR_MS
from meshport.service_levels import SourceCount

__all__ = ["CountedPort", "CountsOf"]

CountsOf = Callable[[datetime], Iterable[SourceCount]]
"""Returns what the source of the port reported of the intervals that end after an instant, the newest first."""
_log: Final = logging.getLogger(__name__)
_FETCHED_EVERY_MS: Final = 60_000
_TOO_MANY: Final = f"an interval that the source counted has more than {MOST_READ:,} events: report shorter ones"
_DELETED: Final = "the log does not reach back to an interval that the source counted"
_COMPACTED: Final = "the topic is compacted, so that it does not have all events that the source counted"


class CountedPort:
    """Compares what the source of one port counted with what is in its topic.

    Args:
        binding: of the port.
        promises: of the port: twice as long as the longest promised delay, late events are waited for.
        counts: asks for what the source reported.
        event: reads a message as an event; None for one that cannot be read.
    """

    def __init__(
        self, binding: Binding, promises: Promises, counts: CountsOf, event: Callable[[ReceivedMessage], Event | None]
    ) -> None:
        self._binding = binding
        self._counts = counts
        self._event = event
        self._counting = SourceCounting(max(PATIENCE_MS, round(2 * max(promises.delays_ms, default=0))))
        self._fetch_due_ms = 0

    def facts(self, now_ms: int) -> CountedFacts | None:
        """Return what was counted; None where the source reports nothing, or it could not be counted."""
        return self._counting.facts(now_ms)

    def why_not(self) -> str:
        """Return why `facts` has none, in words; empty where the source reports nothing."""
        return self._counting.why_not()

    def look(self, cluster: ClusterReader, bounds: Bounds, now_ms: int) -> None:
        """Fetch what the source reported, where that is due, and read the next part of the topic for it.

        Args:
            cluster: which has the topic.
            bounds: of its partitions, as they are now.
            now_ms: the present (Unix time in ms).

        Raises:
            KafkaError: the cluster did not answer.
        """
        if now_ms >= self._fetch_due_ms:
            self._fetch_due_ms = now_ms + _FETCHED_EVERY_MS
            self._fetch(now_ms)
        own = {each: bound for each, bound in bounds.items() if each.topic == self._binding.topic}
        if len(own) < self._binding.partitions:
            return  # a partition that does not answer would seem to lack events
        due = self._counting.due(now_ms)
        if due and self._binding.cleanup == "compact":
            self._counting.give_up(due, _COMPACTED)
        elif due:
            self._begin(cluster, own, due)
        self._read(cluster, now_ms)

    def _fetch(self, now_ms: int) -> None:
        newest = self._counting.newest_end_ms
        # A source may correct what it reported within the last hour.
        since = now_ms - DAY_MS - HOUR_MS if newest is None else newest - HOUR_MS
        try:
            self._counting.take(self._counts(datetime.fromtimestamp(since / 1000, UTC)))
        except MeshError as error:
            _log.warning("what the source of %s counted is not known: %s", self._binding.address, error.message)

    def _begin(self, cluster: ClusterReader, own: Bounds, due: tuple[int, ...]) -> None:
        """Begin to read for the intervals that are due; where those are too many events, for the newest one alone."""
        reached = bisect_left(due, True, key=lambda begin: self._positions(cluster, own, begin) is not None)
        self._counting.give_up(due[:reached], _DELETED)
        ends = {each: end for each, (_, end) in own.items()}
        for begins in (due[reached:], due[reached:][-1:]):
            positions = self._positions(cluster, own, begins[0]) if begins else None
            if positions is None:
                return
            if sum(end - positions[each] for each, end in ends.items()) <= MOST_READ:
                self._counting.begin(begins, positions, ends)
                return
        self._counting.give_up(due[-1:], _TOO_MANY)

    def _positions(self, cluster: ClusterReader, own: Bounds, begin_ms: int) -> dict[TopicPartition, int] | None:
        """Return where to read for an interval that begins then; None where the log does not reach back so far."""
        found = cluster.offsets_at(self._binding.topic, begin_ms - SKEW_MS)
        positions = {each: max(first, found.get(each.partition, end)) for each, (first, end) in own.items()}
        return None if any(0 < positions[each] <= first for each, (first, _) in own.items()) else positions

    def _read(self, cluster: ClusterReader, now_ms: int) -> None:
        running = self._counting.running
        if running is None:
            return
        part = running.next_part()
        read = {each: begin for each, (begin, _) in part.items()}
        for messages in cluster.read(dict(read), part):
            for message in messages:
                self._note(message)
                read[TopicPartition(message.topic(), message.partition())] = message.offset() + 1
        # Markers of transactions have no message: a partition that was read to its end ends there.
        read |= {each: end for each, (_, end) in part.items() if each not in cluster.unread}
        self._counting.end_part(read, now_ms)

    def _note(self, message: ReceivedMessage) -> None:
        event = self._event(message)
        position = f"{message.partition()} {message.offset()}"
        if event is None:  # it has come, though it cannot be read
            self._counting.note(message.timestamp()[1], "", position)
            return
        reading = EventReading.of(event)
        time_ms = reading.recorded_ms if reading.time_ms is None else reading.time_ms
        self._counting.note(time_ms, reading.source, reading.id or position)
