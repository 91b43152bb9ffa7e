"""The observation of one port: which of its messages are read at each look, and what is measured by them.

At most a given number of messages is read at a look. Where more came, those of a slice of time at its end are read, the same
slice in every partition, so that the numbers of facts within it are whole. What came before is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import MeshError
from meshport.event import UNREADABLE, Event, SchemaSource, reader_for
from meshport.kafka.received import ReceivedMessage, event_parts
from meshport.kafka.topic_partition import TopicPartition
from meshport.observe.levels.cluster_reader import Bounds, ClusterReader
from meshport.observe.levels.counted_port import CountedPort, CountsOf
from meshport.observe.levels.judgement import judged
from meshport.observe.levels.port_measures import PortMeasures
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.reading import EventReading
from meshport.observe.levels.sampled_port import SampledPort
from meshport.observe.levels.tally import DAY_MS, HOUR_MS, RECENT_MS
from meshport.observe.levels.volumes import CountInSpan
from meshport.port_profile import PortProfile
from meshport.product import OutputPort, Product
from meshport.service_levels import JudgedLevel, Measurement, Volume

__all__ = ["PortObservation"]

_log: Final = logging.getLogger(__name__)
_WEEK_MS: Final = 7 * DAY_MS
_VOLUME_EVERY_MS: Final = RECENT_MS
_PROMISED_EVERY_MS: Final = 60_000
# The sample of a day before is of so long around this time of the day.
_SAMPLE_MS: Final = RECENT_MS
_MOST_HALVINGS: Final = 12


class PortObservation:
    """Reads and measures one port.

    Args:
        binding: of the port.
        product: that declares it.
        port: its declaration.
        schemas: looks schemas up, usually in a registry.
        limit: the most messages that are read at a look, about.
        counts: asks for what the source of the port counted; None for a mesh without a registry.
    """

    def __init__(  # noqa: PLR0917 - all of them are needed
        self,
        binding: Binding,
        product: Product,
        port: OutputPort,
        schemas: SchemaSource,
        limit: int,
        counts: CountsOf | None = None,
    ) -> None:
        self.binding = binding
        self.promises = Promises.of(product, port)
        self._limit = limit
        self._reader = reader_for(binding, schemas)
        self._measures = PortMeasures(self.promises, keyed=bool(binding.key))
        self._sampled_port = SampledPort(binding, product.classification)
        self._counted_port = (
            CountedPort(binding, self.promises, counts, self._sampled)
            if counts is not None and self.promises.counts_facts
            else None
        )
        self._positions: dict[int, int] = {}
        self._since_ms = 0
        self._looked_ms = 0
        self._volume_due_ms = self._promised_due_ms = self._sample_due_ms = 0
        self._quarantined: int | None = None
        self._judged: dict[str, JudgedLevel] = {}

    @property
    def address(self) -> Address:
        """The address of the port."""
        return self.binding.address

    def begins(self, cluster: ClusterReader, bounds: Bounds, now_ms: int) -> dict[TopicPartition, int]:
        """Return the offsets to read on from, by partition.

        Args:
            cluster: which has the topic.
            bounds: of its partitions.
            now_ms: the present (Unix time in ms).

        Raises:
            KafkaError: the cluster did not answer.
        """
        own = {each.partition: bound for each, bound in bounds.items() if each.topic == self.binding.topic}
        if not self._positions:
            self._begin(cluster, own, now_ms)
        else:
            self._read_on(cluster, own, now_ms)
        self._looked_ms = now_ms
        return {TopicPartition(self.binding.topic, each): offset for each, offset in self._positions.items()}

    def _begin(self, cluster: ClusterReader, own: Mapping[int, tuple[int, int]], now_ms: int) -> None:
        """Begin with the last five minutes, and with the newest message of each partition, whose age says much."""
        self._since_ms, begins = self._slice(cluster, own, {}, now_ms, RECENT_MS)
        self._positions = {each: max(first, min(begins.get(each, end), end - 1)) for each, (first, end) in own.items()}

    def _read_on(self, cluster: ClusterReader, own: Mapping[int, tuple[int, int]], now_ms: int) -> None:
        for each, (first, end) in own.items():
            at = self._positions.get(each, first)
            # Retention may have removed what was not read, and a topic that was made again begins anew.
            self._positions[each] = max(first, at) if at <= end else first
        unread = sum(end - self._positions[each] for each, (_, end) in own.items())
        if unread > 2 * self._limit:
            self._measures.skip(now_ms)
            span_ms = max(1000, now_ms - self._looked_ms)
            self._since_ms, self._positions = self._slice(cluster, own, self._positions, now_ms, span_ms)

    def _slice(
        self,
        cluster: ClusterReader,
        own: Mapping[int, tuple[int, int]],
        positions: Mapping[int, int],
        now_ms: int,
        span_ms: int,
    ) -> tuple[int, dict[int, int]]:
        """Return since when to read, and from which offsets, so that about the limit is read."""
        for _ in range(_MOST_HALVINGS):
            since = now_ms - span_ms
            found = cluster.offsets_at(self.binding.topic, since)
            begins = {each: max(found.get(each, end), positions.get(each, 0)) for each, (_, end) in own.items()}
            unread = sum(end - begins[each] for each, (_, end) in own.items())
            if unread <= 2 * self._limit or span_ms <= 1:
                break
            span_ms = max(1, min(span_ms // 2, span_ms * self._limit // unread))
        return since, begins

    def note(self, messages: Iterable[ReceivedMessage], now_ms: int) -> None:
        """Note messages of the port that were read."""
        readings, newest, events = list[EventReading](), list[EventReading](), list[Event]()
        for message in messages:
            self._positions[message.partition()] = message.offset() + 1
            event = self._event(message, now_ms)
            if event is not None:
                reading = EventReading.of(event)
                (readings if reading.recorded_ms >= self._since_ms else newest).append(reading)
                events.append(event)
        self._sampled_port.note(events)
        self._measures.note_earlier(newest, now_ms)
        self._measures.note(readings, now_ms)

    def _event(self, message: ReceivedMessage, now_ms: int) -> Event | None:
        try:
            return self._reader.read(*event_parts(self.binding.topic, message))
        except UNREADABLE:
            self._measures.note_unreadable(1, now_ms)
        except MeshError as error:  # the registry does not answer, and the schema is a new one
            _log.warning("%s is not measured whole: %s", self.address, error.message)
        return None

    def end_look(self, bounds: Bounds, unread: Iterable[TopicPartition], now_ms: int) -> None:
        """End a look.

        Args:
            bounds: as they were at its beginning.
            unread: the partitions of any topic that were not read to their end.
            now_ms: the present (Unix time in ms).
        """
        own = {each: bound for each, bound in bounds.items() if each.topic == self.binding.topic}
        waiting = {each for each in unread if each.topic == self.binding.topic}
        for each, (_, end) in own.items():
            if each not in waiting:
                self._positions[each.partition] = max(end, self._positions.get(each.partition, 0))
        if not waiting and len(own) >= self.binding.partitions:
            self._measures.end_look(now_ms)

    def note_away(self, now_ms: int) -> None:
        """Note that a partition did not answer."""
        self._measures.note_away(now_ms)

    def note_quarantine(self, ends: int, now_ms: int) -> None:
        """Note the sum of the end offsets of the port's quarantine topic."""
        if self._quarantined is not None and ends > self._quarantined:
            self._measures.note_unreadable(ends - self._quarantined, now_ms)
        self._quarantined = ends

    def look_back(self, cluster: ClusterReader, bounds: Bounds, now_ms: int) -> None:
        """Measure what came before, where that is due: promised volumes and counts, the volume of a day ago, its values.

        Args:
            cluster: which has the topic.
            bounds: of its partitions.
            now_ms: the present (Unix time in ms).

        Raises:
            KafkaError: the cluster did not answer.
        """
        own = {each: bound for each, bound in bounds.items() if each.topic == self.binding.topic}
        if self._counted_port is not None:
            self._counted_port.look(cluster, own, now_ms)
            self._measures.note_counted(self._counted_port.facts(now_ms), self._counted_port.why_not())
        if self.promises.volume_spans_ms and now_ms >= self._promised_due_ms:
            self._promised_due_ms = now_ms + _PROMISED_EVERY_MS
            found = {each: self._in_span(cluster, own, now_ms - each, now_ms) for each in self.promises.volume_spans_ms}
            self._measures.note_volumes(found)
        if now_ms >= self._volume_due_ms:
            self._volume_due_ms = now_ms + _VOLUME_EVERY_MS
            self._measures.note_volume(
                Volume(
                    last_hour=self._came(cluster, own, now_ms) or 0,
                    day_before=self._came(cluster, own, now_ms - DAY_MS),
                    week_before=self._came(cluster, own, now_ms - _WEEK_MS),
                )
            )
        if self.promises.watches_values and now_ms >= self._sample_due_ms:
            self._sample_due_ms = now_ms + HOUR_MS
            self._sample(cluster, own, now_ms - DAY_MS)

    def _came(self, cluster: ClusterReader, own: Bounds, until_ms: int) -> int | None:
        """Return how many offsets the hour before an instant has; None where the log does not reach back so far."""
        found = self._in_span(cluster, own, until_ms - HOUR_MS, until_ms)
        return found.events if found.whole else None

    def _in_span(self, cluster: ClusterReader, own: Bounds, since_ms: int, until_ms: int) -> CountInSpan:
        begins = cluster.offsets_at(self.binding.topic, since_ms)
        ends = cluster.offsets_at(self.binding.topic, until_ms)
        whole = any(begins.get(each.partition, 0) > first for each, (first, _) in own.items())
        events = sum(max(0, ends.get(each.partition, 0) - begins.get(each.partition, 0)) for each in own)
        return CountInSpan(events, whole)

    def _sample(self, cluster: ClusterReader, own: Bounds, around_ms: int) -> None:
        """Read a sample of what came around an instant, with which the values of now are compared."""
        begins = cluster.offsets_at(self.binding.topic, around_ms - _SAMPLE_MS)
        ends = cluster.offsets_at(self.binding.topic, around_ms + _SAMPLE_MS)
        most = max(1, self._limit // max(1, len(own)))
        wanted: dict[TopicPartition, tuple[int, int]] = {}
        for each, (first, end) in own.items():
            begin = max(first, begins.get(each.partition, end))
            wanted[each] = (begin, min(end, ends.get(each.partition, end), begin + most))
        found = [
            reading
            for messages in cluster.read({each: begin for each, (begin, _) in wanted.items()}, wanted)
            for message in messages
            if (event := self._sampled(message)) is not None
            for reading in [EventReading.of(event)]
        ]
        if found:
            self._measures.note_before(found)

    def _sampled(self, message: ReceivedMessage) -> Event | None:
        try:
            return self._reader.read(*event_parts(self.binding.topic, message))
        except MeshError:
            return None

    def profile(self, now_ms: int) -> PortProfile | None:
        """Return what the events look like; None where that is not due."""
        return self._sampled_port.profile(now_ms)

    def judge(self, now_ms: int) -> tuple[tuple[JudgedLevel, ...], Measurement, frozenset[str]]:
        """Return the judgement of each promise, what was measured, and the promises whose state has changed."""
        measures = self._measures.measures(now_ms)
        found = judged(self.promises, measures, self._judged)
        changed = frozenset(
            name for each in found if (was := self._judged.get(name := each.name())) is None or was.state != each.state
        )
        self._judged = {each.name(): each for each in found}
        return found, measures.as_measurement(), changed
