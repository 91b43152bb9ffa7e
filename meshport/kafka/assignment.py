"""Which partitions a consumer reads, and from where: as its group assigns them, or as its caller gives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import ClusterMetadata

from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.topic_offsets import TopicOffsets
from meshport.kafka.topic_partition import TopicPartition

_SEEK_S: Final = 5.0


class Assignment(TopicOffsets):
    """The partitions that a client reads.

    Args:
        client: the client.
        kafka: the connection of the client.

    Attributes:
        ends: the end offset of each partition that was read to its end; filled with `enable.partition.eof` only.
    """

    def __init__(self, client: ClientConsumer, kafka: KafkaConfig) -> None:
        super().__init__(client, kafka)
        self.ends: dict[TopicPartition, int] = {}
        self._assign_error: Exception | None = None
        self._passed_over: dict[TopicPartition, int] = {}
        self._moved: set[TopicPartition] = set()
        self._begun: set[TopicPartition] = set()
        self._in_callback = False
        self._waits_for_others = False

    def join(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]],
        on_revoke: Callable[[Sequence[TopicPartition]], None],
        on_lost: Callable[[Sequence[TopicPartition]], None] | None = None,
    ) -> None:
        """Join the group.

        The functions are called within `read` and `close`, each with the partitions that move; the others are read on. They
        may ask this consumer for offsets of partitions that they name, and not for all of a topic's: that raises a RuntimeError.

        Args:
            topics: the topics to read.
            on_assign: takes the partitions that were assigned; returns the offset to read each from. What it raises is raised by
                the next `read`.
            on_revoke: takes the partitions that were revoked, before another member is assigned them.
            on_lost: takes partitions that another member may have already, since this one was removed from the group;
                `on_revoke` by default.
        """

        def assigned(_: ClientConsumer, partitions: list[ClientPartition]) -> None:
            self._waits_for_others = False
            try:
                with self._called_back():
                    offsets = on_assign(self._note_moved(partitions))
            except Exception as error:  # noqa: BLE001 - the client may make a SystemError of it; `read` raises it
                self._assign_error, offsets = error, {}
            self._begin_reading(offsets)

        def ended(
            function: Callable[[Sequence[TopicPartition]], None],
        ) -> Callable[[ClientConsumer, list[ClientPartition]], None]:
            def called(_: ClientConsumer, partitions: list[ClientPartition]) -> None:
                with self._called_back():
                    function(self._note_moved(partitions))
                self._end_reading(partitions)

            return called

        self._client.subscribe(
            list(topics), on_assign=assigned, on_revoke=ended(on_revoke), on_lost=ended(on_lost or on_revoke)
        )

    def _begin_reading(self, offsets: Mapping[TopicPartition, int]) -> None:
        begun = [ClientPartition(*each, offset) for each, offset in offsets.items()]
        self._client.incremental_assign(begun)
        self._begun.update(offsets)
        # librdkafka keeps a partition paused that was revoked while `keep_alive` had paused it.
        self._client.resume(begun)

    def _end_reading(self, partitions: Iterable[ClientPartition]) -> None:
        # Of an assignment that `on_assign` refused, nothing is read. The client waits for this call all the same; one that is
        # closing does not say what it is assigned.
        ended = self._begun & {TopicPartition(each.topic, each.partition) for each in partitions}
        self._client.incremental_unassign([ClientPartition(*each) for each in ended])
        self._begun -= ended

    @contextmanager
    def _called_back(self) -> Iterator[None]:
        self._in_callback = True
        try:
            yield
        finally:
            self._in_callback = False

    def _look_up(self, topic: str, what: str, timeout_s: float) -> ClusterMetadata:
        if self._in_callback:
            # `list_topics` makes confluent-kafka 2.16 forget the call that the function runs in (CallState_end), and the next
            # function that is called in it, as when a member closes while it is assigned partitions, ends the process
            # (CallState_get: Assertion `cs != NULL' failed).
            raise RuntimeError(
                f"a function of `join` asks for all partitions of {topic}; it may ask for those it is given"
            )
        return super()._look_up(topic, what, timeout_s)

    def _note_moved(self, partitions: Iterable[ClientPartition]) -> list[TopicPartition]:
        moved = [TopicPartition(each.topic, each.partition) for each in partitions]
        self._moved.update(moved)
        for each in moved:
            self.ends.pop(each, None)
            self._passed_over.pop(each, None)
        return moved

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from its offset, without a group."""
        self.ends.clear()
        self._passed_over.clear()
        assigned = [ClientPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        self._client.assign(assigned)
        # librdkafka keeps a partition paused that was paused in an earlier assignment; nothing of it would be fetched.
        self._client.resume(assigned)

    def assign_more(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions as well, each from its offset, without a group."""
        self._client.incremental_assign([ClientPartition(*each, offset) for each, offset in offsets.items()])

    @property
    def assigned(self) -> set[TopicPartition]:
        """The partitions that are read."""
        return {TopicPartition(each.topic, each.partition) for each in self._client.assignment()}

    def reassign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read assigned partitions from these offsets on, also those that are paused or whose offset was removed from the log.

        `rewind` is refused for such a partition. Partitions that were lost since are left out.
        """
        assigned = self.assigned
        wanted = [ClientPartition(*each, offset) for each, offset in offsets.items() if each in assigned]
        self._client.incremental_unassign(wanted)
        self._client.incremental_assign(wanted)
        self._client.resume(wanted)

    def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read assigned partitions from these offsets on; partitions that were lost since are left out.

        Raises:
            KafkaError: the client refused to seek.
        """
        assigned = self.assigned
        for partition, offset in offsets.items():
            if partition in assigned:
                self.ends.pop(partition, None)
                self._passed_over.pop(partition, None)
                self._seek(ClientPartition(*partition, offset))

    def _seek(self, position: ClientPartition) -> None:
        deadline = time.monotonic() + _SEEK_S
        while True:
            try:
                return self._client.seek(position)
            except KafkaException as error:
                # A partition that was assigned a moment ago is not ready for it yet.
                if error.args[0].code() != ClientError._STATE or time.monotonic() > deadline:  # noqa: SLF001 - public under this spelling only
                    what = f"cannot go to offset {position.offset} of {position.topic} [{position.partition}]"
                    raise client_error(error, what) from error
            time.sleep(0.01)

    def pause(self, topic: str, partition: int) -> None:
        """Fetch no more of an assigned partition until it is assigned again."""
        self._client.pause([ClientPartition(topic, partition)])
