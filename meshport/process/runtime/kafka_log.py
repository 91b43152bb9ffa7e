"""Kafka as a worker needs it: deliveries that are acknowledged, changelogs and tables read to their end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from meshport.errors import ProcessError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer, ReceivedMessage
from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.scan import Follower, Stretch, history_reader, scan
from meshport.process.state.changelog import STAMP_HEADER, ChangelogRecord
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan

_LARGEST: Final = 16 * 1024 * 1024
"""A row in the changelog holds its value twice, what is set aside its original and more; 1 MB events must fit."""

PRODUCER_SETTINGS: Final = {"message.max.bytes": _LARGEST, "linger.ms": 1}
"""librdkafka's settings for what a processor writes."""

# The broker ends a transaction whose owner is gone after its timeout, a minute by default, and looks every 10 s.
_DECIDED_S: Final = 90.0
_PAUSE_S: Final = 0.05

# A zombie's late write must not make compaction drop what its successor wrote within these ten minutes.
CHANGELOG: Final = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": "600000",
    "delete.retention.ms": "86400000",
    "min.cleanable.dirty.ratio": "0.5",
    "segment.bytes": str(64 * 1024 * 1024),
    "max.message.bytes": str(_LARGEST),
}
"""Settings of a changelog."""

CHANGELOG_WHILE_BUILT: Final = {
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "60000",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(32 * 1024 * 1024),  # the newest one is never compacted
}
"""Those that differ while only one writes who is fenced, and nobody reads: the cleaner may drop what a row was as soon as it gets
there, so that whoever takes the state up in the end reads fewer changes."""

_REKEYED: Final = {"cleanup.policy": "delete", "retention.ms": str(7 * 86_400_000), "max.message.bytes": str(_LARGEST)}
_ASIDE: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(_LARGEST)}


def ensure_topics(plan: Plan, admin: Admin) -> None:
    """Make the topics that belong to the processor itself: changelogs, re-keyed input, late port, quarantine, redrive.

    Raises:
        TopicError: one exists with another number of partitions.
    """
    if plan.repartition is not None:
        admin.ensure_topic(plan.repartition.topic, plan.repartition.partitions, _REKEYED)
    for stage in plan.stages:
        admin.ensure_topic(stage.changelog, stage.partitions, CHANGELOG)
    admin.ensure_topic(plan.quarantine_topic, plan.output.partitions, _ASIDE)
    admin.ensure_topic(plan.redrive_topic, plan.redrive_partitions, _ASIDE)
    if plan.timed:
        admin.ensure_topic(plan.late_topic, plan.output.partitions, _ASIDE)


class Sink(Protocol):
    """Where a worker's messages go."""

    def deliver(self, messages: Iterable[Message]) -> Any:
        """Store messages, or have them stored with the transaction that is open."""
        ...


class KafkaLog:
    """A worker's view of one cluster. Used by one thread at a time.

    Args:
        kafka: the connection to the cluster.
        sink: where messages go; by default to a producer of its own, which has each acknowledged.
    """

    def __init__(self, kafka: KafkaConfig, sink: Sink | None = None) -> None:
        self._sink = sink or Producer(kafka, settings=PRODUCER_SETTINGS)
        self._reader = history_reader(kafka)
        self._unfiltered: Consumer | None = None
        self._tables: dict[str, Follower] = {}
        self._kafka = kafka

    def deliver(self, messages: Iterable[Message]) -> None:
        """Store messages; returns once all of them are acknowledged, or are part of the transaction that is open."""
        self._sink.deliver(messages)

    def entries(self, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        """All of one partition of a changelog that was committed by now.

        Raises:
            ProcessError: it could not be read to its end.
        """
        begin, end = self.decided(topic, partition)[partition]
        stretch = Stretch(topic, {partition: begin}, {partition: end})
        yield from map(entry_of, self._scan(stretch))
        if stretch.done[partition] < end:
            raise ProcessError(f"{topic} [{partition}] ends at {end} but was read to {stretch.done[partition]}")

    def decided(self, topic: str, *partitions: int) -> dict[int, tuple[int, int]]:
        """(first offset, end offset) of partitions, by default all, once transactions that are open now are decided.

        Committed readers see nothing behind the first open transaction, not even what was committed since. What a member
        left open when it was killed would hide what its successor wrote, so its end is waited for, as KIP-447 does. A
        commit is answered before its markers are written, so that one's own last transaction may be open as well.

        Raises:
            ProcessError: one stays open.
        """
        highs = self.high_watermarks(topic)
        wanted = partitions or tuple(highs)
        deadline = time.monotonic() + _DECIDED_S
        while True:
            bounds = self._reader.bounds(topic)
            open_ = [partition for partition in wanted if bounds[partition][1] < highs[partition]]
            if not open_:
                return {partition: bounds[partition] for partition in wanted}
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"a transaction has been open in {topic} [{open_[0]}] at offset {bounds[open_[0]][1]} for "
                    f"{_DECIDED_S:g} s",
                    hint="it ends with its transaction.timeout.ms at the latest; start the processor again then",
                )
            time.sleep(_PAUSE_S)

    def rows(self, topic: str) -> Iterator[InputMessage]:
        """What a joined product's topic holds beyond the last call, up to the end that it has now."""
        follower = self._tables.get(topic)
        if follower is None:
            follower = self._tables[topic] = Follower(self._kafka, topic)
        for messages in follower.catch_up():
            for message in messages:
                yield inbound(message)

    def between(self, topic: str, partition: int, begin: int, end: int) -> list[InputMessage]:
        """The messages of one partition from an offset up to, not including, another, as Kafka has them now."""
        return [inbound(each) for each in self._scan(Stretch(topic, {partition: begin}, {partition: end}))]

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> list[InputMessage]:
        """The messages of one partition from an offset, or from the first that is left, up to about `limit` of them."""
        first, end = self._reader.bounds(topic)[partition]
        found: list[InputMessage] = []
        for message in self._scan(Stretch(topic, {partition: max(begin, first)}, {partition: end})):
            found.append(inbound(message))
            if len(found) >= limit:
                break
        return found

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """(first offset, end offset) of each partition; committed readers see nothing from the end on."""
        return self._reader.bounds(topic)

    def high_watermarks(self, topic: str) -> dict[int, int]:
        """The end of each partition, what is in open transactions included."""
        if self._unfiltered is None:
            self._unfiltered = Consumer(self._kafka, settings={"isolation.level": "read_uncommitted"})
        return self._unfiltered.end_offsets(topic)

    def close(self) -> None:
        """Let go of the connections; the sink that was given is its owner's."""
        if isinstance(self._sink, Producer):
            self._sink.flush(timeout_s=5)
        self._reader.close()
        if self._unfiltered is not None:
            self._unfiltered.close()
        for follower in self._tables.values():
            follower.close()

    def _scan(self, stretch: Stretch) -> Iterator[ReceivedMessage]:
        # What a consumer has read before comes a second later when it is asked for again; a new one takes some 20 ms.
        with history_reader(self._kafka) as reader:
            for messages in scan(reader, stretch):
                yield from messages


def starting_offset(place: TopicPartition, offset: int, log: KafkaLog) -> int:
    """Refuse a place that is not in its partition any more.

    Args:
        place: topic and partition.
        offset: where its state stands; 0 before the first message.
        log: the cluster.

    Returns:
        The offset to read from: the place, or the first that is left where nothing was read before.

    Raises:
        ProcessError: the partition ends before the place, or begins behind it.
    """
    begin, end = log.bounds(place[0])[place[1]]
    if offset > end:
        raise ProcessError(
            f"{place[0]} [{place[1]}] ends at offset {end}, the state stands at {offset}: the topic was made anew",
            hint="delete the processor's changelog topics as well, to count from the beginning",
        )
    if 0 < offset < begin:
        raise ProcessError(
            f"{place[0]} [{place[1]}] begins at offset {begin}, the state stands at {offset}: retention took events "
            "that were not processed",
            hint="rebuild the product from what is left, or from its snapshots",
        )
    return max(offset, begin)


def entry_of(message: ReceivedMessage) -> ChangelogRecord:
    """A message of a changelog as an entry."""
    value = message.value()
    if value is not None:
        return ChangelogRecord(message.key() or b"", value)
    stamp = next((text for name, text in _headers(message) if name == STAMP_HEADER), b"-1")
    return ChangelogRecord(message.key() or b"", None, int(stamp))


def inbound(message: ReceivedMessage) -> InputMessage:
    """A message of the Kafka client as the stages take it."""
    kind, timestamp = message.timestamp()
    return InputMessage(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        _headers(message),
        timestamp if kind else -1,
    )


def _headers(message: ReceivedMessage) -> list[tuple[str, bytes]]:
    headers = message.headers()
    return list(headers) if isinstance(headers, list) else []  # type: ignore[arg-type]  # read as (text, bytes) pairs
