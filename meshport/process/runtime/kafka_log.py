"""Kafka as a worker needs it: acknowledged deliveries, changelogs and joined tables read to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from meshport.archive.reader import LogReader
from meshport.binding import Binding
from meshport.errors import BrokerUnavailable, ProcessError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.kafka.received import ReceivedMessage, UnreadableMessage, headers_of
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import BATCH_BYTES
from meshport.ports.failed.packing import LARGEST, unpacked
from meshport.ports.history import Missing, insist, removed_history
from meshport.ports.scan import TopicFollower, TopicRange, history_reader, read_range
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.headers import changelog_record
from meshport.process.wire.input import InputMessage

PRODUCER_SETTINGS: Final = {"message.max.bytes": LARGEST, "linger.ms": 1}
"""librdkafka's settings for what a processor writes."""

# The broker aborts an abandoned transaction after its timeout, a minute by default, and looks for such every 10 s.
_DECIDED_S: Final = 90.0
_PAUSE_S: Final = 0.05
_TIMED_OUT: Final = "_TIMED_OUT"
_NOW_S: Final = 1.0

GO_ON: Final = "`--allow-missing` (of `meshport run`, `meshport rebuild`) goes on with what is left"
"""The hint of an error about history that a processor needs and that is removed."""

CachedEntries = Callable[[str, int], Iterable[ChangelogRecord] | None]
"""Returns the entries of a changelog partition, (topic, partition), that was read already; None of any other."""


class Sink(Protocol):
    """Where a worker's messages go."""

    def deliver(self, messages: Iterable[Message]) -> Any:
        """Store messages, or add them to the open transaction."""
        ...


class KafkaLog:
    """The topics of one cluster as a worker reads and writes them. Used by one thread at a time.

    Args:
        kafka: the connection to the cluster.
        sink: where messages go; by default a producer of the log's own, which waits for acknowledgements.
        cached: entries of changelogs that were read already; `entries` takes them instead of reading the topic.
        missing: whether a joined table may lack rows that are removed from its topic.
        ports: whose archives are read where a topic of theirs begins later.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        sink: Sink | None = None,
        cached: CachedEntries | None = None,
        missing: Missing = Missing.REFUSE,
        ports: Collection[Binding] = (),
    ) -> None:
        self._ports = ports
        self._sink = sink or Producer(kafka, settings=PRODUCER_SETTINGS)
        self._cached = cached
        self._reader = LogReader(kafka, ports)
        self._unfiltered: Consumer | None = None
        self._groups: dict[str, Consumer] = {}
        self._tables: dict[str, TopicFollower] = {}
        self._scanner: Consumer | None = None
        self._missing = missing
        self._kafka = kafka

    @property
    def fetched(self) -> dict[TopicPartition, int]:
        """The next offsets to fetch of what is being read for a caller that waits; they grow while the read moves on."""
        found: dict[TopicPartition, int] = {}
        for reader in (self._scanner, *self._tables.values()):
            found |= {} if reader is None else reader.fetched
        return found

    def deliver(self, messages: Iterable[Message]) -> None:
        """Store messages; return once all are acknowledged, or belong to the open transaction.

        Raises:
            KafkaError: a message was not stored, or the outcome is not known.
        """
        self._sink.deliver(messages)

    def entries(self, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        """Yield all entries of one partition of a changelog that are committed by now.

        Raises:
            ProcessError: the partition could not be read to its end.
        """
        cached = None if self._cached is None else self._cached(topic, partition)
        if cached is not None:
            yield from cached
            return
        begin, end = self.decided(topic, partition)[partition]
        wanted = TopicRange(topic, {partition: begin}, {partition: end})
        yield from map(entry_of, self._scan(wanted))
        if wanted.positions[partition] < end:
            raise ProcessError(
                f"{topic} [{partition}] ends at {end} but was read to {wanted.positions[partition]}",
                topic=topic,
                partition=partition,
                offset=end,
            )

    def decided(self, topic: str, *partitions: int) -> dict[int, tuple[int, int]]:
        """Return (first offset, end offset) of partitions, by default all, once transactions that are open now have ended.

        Committed readers see nothing after the first open transaction, not even what was committed since. The transaction of
        a killed member would hide what its successor wrote, so its end is awaited, as in KIP-447. The worker's own last
        transaction may be open as well, since the broker answers a commit before it writes the markers.

        Raises:
            ProcessError: a transaction stays open.
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
                    topic=topic,
                    partition=open_[0],
                    offset=bounds[open_[0]][1],
                    hint="it ends with its transaction.timeout.ms at the latest; start the processor again then",
                )
            time.sleep(_PAUSE_S)

    def rows(self, topic: str) -> Iterator[InputMessage]:
        """Yield the messages of a joined product's topic since the last call, up to its present end.

        Raises:
            HistoryMissing: rows are removed from its beginning, other than by compaction.
        """
        follower = self._tables.get(topic)
        if follower is None:
            bounds = self._reader.bounds(topic)
            insist(removed_history(self._kafka, topic, bounds, ports=self._ports), self._missing, GO_ON)
            follower = self._tables[topic] = TopicFollower(self._kafka, topic, ports=self._ports)
        for messages in follower.catch_up():
            for message in messages:
                yield inbound(message)

    def between(self, topic: str, partition: int, begin: int, end: int) -> list[InputMessage]:
        """Return the messages of one partition from one offset up to, not including, another, as Kafka has them now."""
        return [inbound(each) for each in self._scan(TopicRange(topic, {partition: begin}, {partition: end}))]

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> list[InputMessage]:
        """Return about `limit` messages of one partition from an offset, or from the first that is retained.

        They have little more than `BATCH_BYTES` of values.
        """
        first, end = self._reader.bounds(topic)[partition]
        found: list[InputMessage] = []
        taken = 0
        for message in self._scan(TopicRange(topic, {partition: max(begin, first)}, {partition: end})):
            found.append(inbound(message))
            taken += len(found[-1].value or b"")
            if len(found) >= limit or taken >= BATCH_BYTES:
                break
        return found

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return (first offset, end offset) of each partition; the end is that of committed readers."""
        return self._reader.bounds(topic)

    def bounds_now(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return what `bounds` returns, without waiting for a leader that is being elected.

        Raises:
            KafkaError: a partition has no leader now.
        """
        return self._reader.bounds(topic, patience_s=_NOW_S)

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """Return Kafka's id of each topic that exists; nothing where the cluster gives none."""
        return Admin(self._kafka).topic_ids(topics)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the offsets that a consumer group has committed in a topic, by partition, once they are decided.

        A member may have added offsets to its transaction that it has not committed, nor sent all messages of. The broker
        does not answer before such a transaction has ended (KIP-447): until then its messages may still become visible, and
        `decided` waits only for those that the broker has.

        Raises:
            BrokerUnavailable: no answer came: a transaction stays open, or the coordinator is lost.
        """
        deadline = time.monotonic() + _DECIDED_S
        while True:
            if group not in self._groups:
                self._groups[group] = Consumer(self._kafka, group=group)
            try:
                return self._groups[group].committed(topic)
            except BrokerUnavailable as error:
                # A client may ask a coordinator for ever that the cluster has given up (librdkafka#5511).
                self._groups.pop(group).close()
                if error.code != _TIMED_OUT or time.monotonic() > deadline:
                    raise

    def high_watermarks(self, topic: str) -> dict[int, int]:
        """Return the end offset of each partition, open transactions included."""
        if self._unfiltered is None:
            self._unfiltered = Consumer(self._kafka, settings={"isolation.level": "read_uncommitted"})
        return self._unfiltered.end_offsets(topic)

    def close(self) -> None:
        """Close the connections; a sink that was given stays open."""
        if isinstance(self._sink, Producer):
            self._sink.flush(timeout_s=5)
        self._reader.close()
        if self._unfiltered is not None:
            self._unfiltered.close()
        for group in self._groups.values():
            group.close()
        for follower in self._tables.values():
            follower.close()

    def _scan(self, wanted: TopicRange) -> Iterator[ReceivedMessage]:
        # A consumer that has read a partition before needs a second to read it again; a new consumer needs some 20 ms.
        with history_reader(self._kafka, self._ports) as reader:
            self._scanner = reader
            for messages in read_range(reader, wanted):
                yield from messages


def entry_of(message: ReceivedMessage) -> ChangelogRecord:
    """Return a changelog message as a changelog record.

    Raises:
        ProcessError: the client could not read it.
    """
    if isinstance(message, UnreadableMessage):
        raise ProcessError(
            f"{message.topic()} [{message.partition()}] offset {message.offset()}: {message.reason}",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            hint="the state is damaged; rebuild the product from its history",
        )
    return changelog_record(*unpacked(message.key(), message.value(), headers_of(message) or ()))


def inbound(message: ReceivedMessage) -> InputMessage:
    """Return a message of the Kafka client in the form that the stages process."""
    kind, timestamp = message.timestamp()
    headers = headers_of(message)
    return InputMessage(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        () if headers is None else headers,
        timestamp if kind else -1,
    )
