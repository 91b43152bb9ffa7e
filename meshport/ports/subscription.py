"""What a subscriber has received of a port and not yet handled, and the offsets up to which its group has handled events.

A subscription knows topics, partitions and offsets. It decodes nothing: a `Subscriber` does, and moves the offsets.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from meshport.archive.reader import LogReader
from meshport.binding import Binding
from meshport.errors import KafkaError, ReplayError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_log import LogWatch, TopicLog
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.bound_log import apply_hint, refuse_other_log
from meshport.ports.earlier_lines import EarlierLine
from meshport.ports.generation_cursor import BindingWatch, GenerationCursor
from meshport.ports.group_start import MOVE_GROUP, Begin, GroupStart, known_start, start_offsets
from meshport.ports.history import Missing, RemovedHistory, insist, removed_history
from meshport.ports.line_passage import EOF_SETTINGS, LinePassage
from meshport.ports.measures import SubscriberMeasures, before_scrape
from meshport.ports.required_levels import Require, RequiredLevels, RequireWord
from meshport.ports.resolver import Resolver

# Often enough that a restart repeats little, seldom enough that commits cost nothing beside the reading.
_COMMIT_EVERY_S: Final = 1.0
# librdkafka's default: a member that does not poll for so long is removed from its group.
_LONGEST_POLL_MS: Final = 300_000
# A member polls this often while its caller handles a batch slowly.
_POLL_EVERY_S: Final = 30.0
# As the lag is asked for by Prometheus every 15 s or so.
_ENDS_EVERY_S: Final = 1.0
_ALLOWED: Final = "`missing=Missing.ALLOW` goes on with what is left; `start=Start.LATEST` begins with new events"


class Subscription:
    """Receives the messages of a port, generation after generation, and commits the offsets of its group.

    Args:
        binding: the port's.
        resolver: a registry; asked again and again for the binding of the address.
        kafka: the connections to Kafka; servers that they name win over the binding's.
        group: the consumer group; None reads all partitions and commits nothing.
        start: where to begin without a committed offset.
        missing: whether to go on where part of the history is removed.
        look_s: seconds between two requests to the registry.
        on_lost: called with each partition that another member reads from now on.
        require: what is required of the port's service levels; None requires nothing.
        lines: the earlier lines of the port, oldest first.

    Attributes:
        binding: the newest binding of the address.
        topic: of the generation that is read.
        assigned: the partitions that this member reads; of a group, none before it has joined.
        buffer: the messages that were received and not handled, in the order of their partitions' logs.
        next_offsets: by partition, the offset after the last message that was handled since the partition was assigned.
        committed: by partition, the offset that the group has committed, as far as this member knows.
        commit_due: the monotonic time at which to commit next, in seconds.
        measures: what is measured of the subscriber.

    Raises:
        ReplayError: `start` is a time without a zone.
        HistoryMissing: part of the history is removed, and `missing` does not allow it. With a group, `poll` raises it.
        BrokerUnavailable: no answer.
    """

    def __init__(
        self,
        binding: Binding,
        resolver: Resolver,
        kafka: KafkaAccess,
        *,
        group: str | None,
        start: Begin,
        missing: Missing,
        look_s: float,
        on_lost: Callable[[int], object] | None,
        require: RequireWord | None = None,
        lines: Sequence[EarlierLine] = (),
    ) -> None:
        self.binding = binding
        self._required = None if require is None else RequiredLevels(Require(require))
        if self._required is not None:
            self._required.admits(binding)
        self._group = group
        self._start = known_start(start)
        self._missing = missing
        self._forget = on_lost
        self.buffer: deque[ReceivedMessage] = deque()
        self.next_offsets: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.assigned: set[int] = set()
        self.commit_due = time.monotonic() + _COMMIT_EVERY_S
        self._left: set[int] = set()
        self._sought: Begin | None = None
        self.measures = SubscriberMeasures(binding.address, group)
        self._polled = time.monotonic()
        self._ends: dict[int, int] = {}
        self._kafka = kafka.to(binding)
        longest_ms = int(self._kafka.properties.get("max.poll.interval.ms", _LONGEST_POLL_MS))
        self._poll_every_s = min(_POLL_EVERY_S, longest_ms / 3000)
        self._passage = LinePassage(lines, self._kafka)
        self._ports = [binding, *self._passage.bindings]
        lines = self._passage.lines
        settings = EOF_SETTINGS if lines else None
        self._consumer = LogReader(self._kafka, self._ports, group=group, settings=settings)
        self._cursor = GenerationCursor(
            binding,
            self._consumer.committed if group else None,
            lines,
            self._passage.ends,
            self._passage.topic_at(self._start),
        )
        self.topic = self._cursor.current.topic
        self._filters = bool(lines) or self._cursor.current.ends is not None
        self._watch = BindingWatch(binding.address, resolver, look_s)
        # A subscription that is garbage-collected without being closed stops resolving.
        self._unwatch = weakref.finalize(self, self._watch.close)
        try:
            self._read_topic()
        except BaseException:
            # The caller gets no object to close, and the traceback would keep this one alive.
            self._unwatch()
            self._consumer.close()
            raise
        before_scrape(self.measure)

    def measure(self) -> None:
        """Show the lag of each partition that is read now, by the ends that were seen in the last second of reading."""
        offsets = self._begins | self.committed | self.next_offsets
        self.measures.show({each: max(0, end - offsets[each]) for each, end in self._ends.items() if each in offsets})

    def _look_at_ends(self) -> None:
        # Not when the lag is asked for, by another thread: one waits there for as long as this one polls, which is until an
        # event arrives (confluent-kafka 2.16, Handle_serialize_enter).
        self._ends_due = self._polled + _ENDS_EVERY_S
        self._ends = self._consumer.seen_ends(self.topic, self._begins | self.committed | self.next_offsets)

    def _read_topic(self, continued: dict[int, int] | None = None) -> None:
        """Read the current topic: from these offsets, or by default from the start that was asked for or from the group's."""
        topic, group = self.topic, self._group
        self._ends = {}
        self._ends_due = 0.0
        reader = (
            f"what was read of it as group {group!r} is of another log" if group else "what was read is of another log"
        )
        hint = (
            f"{apply_hint(self.binding)}; then {MOVE_GROUP if group else 'start again, to read it from its beginning'}"
        )
        self._logs = LogWatch(self._kafka, topic, reader=reader, hint=hint, group=group)
        self._refuse_other_log()
        if group is None:
            self._begins = self._first_offsets() if continued is None else continued
            self.assigned = set(self._begins)
            self._consumer.assign({TopicPartition(topic, each): offset for each, offset in self._begins.items()})
            return
        self._begins = {}
        self.assigned.clear()
        log = self._logs.known.get(topic, TopicLog(topic, None, self.binding.partitions))
        self._group_start = GroupStart(group, log, self._start_offsets, self._cursor.first_offset)
        self._consumer.subscribe(topic, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def _refuse_other_log(self) -> None:
        if self.topic == self.binding.topic:
            refuse_other_log(self.binding, self._logs.id_of(self.topic), group=self._group)

    def _first_offsets(self) -> dict[int, int]:
        bounds = self._consumer.bounds(self.topic)
        return self._retained(self._start_offsets(bounds), bounds)

    def _start_offsets(self, bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        return self._offsets_at(self._start, bounds)

    def _offsets_at(self, start: Begin, bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        if not isinstance(start, datetime):
            return start_offsets(self._consumer, self.topic, start, bounds)
        insist(self._removed(bounds, start), self._missing, _ALLOWED)
        with LogReader(
            self._kafka, self._ports
        ) as asker:  # for partitions that were assigned: see `Consumer.partitions`
            return start_offsets(asker, self.topic, start, bounds)

    def _retained(self, offsets: dict[int, int], bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Return offsets to begin at, none before the first that is left of its partition.

        Raises:
            HistoryMissing: one is, and that is not allowed.
        """
        asked = {partition: bounds[partition] for partition in offsets}
        insist(self._removed(asked, offsets), self._missing, _ALLOWED)
        return {partition: max(offset, bounds[partition][0]) for partition, offset in offsets.items()}

    def _removed(
        self, bounds: Mapping[int, tuple[int, int]], asked: Mapping[int, int] | datetime
    ) -> list[RemovedHistory]:
        return removed_history(self._kafka, self.topic, bounds, asked, ports=self._ports)

    def _take_up_partitions(self) -> None:
        """Read partitions that were added to the topic from their first offset. A group is assigned them by Kafka."""
        if self._group is not None or self._logs.partitions.get(self.topic, 0) <= len(self._begins):
            return
        begins = self._consumer.begin_offsets(self.topic)
        added = {partition: offset for partition, offset in begins.items() if partition not in self._begins}
        self._consumer.assign_more({TopicPartition(self.topic, each): offset for each, offset in added.items()})
        self._begins |= added
        self.assigned.update(added)

    def _on_assign(self, partitions: Sequence[int]) -> dict[int, int]:
        if not partitions:
            return {}  # the group has rebalanced, and this member keeps what it has
        self._logs.check()
        self._refuse_other_log()  # the topic may have been missing when this began, and made since
        # The commits of all partitions say with how many the group began.
        known = max(self._logs.partitions.get(self.topic, 0), *(each + 1 for each in partitions))
        commits = self._consumer.commits(self.topic, range(known))
        bounds = self._consumer.bounds(self.topic, partitions)
        offsets = self._retained(self._group_start.offsets(partitions, commits, bounds), bounds)
        for partition, offset in offsets.items():
            if partition in commits:
                self.committed[partition] = offset
            else:
                # Without a committed offset, a restarted group that begins at the latest would skip what came before its
                # first commit.
                self.next_offsets[partition] = offset
                self.commit_due = 0.0
        self.assigned.update(partitions)
        self._left.difference_update(partitions)
        return offsets

    def _on_revoke(self, partitions: Sequence[int]) -> None:
        # Events whose offset cannot be committed any more are read again by the next member; reading need not stop for that.
        with contextlib.suppress(KafkaError):
            self.commit()
        self._on_lost(partitions)

    def _on_lost(self, partitions: Sequence[int]) -> None:
        """Drop what was received of these partitions: another member reads it from the committed offset on."""
        self.assigned.difference_update(partitions)
        self._left.update(partitions)
        self._drop(partitions)
        for partition in partitions:
            self.next_offsets.pop(partition, None)
            self.committed.pop(partition, None)
            if self._forget is not None:
                self._forget(partition)

    def _drop(self, partitions: Collection[int]) -> None:
        """Drop the messages of these partitions that were received and not handled."""
        kept = [each for each in self.buffer if each.partition() not in partitions]
        if len(kept) < len(self.buffer):
            self.buffer.clear()
            self.buffer.extend(kept)

    def seek(self, to: Begin) -> None:
        """Continue elsewhere: with the next `poll` or `tend`, in the partitions that this member reads then.

        Args:
            to: the earliest or the latest event, a recorded time, or by partition an offset; other partitions stay. A group
                commits the new offsets at once.

        Raises:
            ReplayError: a time has no zone, or an offset is negative.
        """
        self._sought = known_start(to, "to")
        self.commit_due = 0.0

    def _go_where_sought(self) -> None:
        """Carry out `seek`; a member that has no partitions yet does so once it has some.

        Raises:
            ReplayError: there is no such partition, or its log ends before the offset.
            HistoryMissing: the history there is removed, and `missing` does not allow it.
        """
        to = self._sought
        if to is None or not self.assigned:
            return
        self._sought = None
        bounds = self._consumer.bounds(self.topic)
        if isinstance(to, Mapping):
            self._refuse_outside(to, bounds)
            offsets = {each: offset for each, offset in to.items() if each in self.assigned}
        else:
            own = {each: bounds[each] for each in self.assigned}
            offsets = self._offsets_at(to, own)
        offsets = self._retained(offsets, bounds)
        self._drop(offsets)
        self._consumer.rewind({TopicPartition(self.topic, each): offset for each, offset in offsets.items()})
        self.next_offsets.update(offsets)
        self.commit_due = 0.0

    def _refuse_outside(self, offsets: Mapping[int, int], bounds: Mapping[int, tuple[int, int]]) -> None:
        for partition, offset in offsets.items():
            if partition not in bounds or offset > bounds[partition][1]:
                there = f"ends at {bounds[partition][1]}" if partition in bounds else "does not exist"
                raise ReplayError(
                    f"offset {offset} of {self.topic} [{partition}]: the partition {there}",
                    topic=self.topic,
                    partition=partition,
                    offset=offset,
                )

    def poll(self, limit: int, wait_s: float) -> None:
        """Receive up to `limit` messages into the buffer; none while the service levels are below what is required.

        Raises:
            LevelsNotMet: they are, and the reader does not wait.
        """
        if self._required is not None and not self._required.admits(self._watch.found or self.binding):
            self.stay()
            time.sleep(wait_s)
            return
        self._go_where_sought()
        if time.monotonic() >= self.commit_due:
            self.commit()
        self._follow()
        self._logs.look()
        self._take_up_partitions()
        with self._logs.explaining():
            self._take(self._consumer.read(limit, wait_s))
        self._go_where_sought()  # where this has made it a member, before anything is handled

    def _follow(self) -> None:
        """Continue in the next generation, if the address is bound to one and this one is read to its end."""
        found = self._watch.found
        if found is not None and found.topic != self.binding.topic:
            self._cursor.rebind(found)
            self.binding = found
            self._consumer.add(found)
            self._ports.append(found)
            self._filters = True
        line = self._cursor.current.line
        if line is not None and self._cursor.current.ends is None and line.is_over:
            self._cursor.end_at(self._passage.ends_of(line))
        if self._cursor.current.ends is None or not self._is_read():
            return
        generation = self._cursor.advance()
        self._passage.advance()
        self.topic = generation.topic
        self.buffer.clear()
        self.next_offsets.clear()
        self.committed.clear()
        self.assigned.clear()
        self._read_topic(self._cursor.begins((generation.line or self).binding.partitions))

    def _is_read(self) -> bool:
        generation = self._cursor.current
        if generation.line is not None:
            self._pass_over_gaps(generation.ends or {})
        if self._group is None:
            return generation.is_read(self._begins | self.next_offsets)
        own = self.committed | self.next_offsets
        if any(offset < (generation.ends or {}).get(partition, 0) for partition, offset in own.items()):
            return False
        self.commit()
        return generation.is_read(self._consumer.committed(self.topic))

    def _pass_over_gaps(self, ends: Mapping[int, int]) -> None:
        """Count offsets before the end of an earlier line as handled after which nothing of it is left to handle."""
        waiting = {each.partition() for each in self.buffer}
        for partition, end in ends.items():
            seen_end = self._consumer.ends.get(TopicPartition(self.topic, partition), 0)
            if partition in self.assigned - waiting and self._passage.is_passed(partition, end, seen_end):
                self._pass_over(partition, end)

    def _pass_over(self, partition: int, end: int) -> None:
        self.next_offsets[partition] = max(end, self.next_offsets.get(partition, 0))

    def tend(self) -> None:
        """Commit and stay in the group while messages are in the buffer: the caller may take long to handle them."""
        self._go_where_sought()
        if time.monotonic() >= self.commit_due:
            self.commit()
        if time.monotonic() - self._polled >= self._poll_every_s:
            self.stay()

    def stay(self) -> None:
        """Stay in the group without receiving more."""
        if self._group is not None:
            self._take(self._consumer.keep_alive())

    def _take(self, messages: list[ReceivedMessage]) -> None:
        self._polled = time.monotonic()
        self.measures.received(len(messages))
        if self._polled >= self._ends_due or (messages and not self._ends):
            self._look_at_ends()
        if self._filters:
            topic, generation = self.topic, self._cursor.current
            messages = [
                each
                for each in messages
                if each.topic() == topic and generation.counts(each.partition(), each.offset())
            ]
            if generation.line is not None:
                messages = self._passage.take(generation.line, messages)
        if self._left:
            # A partition can be revoked between two messages of a batch; another member reads it now.
            messages = [each for each in messages if each.partition() not in self._left]
            self._left.clear()
        self.buffer.extend(messages)

    def commit(self) -> None:
        """Commit the group's offsets after the last events that were handled; does nothing without a group.

        While the group rebalances nothing is committed; the partitions are assigned again at their committed offsets.

        Raises:
            KafkaError: the offsets could not be committed.
        """
        self.commit_due = time.monotonic() + _COMMIT_EVERY_S
        known = self.committed
        advanced = {each: offset for each, offset in self.next_offsets.items() if known.get(each) != offset}
        if self._group is None or not advanced:
            return
        began = time.monotonic()
        if self._consumer.commit(self.topic, advanced, self._group_start.note):
            self.measures.committed(time.monotonic() - began)
            known.update(advanced)

    def close(self) -> None:
        """Commit the group's offsets and leave the group."""
        self._unwatch()
        try:
            self.commit()
        finally:
            self._consumer.close()
            self.measures.show({})
