"""Kafka as a worker needs it: deliveries that are acknowledged, changelogs and tables read to their end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshport.errors import ProcessError
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import ReceivedMessage
from meshport.kafka.producer import Message, Producer
from meshport.process.messages import Inbound
from meshport.process.plan import Plan
from meshport.process.rows import STAMP_HEADER, Entry
from meshport.scan import Follower, Stretch, history_reader, scan

_LARGEST: Final = 16 * 1024 * 1024
"""A row in the changelog holds its value twice, what is set aside its original and more; 1 MB events must fit."""

_SETTINGS: Final = {"message.max.bytes": _LARGEST, "linger.ms": 1}

# A zombie's late write must not make compaction drop what its successor wrote within these ten minutes.
_CHANGELOG: Final = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": "600000",
    "segment.bytes": str(64 * 1024 * 1024),
    "max.message.bytes": str(_LARGEST),
}
_REKEYED: Final = {"cleanup.policy": "delete", "retention.ms": str(7 * 86_400_000), "max.message.bytes": str(_LARGEST)}
_ASIDE: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(_LARGEST)}


def ensure_topics(plan: Plan, admin: Admin) -> None:
    """Make the topics that belong to the processor itself: changelogs, re-keyed input, late port, quarantine.

    Raises:
        TopicError: one exists with another number of partitions.
    """
    for index, stage in enumerate(plan.stages):
        if index:
            admin.ensure_topic(stage.topic, stage.partitions, _REKEYED)
        admin.ensure_topic(stage.changelog, stage.partitions, _CHANGELOG)
    admin.ensure_topic(plan.quarantine_topic, plan.output.partitions, _ASIDE)
    if plan.timed:
        admin.ensure_topic(plan.late_topic, plan.output.partitions, _ASIDE)


class KafkaLog:
    """A worker's view of one cluster. Used by one thread at a time.

    Args:
        bootstrap_servers: of the cluster.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = Producer(bootstrap_servers, settings=_SETTINGS)
        self._reader = history_reader(bootstrap_servers)
        self._tables: dict[str, Follower] = {}
        self._bootstrap_servers = bootstrap_servers

    def deliver(self, messages: Iterable[Message]) -> list[tuple[int, int]]:
        """Store messages; returns once all of them are acknowledged."""
        return self._producer.deliver(messages)

    def entries(self, topic: str, partition: int) -> Iterator[Entry]:
        """All of one partition of a changelog, up to the end that it has now.

        Raises:
            ProcessError: it could not be read to that end.
        """
        begin, end = self._reader.bounds(topic)[partition]
        stretch = Stretch(topic, {partition: begin}, {partition: end})
        for messages in scan(self._reader, stretch):
            for message in messages:
                stamp = next((value for name, value in _headers(message) if name == STAMP_HEADER), b"-1")
                yield Entry(message.key() or b"", message.value(), int(stamp))
        if stretch.done[partition] < end:
            raise ProcessError(f"{topic} [{partition}] ends at {end} but was read to {stretch.done[partition]}")

    def rows(self, topic: str) -> Iterator[Inbound]:
        """What a joined product's topic holds beyond the last call, up to the end that it has now."""
        follower = self._tables.get(topic)
        if follower is None:
            follower = self._tables[topic] = Follower(self._bootstrap_servers, topic)
        for messages in follower.catch_up():
            for message in messages:
                yield inbound(message)

    def between(self, topic: str, partition: int, begin: int, end: int) -> list[Inbound]:
        """The messages of one partition from an offset up to, not including, another, as Kafka has them now."""
        return list(self._scan(Stretch(topic, {partition: begin}, {partition: end})))

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> list[Inbound]:
        """The messages of one partition from an offset, or from the first that is left, up to about `limit` of them."""
        first, end = self._reader.bounds(topic)[partition]
        found: list[Inbound] = []
        for message in self._scan(Stretch(topic, {partition: max(begin, first)}, {partition: end})):
            found.append(message)
            if len(found) >= limit:
                break
        return found

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """(first offset, end offset) of each partition."""
        return self._reader.bounds(topic)

    def close(self) -> None:
        """Let go of the connections."""
        self._producer.flush(timeout_s=5)
        self._reader.close()
        for follower in self._tables.values():
            follower.close()

    def _scan(self, stretch: Stretch) -> Iterator[Inbound]:
        for messages in scan(self._reader, stretch):
            for message in messages:
                yield inbound(message)


def inbound(message: ReceivedMessage) -> Inbound:
    """A message of the Kafka client as the stages take it."""
    kind, timestamp = message.timestamp()
    return Inbound(
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
