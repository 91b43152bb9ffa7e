"""A source-aligned product in a new generation with another number of partitions: its events copied, each key into its own.

Nothing can compute a source-aligned product again, so its messages are copied: keys, values, headers and timestamps as they
are. Events of a key may be in several partitions of the old topic, where partitions were added to it, so that all partitions
are merged by Kafka's timestamp; within a partition the order stays.

Publishers resolve an address once. For the switch the old topic is sealed: its largest message is made smaller than any event,
so that the broker refuses what a publisher still sends there. Such a publisher reports each event as refused until it is
started again; no event is stored where no reader finds it.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import ProcessError
from meshport.generations import Phase, Switch
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.producer import Message, Producer
from meshport.kafka.received import ReceivedMessage, UnreadableMessage, headers_of
from meshport.kafka.topic import Topic
from meshport.kafka.topic_log import LogWatch
from meshport.ports.bound_log import apply_hint, refuse_other_log
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS, KafkaLog
from meshport.product import OutputPort
from meshport.project.topic_plan import LIMIT, SEALED
from meshport.rebuild.generation_topic import declared_port, make_generation_topic
from meshport.rebuild.lease import LEASE_S, BuildLease
from meshport.rebuild.retire import delete_abandoned
from meshport.registry import Registry

_DEFAULT: Final = "1048588"
# The leaders of a cluster take up a topic's new setting within a second.
_SEAL_S: Final = 3.0
_NEAR_S: Final = 2.0
_TRIES: Final = 5
# Some kilobytes of a compressed batch may be a message of 40 MB: the topic takes the copy only if it is compressed too.
_COPIES: Final = {**PRODUCER_SETTINGS, "message.max.bytes": 1_000_000_000, "compression.type": "zstd"}
_BATCH: Final = 5000


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of a copy.

    Attributes:
        address: of the port.
        generation: the number of the new generation.
        topic: of the new generation.
        partitions: how many it has.
        copied: how many messages were copied.
        seconds: how long it took.
        binding: the binding after the switch; None without a switch.
    """

    address: Address
    generation: int
    topic: str
    partitions: int
    copied: int
    seconds: float
    binding: Binding | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "address": str(self.address),
            "generation": self.generation,
            "topic": self.topic,
            "partitions": self.partitions,
            "copied": self.copied,
            "seconds": round(self.seconds, 3),
            "swapped": self.binding is not None,
        }


class PortCopy:
    """Copies a port into a new generation, once.

    Args:
        address: of the port.
        mesh: a registry.
        partitions: how many the new generation has.
        declared: the port's entry in its project's descriptor, which gives the number of replicas; by default the
            registered one.
        say: called with lines for people.
        lease_s: seconds for which the lease on the new generation outlives this process.
        kafka: the connections to Kafka; servers that they name win over the binding's.
        on_progress: called with (offsets copied, offsets in all) of what is being copied.
        admit: called once the topic of the new generation is there, to let its writer and readers into it.

    Raises:
        NotRegistered: the registry knows no such port.
    """

    def __init__(
        self,
        address: Address,
        mesh: Registry,
        partitions: int,
        *,
        declared: OutputPort | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
        lease_s: float = LEASE_S,
        kafka: KafkaAccess = PLAINTEXT,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self._admit = admit
        self._live = mesh.refresh(address)
        self._declared = declared or declared_port(mesh.product(address).descriptor, self._live)
        self._partitions = partitions
        self._say = say
        self._on_progress = on_progress
        self._lease_s = lease_s
        self._line = mesh.generations(self._live.address)
        self._kafka = kafka.to(self._live)
        self._admin = Admin(self._kafka)

    def run(self, *, switch: bool) -> CopyReport:
        """Copy the port, and bind the address to the copy if asked to. An interrupted copy begins again.

        Raises:
            RegistrationRefused: another process builds a generation of the port.
            ProcessError: the topic is missing.
            TopicRemade: the topic is not the one that the address is bound to, or was made again during the copy. Readers of the
                earlier one would move to the copy without notice.
            KafkaError, RegistryUnavailable: no answer. Nothing is lost; call it again.
        """
        began = time.perf_counter()
        logs = self._bound_logs()
        made_by = f"copy of {self._live.topic} into {self._partitions} partitions"
        with BuildLease(self._line, made_by, seconds=self._lease_s) as lease:
            delete_abandoned(self._line, lease.opened, self._admin, self._say)
            generation = lease.generation
            old = self._old_topic(generation.topic)
            settings = old.config
            self._make_topic(generation.topic, old)
            with closing(self._copier(generation.topic)) as copier, logs.explaining():
                for _ in range(_TRIES):
                    at = time.perf_counter()
                    copier.catch_up()
                    lease.check()
                    if time.perf_counter() - at < _NEAR_S:
                        break
                logs.check()
                binding = self._switch(lease, copier, settings, logs) if switch else None
                seconds = time.perf_counter() - began
                return CopyReport(
                    self._line.line,
                    generation.number,
                    generation.topic,
                    self._partitions,
                    copier.copied,
                    seconds,
                    binding,
                )

    def _copier(self, new: str) -> _TopicCopier:
        return _TopicCopier(self._kafka, self._live.topic, new, self._on_progress)

    def _bound_logs(self) -> LogWatch:
        topic = self._live.topic
        logs = LogWatch(
            self._kafka, topic, reader="what was copied of it is of another log", hint=apply_hint(self._live)
        )
        refuse_other_log(self._live, logs.id_of(topic))
        return logs

    def _old_topic(self, new: str) -> Topic:
        """Return the old topic with the settings that it had before an interrupted switch sealed it."""
        old = self._admin.topic(self._live.topic)
        if old is None:
            raise ProcessError(f"the topic {self._live.topic} is not there", hint="`meshport apply` makes it")
        settings = dict(old.config)
        if settings.get(LIMIT) == SEALED:
            interrupted = self._admin.topic(new)
            before = None if interrupted is None else interrupted.config.get(LIMIT)
            settings |= {LIMIT: before or _DEFAULT}
        return old._replace(config=settings)

    def _make_topic(self, topic: str, old: Topic) -> None:
        if self._admin.topic(topic) is not None:
            self._admin.delete_topic(topic)
        make_generation_topic(self._admin, topic, self._partitions, old, self._declared)
        self._admit()
        self._say(f"{self._live.address}: {self._live.topic} is copied to {topic} ({self._partitions} partitions)")

    def _switch(self, lease: BuildLease, copier: _TopicCopier, settings: Mapping[str, str], logs: LogWatch) -> Binding:
        lease.move(Phase.HANDOVER)
        self._admin.set_config(self._live.topic, {LIMIT: SEALED})
        try:
            self._say(f"{self._live.topic} takes no more events; start publishers again once the address is bound")
            self._copy_while_sealed(copier)
            ends, begins = copier.catch_up(), copier.begins()
            logs.check()
            lease.check()
            topic = lease.generation.topic
            switch = Switch(
                holder=lease.holder, ends=ends, begins=begins, topic_id=self._admin.topic_ids([topic]).get(topic)
            )
            binding = self._line.switch(lease.generation.number, switch)
        except BaseException:
            self._admin.set_config(self._live.topic, {LIMIT: settings.get(LIMIT, _DEFAULT)})
            raise
        # Readers find in the new topic what a leader took that knew of the seal too late.
        copier.catch_up()
        self._say(f"{self._line.line} is bound to generation {binding.generation} ({binding.topic})")
        return binding

    @staticmethod
    def _copy_while_sealed(copier: _TopicCopier) -> None:
        deadline = time.monotonic() + _SEAL_S
        while time.monotonic() < deadline:
            copier.catch_up()
            time.sleep(0.1)


class _TopicCopier:
    """Copies the messages of one topic to another, those of all partitions merged by timestamp.

    Attributes:
        copied: how many messages were copied.
    """

    def __init__(self, kafka: KafkaConfig, old: str, new: str, on_progress: Callable[[int, int], None]) -> None:
        self._kafka = kafka
        self._on_progress = on_progress
        self._old = old
        self._new = new
        self._log = KafkaLog(kafka)
        self._producer = Producer(kafka, settings=_COPIES)
        self._positions = {partition: begin for partition, (begin, _) in self._log.bounds(old).items()}
        self.copied = 0

    def catch_up(self) -> dict[int, int]:
        """Copy what was not copied before, up to the present ends, and return the ends."""
        ends = {partition: end for partition, (_, end) in self._log.decided(self._old).items()}
        begins = {partition: self._positions.get(partition, 0) for partition in ends}
        streams = [self._messages(each, begins[each], end) for each, end in ends.items() if begins[each] < end]
        merged = heapq.merge(*streams, key=_timestamp)
        total, before = sum(ends[each] - begins[each] for each in ends), self.copied
        while some := [*islice(merged, _BATCH)]:
            self._producer.deliver(map(self._copy, some))
            self.copied += len(some)
            self._on_progress(self.copied - before, total)
        if total:
            self._on_progress(total, total)  # compaction and transactions leave offsets without a message
        self._positions = ends
        return ends

    def begins(self) -> dict[int, int]:
        """Return the present ends of the new topic."""
        return {partition: end for partition, (_, end) in self._log.bounds(self._new).items()}

    def _messages(self, partition: int, begin: int, end: int) -> Iterator[ReceivedMessage]:
        with history_reader(self._kafka) as reader:
            for messages in read_range(reader, TopicRange(self._old, {partition: begin}, {partition: end})):
                # The client logs each message that it cannot read; such a one stays in the old topic.
                yield from (each for each in messages if not isinstance(each, UnreadableMessage))

    def _copy(self, message: ReceivedMessage) -> Message:
        kind, timestamp = message.timestamp()
        headers = headers_of(message) or ()
        return Message(self._new, message.key(), message.value(), headers, timestamp if kind else None)

    def close(self) -> None:
        """Close the connections."""
        self._producer.flush(timeout_s=5)
        self._log.close()


def _timestamp(message: ReceivedMessage) -> int:
    return message.timestamp()[1]
