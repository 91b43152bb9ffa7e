"""A processor on real bytes with no broker: events in, messages out, and a crash wherever the test wants one.

    harness = Harness(pipeline, output="shop/revenue-by-customer", ports=ports)
    harness.publish("shop/orders", {"customer": "c-1", "cents": 1200, ...})
    harness.run()
    assert harness.table() == {...}

Everything but Kafka is the real thing: codec, stages, protocol, restore. What Kafka would hold is in `MemoryLog`, where
each delivery can be cut short after any number of messages, as a kill would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from meshport.address import Address, subject_name, topic_name
from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.errors import KafkaError, NotRegistered
from meshport.event import Event, EventReader, EventWriter, SchemaSource
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.publisher import event_time, record_key
from meshport.ports.resolver import Resolver
from meshport.process.logic.pipeline import Pipeline
from meshport.process.runtime.quarantine import QuarantinedEvent, quarantined_event
from meshport.process.runtime.redrive import redrive_message, to_redrive
from meshport.process.runtime.worker import Worker
from meshport.process.stages.partition import Counts
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.headers import changelog_record
from meshport.process.wire.input import InputMessage
from meshport.process.wire.partitioner import partition_of
from meshport.process.wire.plan import Plan, make_plan
from meshport.schema import Schema, parse_schema


class Crash(KafkaError):  # noqa: N818 - names what happens
    """Raised in the middle of a delivery, as the end of the process would have it; what was sent before is stored."""


@dataclass
class MemoryLog:
    """Topics in memory: what a worker asks of Kafka, for tests.

    Attributes:
        partitions: partition count by topic; a topic that is not named has one.
        crash_after: how many more messages are stored before `Crash` is raised; None for never.
        stored: every message of every topic, in the order in which they were stored.
        removed: the (topic, partition, offset) of messages that compaction has removed.
    """

    partitions: dict[str, int] = field(default_factory=dict)
    crash_after: int | None = None
    stored: list[InputMessage] = field(default_factory=list)
    removed: set[tuple[str, int, int]] = field(default_factory=set)
    _topics: dict[str, list[list[InputMessage]]] = field(default_factory=dict)
    _seen: dict[str, list[int]] = field(default_factory=dict)

    def topic(self, name: str) -> list[list[InputMessage]]:
        """All messages of a topic, by partition."""
        return self._topics.setdefault(name, [[] for _ in range(self.partitions.get(name, 1))])

    def shared(self) -> MemoryLog:
        """Return a log over the same topics with the positions and the crash of another process."""
        return MemoryLog(self.partitions, None, self.stored, self.removed, self._topics)

    def compact(self, topic: str) -> None:
        """Remove each message that is followed by another of its key, and tombstones, as Kafka's log cleaner does."""
        for number, messages in enumerate(self.topic(topic)):
            last = {message.key: message.offset for message in messages}
            self.removed |= {
                (topic, number, each.offset)
                for each in messages
                if each.key is not None and (last[each.key] != each.offset or each.value is None)
            }

    def kept(self, messages: Iterable[InputMessage]) -> list[InputMessage]:
        """Return the messages that compaction has not removed."""
        if not self.removed:
            return [*messages]
        return [each for each in messages if (each.topic, each.partition, each.offset) not in self.removed]

    def deliver(self, messages: Iterable[Message]) -> None:
        """Store messages.

        Raises:
            Crash: `crash_after` messages are stored.
        """
        for message in messages:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    raise Crash("killed")
                self.crash_after -= 1
            self.store(message)

    def store(self, message: Message) -> InputMessage:
        """Store one message, where its key says."""
        partitions = self.topic(message.topic)
        number = message.partition
        if number is None:
            number = 0 if message.key is None else partition_of(message.key, len(partitions))
        stored = InputMessage(
            message.topic,
            number,
            len(partitions[number]),
            message.key,
            message.value,
            list(message.headers),
            -1 if message.timestamp_ms is None else message.timestamp_ms,
        )
        partitions[number].append(stored)
        self.stored.append(stored)
        return stored

    def entries(self, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        """All of one partition of a changelog."""
        for message in self.topic(topic)[partition]:
            yield changelog_record(message.key, message.value, message.headers)

    def rows(self, topic: str) -> list[InputMessage]:
        """What a joined product's topic holds beyond the last call."""
        partitions = self.topic(topic)
        seen = self._seen.setdefault(topic, [0] * len(partitions))
        found = [message for number, messages in enumerate(partitions) for message in messages[seen[number] :]]
        self._seen[topic] = [len(messages) for messages in partitions]
        return self.kept(found)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """(first offset, end offset) of each partition."""
        return {number: (0, len(messages)) for number, messages in enumerate(self.topic(topic))}

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> list[InputMessage]:
        """The messages of one partition from an offset."""
        return self.kept(self.topic(topic)[partition][begin : begin + limit])

    def between(self, topic: str, partition: int, begin: int, end: int) -> list[InputMessage]:
        """The messages of one partition from an offset up to, not including, another."""
        return self.kept(self.topic(topic)[partition][begin:end])

    def restart(self) -> None:
        """Forget what belonged to the process that was killed: how far tables had been read, and the crash."""
        self._seen.clear()
        self.crash_after = None


@dataclass(frozen=True)
class Port:
    """A port as a test declares it.

    Attributes:
        schema: Avro as JSON data.
        key: the fields of the record key.
        time: the field of the event time; without one `publish` is told it.
        partitions: how many.
        cleanup: `delete` or `compact`.
        type: the CloudEvents type; by default the topic's name.
    """

    schema: Mapping[str, Any]
    key: tuple[str, ...] = ()
    time: str | None = None
    partitions: int = 1
    cleanup: str = "delete"
    type: str | None = None


class PortRegistry(Resolver, SchemaSource, Protocol):
    """The bindings and schemas of some ports."""

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The binding of each port."""


class Ports:
    """A registry in memory: ports by address, schemas by id and fingerprint.

    Args:
        ports: by address.
        bootstrap_servers: of the cluster that holds the topics, where there is one.
        prefix: put before the name of each topic, so that tests can share a cluster.
    """

    def __init__(self, ports: Mapping[str, Port], *, bootstrap_servers: str = "", prefix: str = "") -> None:
        self._bindings: dict[Address, Binding] = {}
        self._schemas: dict[int, Schema] = {}
        for number, (text, port) in enumerate(ports.items(), start=1):
            address = _full(text)
            schema = parse_schema(json.dumps(port.schema), source=str(address))
            self._schemas[number] = schema
            self._bindings[address] = Binding(
                address=address,
                bootstrap_servers=bootstrap_servers,
                topic=prefix + topic_name(address),
                partitions=port.partitions,
                key=port.key,
                time=port.time,
                type=port.type or topic_name(address),
                subject=subject_name(address),
                schema_id=number,
                fingerprint=schema.fingerprint,
                schema_text=schema.text,
                cleanup=port.cleanup,
                owner="test",
            )

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """Of all ports."""
        return tuple(self._bindings.values())

    def resolve(self, address: Address) -> Binding:
        """The binding of a port; a bare product means its first."""
        for known, binding in self._bindings.items():
            if address in (known, known.of_product):
                return binding
        raise NotRegistered(f"the test has no port {address}")

    def by_id(self, schema_id: int) -> Schema:
        """The schema of a numeric id."""
        if schema_id not in self._schemas:
            raise NotRegistered(f"the test has no schema {schema_id}")
        return self._schemas[schema_id]

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """The schema of a fingerprint."""
        for schema in self._schemas.values():
            if schema.fingerprint == fingerprint:
                return schema
        raise NotRegistered(f"the test has no schema {fingerprint}")

    def by_guid(self, guid: UUID) -> Schema:
        """A test's schemas have no GUID."""
        raise NotRegistered(f"the test has no schema {guid}")


class Harness:
    """Runs one pipeline over topics in memory.

    Args:
        pipeline: the logic.
        output: address of the port that it builds.
        ports: every port that it reads and the one that it builds, by address; or a registry that has them.
        log: the topics; by default empty ones of its own.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        output: str,
        ports: Mapping[str, Port] | PortRegistry,
        log: MemoryLog | None = None,
    ) -> None:
        self.ports: PortRegistry = Ports(ports) if isinstance(ports, Mapping) else ports
        self.log = MemoryLog() if log is None else log
        self.log.partitions |= {binding.topic: binding.partitions for binding in self.ports.bindings}
        self.plan: Plan = make_plan(pipeline, _full(output), self.ports)
        for stage in self.plan.stages:
            self.log.partitions |= {stage.topic: stage.partitions, stage.changelog: stage.partitions}
        self.log.partitions[self.plan.redrive_topic] = self.plan.redrive_partitions
        self.worker = self._taken_up()
        self._published = 0

    def publish(
        self,
        address: str,
        record: Mapping[str, Any] | None,
        *,
        time: datetime | None = None,
        id: str | None = None,
        key: Mapping[str, Any] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> InputMessage:
        """Store one event on an input port.

        Args:
            address: of the port.
            record: the data; None for a tombstone, which needs `key`.
            time: when it happened; by default what the port's time field says.
            id: of the event; by default one of its own.
            key: the key fields of a tombstone.
            partition: by default the one of its key.
            timestamp_ms: the Kafka timestamp; by default none.
        """
        binding = self.ports.resolve(Address.parse(address))
        schema = self.ports.by_id(binding.schema_id)
        writer = EventWriter(
            source=str(binding.address), type=binding.type, codec=codec_for(schema), schema_id=binding.schema_id
        )
        self._published += 1
        id_ = id or f"event-{self._published}"
        if time is None:
            time = event_time(binding.time, schema)(record or {})
        value, headers = (
            writer.tombstone(id=id_, time=time, recorded_time=time)
            if record is None
            else writer.message(record, id=id_, time=time, recorded_time=time)
        )
        key_bytes = record_key(binding.key)(key if record is None and key is not None else record or {})
        return self.log.store(Message(binding.topic, key_bytes, value, headers, timestamp_ms, partition))

    def store(self, message: Message) -> InputMessage:
        """Store raw bytes, such as a poison message."""
        return self.log.store(message)

    def run(self, sizes: Iterable[int] = (), *, crash_after: int | None = None) -> Counts:
        """Process everything that is there.

        Args:
            sizes: how many messages of a partition each batch takes, in turn; then as many as there are.
            crash_after: let the process be killed once this many messages are delivered.

        Raises:
            Crash: it was; call `restart` and run again.
        """
        self.log.crash_after = crash_after
        counts, sized = Counts(), iter(sizes)
        while True:
            waits, batches = self.worker.look(), self._next(sized)
            if not (waits or batches):
                break
            counts.add(self.worker.process(batches))
        self.log.crash_after = None
        return counts

    def restart(self) -> None:
        """Start a new process that takes all partitions up from what was delivered."""
        self.log.restart()
        self.worker = self._taken_up()

    def redrive(self, wanted: Callable[[QuarantinedEvent], bool] = lambda _: True) -> list[QuarantinedEvent]:
        """Bring quarantined events back, as `meshport redrive` does; `run` takes them in.

        Args:
            wanted: which of those that were not redriven since they were set aside.
        """
        topic = self.plan.redrive_topic
        last = {quarantined_event(*each[3:6]).origin: each.offset for each in self.outputs(topic)}
        chosen = list(filter(wanted, to_redrive([quarantined_event(*each[3:6]) for each in self.quarantine()], last)))
        for event in chosen:
            self.log.store(redrive_message(topic, event))
        return chosen

    def outputs(self, topic: str | None = None) -> list[InputMessage]:
        """The messages of the output topic, or another, partition by partition."""
        return [message for partition in self.log.topic(topic or self.plan.output.topic) for message in partition]

    def events(self) -> list[Event]:
        """The events of the output port."""
        reader = EventReader(self.ports)
        return [reader.read(*message.parts) for message in self.outputs()]

    def records(self) -> list[Any]:
        """The data of the output's events; None for a tombstone."""
        return [event.data for event in self.events()]

    def table(self) -> dict[str, Any]:
        """The last record of each key of the output port; keys with a tombstone are left out."""
        rows = {(event.key or b"").decode(): event.data for event in self.events()}
        return {key: row for key, row in rows.items() if row is not None}

    def late(self) -> list[InputMessage]:
        """What went to the late port."""
        return self.outputs(self.plan.late_topic)

    def quarantine(self) -> list[InputMessage]:
        """What went to the quarantine."""
        return self.outputs(self.plan.quarantine_topic)

    def _taken_up(self) -> Worker:
        worker = Worker(self.plan, self.ports, self.log, look_s=0)
        for stage in self.plan.stages:
            for partition in range(stage.partitions):
                worker.assign(TopicPartition(stage.topic, partition))
        return worker

    def _next(self, sizes: Iterator[int]) -> dict[TopicPartition, Sequence[InputMessage]]:
        batches: dict[TopicPartition, Sequence[InputMessage]] = {}
        for (topic, partition), offset in self.worker.next_offsets.items():
            waiting = self.log.kept(self.log.topic(topic)[partition][offset:])
            if waiting:
                batches[TopicPartition(topic, partition)] = waiting[: max(1, next(sizes, len(waiting)))]
        return batches


def _full(text: str) -> Address:
    address = Address.parse(text)
    return address if address.major else address.at(address.port or "events", 1)
