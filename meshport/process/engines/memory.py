"""A processor in memory: real bytes, no broker, and a kill at any point of a test's choice.

    harness = Harness(pipeline, output="shop/revenue-by-customer", ports=ports)
    harness.publish("shop/orders", {"customer": "c-1", "cents": 1200, ...})
    harness.run()
    assert harness.table() == {...}

Codec, stages, delivery protocol and restore are those of the other engines. `MemoryLog` holds the topics, and can end a
delivery after any number of messages, as a kill would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from meshport.address import Address
from meshport.codec import codec_for
from meshport.event import Event, EventReader, writer_for
from meshport.event.record import event_time, record_key
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.engines.memory_log import MemoryLog
from meshport.process.engines.memory_ports import Port, PortRegistry, Ports, full_address
from meshport.process.logic.pipeline import Pipeline
from meshport.process.runtime.quarantine import QuarantinedEvent, quarantined_event
from meshport.process.runtime.redrive import redrive_message, to_redrive
from meshport.process.runtime.worker import Worker
from meshport.process.stages.partition import Counts
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan, make_plan


class Harness:
    """Runs one pipeline over topics in memory.

    Args:
        pipeline: the logic.
        output: the address of the port that it builds.
        ports: every port that it reads or builds, by address; or a registry of them.
        log: the topics; by default the harness has empty ones of its own.
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
        self.plan: Plan = make_plan(pipeline, full_address(output), self.ports)
        for stage in self.plan.stages:
            self.log.partitions |= {stage.topic: stage.partitions, stage.changelog: stage.partitions}
        self.log.partitions[self.plan.redrive_topic] = self.plan.redrive_partitions
        self.worker = self._new_worker()
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
            time: the event time; by default that of the port's time field.
            id: of the event; by default a new one.
            key: the key fields of a tombstone.
            partition: by default that of its key.
            timestamp_ms: the Kafka timestamp; by default none.
        """
        binding = self.ports.resolve(Address.parse(address))
        schema = self.ports.by_id(binding.schema_id)
        writer = writer_for(binding, codec_for(schema))
        self._published += 1
        id_ = id or f"event-{self._published}"
        if time is None:
            time = event_time(binding.time, schema)(record or {})
        value, headers = (
            writer.tombstone(id=id_, time=time, recorded_time=time)
            if record is None
            else writer.message(record, id=id_, time=time, recorded_time=time)
        )
        key_bytes = record_key(binding.key, schema)(key if record is None and key is not None else record or {})
        return self.log.store(Message(binding.topic, key_bytes, value, headers, timestamp_ms, partition))

    def store(self, message: Message) -> InputMessage:
        """Store raw bytes, such as a poison message."""
        return self.log.store(message)

    def run(self, sizes: Iterable[int] = (), *, crash_after: int | None = None) -> Counts:
        """Process everything that is stored.

        Args:
            sizes: the number of messages of a partition in each batch, in turn; afterwards all that wait.
            crash_after: kill the process after this many delivered messages.

        Raises:
            Crash: the process was killed; call `restart` and run again.
        """
        self.log.crash_after = crash_after
        counts, sized = Counts(), iter(sizes)
        while True:
            waits, batches = self.worker.look(), self._next_batches(sized)
            if not (waits or batches):
                break
            counts.add(self.worker.process(batches))
        self.log.crash_after = None
        return counts

    def restart(self) -> None:
        """Start a new process that restores all partitions from what was delivered."""
        self.log.restart()
        self.worker = self._new_worker()

    def redrive(self, wanted: Callable[[QuarantinedEvent], bool] = lambda _: True) -> list[QuarantinedEvent]:
        """Redrive quarantined events, as `meshport redrive` does; `run` processes them.

        Args:
            wanted: selects among the events that were not redriven since they were quarantined.
        """
        topic = self.plan.redrive_topic
        last = {quarantined_event(*each.parts[:3]).origin: each.offset for each in self.outputs(topic)}
        quarantine = [quarantined_event(*each.parts[:3]) for each in self.quarantine()]
        chosen = list(filter(wanted, to_redrive(quarantine, last)))
        for event in chosen:
            self.log.store(redrive_message(topic, event))
        return chosen

    def outputs(self, topic: str | None = None) -> list[InputMessage]:
        """Return the messages of the output topic, or of another topic, partition by partition."""
        return [message for partition in self.log.topic(topic or self.plan.output.topic) for message in partition]

    def events(self) -> list[Event]:
        """Return the events of the output port."""
        reader = EventReader(self.ports)
        return [reader.read(*message.parts) for message in self.outputs()]

    def records(self) -> list[Any]:
        """Return the data of the output port's events; None for a tombstone."""
        return [event.data for event in self.events()]

    def table(self) -> dict[str, Any]:
        """Return the last record of each key of the output port, without keys whose last record is a tombstone."""
        rows = {(event.key or b"").decode(): event.data for event in self.events()}
        return {key: row for key, row in rows.items() if row is not None}

    def late(self) -> list[InputMessage]:
        """Return the messages of the late topic."""
        return self.outputs(self.plan.late_topic)

    def quarantine(self) -> list[InputMessage]:
        """Return the messages of the quarantine topic."""
        return self.outputs(self.plan.quarantine_topic)

    def _new_worker(self) -> Worker:
        worker = Worker(self.plan, self.ports, self.log, look_s=0)
        for stage in self.plan.stages:
            for partition in range(stage.partitions):
                worker.assign(TopicPartition(stage.topic, partition))
        return worker

    def _next_batches(self, sizes: Iterator[int]) -> dict[TopicPartition, Sequence[InputMessage]]:
        batches: dict[TopicPartition, Sequence[InputMessage]] = {}
        for (topic, partition), offset in self.worker.next_offsets.items():
            waiting = self.log.kept(self.log.topic(topic)[partition][offset:])
            if waiting:
                batches[TopicPartition(topic, partition)] = waiting[: max(1, next(sizes, len(waiting)))]
        return batches
