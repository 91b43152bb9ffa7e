"""The consumer, with the settings that the mesh relies on.

Settings that differ from librdkafka's defaults, and why:

- `enable.auto.commit=false`: an offset is committed after the work, never before.
- `auto.offset.reset=error`: an offset that retention has removed is an error (`HistoryMissing`); the consumer does not skip
  events silently.
- `topic.metadata.refresh.interval.ms=10000`: a group is assigned partitions that were added to its topic after this time; by
  default after five minutes, in which nothing of them is read.
- `fetch.queue.backoff.ms=10`: by default a partition pauses for a second whenever its queue is full, which costs four
  fifths of the throughput.
- `partition.assignment.strategy=cooperative-sticky`: by default (`range,roundrobin`) every member gives up all of its partitions,
  and a processor restores their state, whenever one joins or leaves. So a member keeps those that do not move, and goes on
  reading them (KIP-429). A group cannot have members of both kinds at a time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, Final, Self, cast

from confluent_kafka import OFFSET_BEGINNING, KafkaException
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message as ClientMessage
from confluent_kafka import TopicPartition as ClientPartition

from meshport.errors import HistoryMissing, KafkaError
from meshport.kafka.assignment import Assignment
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.received import ReceivedMessage, UnreadableMessage
from meshport.kafka.topic_offsets import METADATA_S, once_ready
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["BEGINNING", "WATCHED", "WITHOUT_GROUP", "Consumer"]

_log: Final = logging.getLogger(__name__)

WITHOUT_GROUP: Final = "meshport-without-group"
"""The `group.id` of a consumer without a group. librdkafka requires one and looks for its coordinator; nothing is committed."""

WATCHED: Final = {"statistics.interval.ms": 5000}
"""The settings of a consumer that reports the offsets it fetches in `Consumer.fetched`.

librdkafka reports them in its statistics only. Aborted records move them and give no message, so that a consumer without
messages may still be moving on. The statistics of a consumer that is not read pile up in memory.
"""

_error_of: Final = methodcaller("error")
# Of a batch that librdkafka cannot decompress or parse. It decompresses zstd up to `receive.message.max.bytes`, 100 MB.
_UNREADABLE_BATCH: Final = frozenset({ClientError._BAD_COMPRESSION, ClientError._BAD_MSG})  # noqa: SLF001 - public under this spelling only
_OTHER_MEMBERSHIP: Final = frozenset(
    {ClientError.REBALANCE_IN_PROGRESS, ClientError.ILLEGAL_GENERATION, ClientError.UNKNOWN_MEMBER_ID}
)


class Consumer(Assignment):
    """A consumer that commits only on request.

    Args:
        kafka: the connection to the cluster.
        group: the consumer group; None for a consumer that commits nothing.
        settings: librdkafka properties that win over those of `kafka`.
    """

    def __init__(
        self, kafka: KafkaConfig, *, group: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._group = group
        self._pending_errors: dict[TopicPartition, KafkaError] = {}
        self.fetched: Mapping[TopicPartition, int] = {}
        """The next offset to fetch of each partition, as of the last statistics; filled with `WATCHED` only."""
        client = new_client(
            ClientConsumer,
            kafka,
            {
                "group.id": group or WITHOUT_GROUP,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "topic.metadata.refresh.interval.ms": 10_000,
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 16_384,
                "fetch.wait.max.ms": 50,
                "partition.assignment.strategy": "cooperative-sticky",
                "stats_cb": self._note_fetched,
                "log_level": 0,
            },
            settings,
        )
        super().__init__(client, kafka)

    def _note_fetched(self, statistics: str) -> None:
        self.fetched = {
            TopicPartition(topic, int(number)): each["next_offset"]
            for topic, found in json.loads(statistics)["topics"].items()
            for number, each in found["partitions"].items()
            if each["next_offset"] >= 0
        }

    def subscribe(
        self,
        topic: str,
        *,
        on_assign: Callable[[Sequence[int]], Mapping[int, int]],
        on_revoke: Callable[[Sequence[int]], None],
        on_lost: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        """Join the group for one topic; a further call with another topic leaves the first.

        The functions are called as those of `join`.

        Args:
            topic: the topic to read.
            on_assign: takes the partitions that were assigned; returns the offset to read each from.
            on_revoke: takes the partitions that were revoked, before another member is assigned them.
            on_lost: takes partitions that another member may have already, so that no offset can be committed; `on_revoke`
                by default.
        """

        def ours(partitions: Sequence[TopicPartition]) -> list[int]:
            return [each.partition for each in partitions if each.topic == topic]

        def assigned(partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
            return {TopicPartition(topic, each): offset for each, offset in on_assign(ours(partitions)).items()}

        self.join(
            [topic],
            on_assign=assigned,
            on_revoke=lambda partitions: on_revoke(ours(partitions)),
            on_lost=lambda partitions: (on_lost or on_revoke)(ours(partitions)),
        )

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """Return up to `limit` messages: the first that comes within `timeout_s` seconds and what follows it within 5 ms.

        Raises:
            KafkaError: the broker reported an error for a partition. Messages that came with it are returned first, and the
                error is raised by the next call; of several, one by each.
            Exception: what `on_assign` raised.
        """
        if self._pending_errors:
            raise self._next_error()
        first = self._client.poll(timeout_s)
        if self._assign_error is not None:
            raise self._assign_error
        if first is None:
            return []
        messages = [first]
        if limit > 1:
            self._moved.clear()
            messages += self._client.consume(limit - 1, 0.005)
            if self._moved and (first.topic(), first.partition()) in self._moved:
                # librdkafka drops what it fetched of a partition that was revoked or assigned meanwhile, but not this one.
                del messages[0]
        # Errors are rare; looking for one at C speed keeps the usual batch free of a Python loop.
        if any(map(_error_of, messages)):
            return self._without_errors(messages)
        return cast("list[ReceivedMessage]", messages)

    def keep_alive(self) -> list[ReceivedMessage]:
        """Stay in the group while messages take long to handle: poll, without fetching more.

        Returns:
            A message that had been fetched already; most often none.
        """
        assigned = self._client.assignment()
        self._client.pause(assigned)
        message = self._client.poll(0)
        kept = self._client.assignment()
        self._client.resume([each for each in assigned if each in kept])
        return [] if message is None else self._without_errors([message])

    def _without_errors(self, messages: Sequence[ClientMessage]) -> list[ReceivedMessage]:
        good: list[ReceivedMessage] = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(cast(ReceivedMessage, message))
                continue
            partition = TopicPartition(message.topic() or "", message.partition() or 0)
            # Members that assign by `range` are leaving, or were killed and still have a session: of an earlier release, or
            # of another engine. librdkafka joins again by itself.
            if error.code() == ClientError.INCONSISTENT_GROUP_PROTOCOL:
                self._note_others()
                continue
            # A member that did not poll for too long joins again by itself; `on_lost` is called with its partitions.
            if error.code() == ClientError._MAX_POLL_EXCEEDED:  # noqa: SLF001 - public under this spelling only
                continue
            # librdkafka looks for the coordinator of its group even where none is joined, and no right on it is needed.
            if error.code() == ClientError.GROUP_AUTHORIZATION_FAILED and self._group is None:
                continue
            if error.code() == ClientError._PARTITION_EOF:  # noqa: SLF001 - as above
                self.ends[partition] = message.offset() or 0
            elif error.code() in _UNREADABLE_BATCH:
                good.append(self._pass_over(partition, message.offset() or 0, error))
            else:
                self._pending_errors.setdefault(partition, self._read_error(error, partition, message.offset()))
        if self._pending_errors and not good:
            raise self._next_error()
        return good

    def _next_error(self) -> KafkaError:
        return self._pending_errors.pop(next(iter(self._pending_errors)))

    def _note_others(self) -> None:
        if not self._waits_for_others:
            self._waits_for_others = True
            _log.warning(
                "the group %s has members that hand partitions over in another way (an earlier release, another client): "
                "this one joins when they have left",
                self._group,
            )

    def _read_error(self, error: ClientError, partition: TopicPartition, offset: int | None) -> KafkaError:
        if error.code() == ClientError._AUTO_OFFSET_RESET and offset is not None:  # noqa: SLF001 - public under this spelling only
            first = super().bounds(partition.topic, [partition.partition])[partition.partition][0]
            if 0 <= offset < first:
                return HistoryMissing(
                    f"offset {offset} of {partition} is not in the log any more, which begins at {first}: "
                    f"{first - offset} offsets were removed before they were read",
                    topic=partition.topic,
                    partition=partition.partition,
                    offset=first,
                    asked=offset,
                    code=error.name(),
                )
        if error.code() == ClientError.GROUP_AUTHORIZATION_FAILED:
            return client_error(error, f"cannot join the group {self._group}")
        return client_error(error, f"cannot read {partition}")

    def _pass_over(self, partition: TopicPartition, first: int, error: ClientError) -> UnreadableMessage:
        """Continue after a message that librdkafka cannot read: by itself it would fetch it again, for ever.

        Args:
            partition: of the message.
            first: the first offset of its batch. How many messages the batch has is not known, so that each of its offsets is
                passed over by itself.
            error: the client's.
        """
        (position,) = self._client.position([ClientPartition(*partition)])
        offset = max(first, position.offset, self._passed_over.get(partition, 0))
        self._passed_over[partition] = offset + 1
        what = f"{partition} offset {offset} cannot be read by the client"
        try:
            self._client.seek(ClientPartition(*partition, offset + 1))
        except KafkaException as failure:
            raise client_error(failure, f"{what}, and it cannot go on after it") from failure
        _log.warning("%s: %s", what, error.str(), extra={"facts": {**partition._asdict(), "offset": offset}})
        return UnreadableMessage(*partition, offset, f"the client cannot read the message: {error.str()}")

    def seen_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the end offsets that came with the last fetched messages, without a request; unknown ones are left out."""
        try:
            found = {
                each: self._client.get_watermark_offsets(ClientPartition(topic, each), cached=True)
                for each in partitions
            }
        except (KafkaException, RuntimeError):  # no such partition any more, or another thread has closed the client
            return {}
        return {partition: ends[1] for partition, ends in found.items() if ends is not None and ends[1] >= 0}

    def commit(self, topic: str, offsets: Mapping[int, int], note: str = "") -> bool:
        """Commit offsets of the group.

        Args:
            topic: the topic.
            offsets: by partition, the next offset to read.
            note: a text that Kafka keeps beside each offset; `commits` returns it.

        Returns:
            False where the group is rebalancing or this member was removed from it: nothing was committed, and the next
            `read` calls `on_revoke` or `on_lost`.

        Raises:
            KafkaError: the offsets were not committed.
        """
        if not offsets:
            return True
        wanted = [ClientPartition(topic, partition, offset, note) for partition, offset in offsets.items()]
        try:
            done = self._client.commit(offsets=wanted, asynchronous=False) or ()
        except KafkaException as error:
            if error.args[0].code() in _OTHER_MEMBERSHIP:
                return False
            raise client_error(error, f"cannot commit the group's offsets in {topic}") from error
        if any(each.error is not None and each.error.code() in _OTHER_MEMBERSHIP for each in done):
            return False
        for each in done:
            if each.error is not None:
                raise client_error(each.error, f"cannot commit the group's offsets in {topic} [{each.partition}]")
        return True

    def committed(self, topic: str) -> dict[int, int]:
        """Return the offset that the group has committed, by partition; a partition without one is left out."""
        return {partition: offset for partition, (offset, _) in self.commits(topic).items()}

    def commits(self, topic: str, partitions: Iterable[int] | None = None) -> dict[int, tuple[int, str]]:
        """Return the offset that the group has committed, with its note, by partition; one without an offset is left out.

        Args:
            topic: the topic.
            partitions: to ask for; None for all of the topic.
        """
        wanted = self.partitions(topic) if partitions is None else partitions
        asked = [ClientPartition(topic, partition) for partition in wanted]
        what = f"cannot see the group's offsets in {topic}"
        found = once_ready(partial(self._client.committed, asked, timeout=METADATA_S), what)
        for each in found:
            if each.error is not None:
                raise client_error(each.error, f"{what} [{each.partition}]")
        return {each.partition: (each.offset, each.metadata or "") for each in found if each.offset >= 0}

    def close(self) -> None:
        """Leave the group and close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


BEGINNING: Final[int] = OFFSET_BEGINNING
"""The offset that means a partition's first, for `Consumer.assign`."""
