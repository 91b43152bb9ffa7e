"""A whole mesh in memory: registry, gate, topics and processors in one process, for a project's own tests.

    def test_delays(meshport_mesh):
        mesh = meshport_mesh  # the project around the test, applied
        mesh.publish("operations/departures", {"airport": "KSFO", "delay": 11, "at": datetime(2001, 2, 3, tzinfo=UTC)})
        mesh.run()
        assert [event.data["max_delay"] for event in mesh.events("network/delays-by-airport")] == [11]

Nothing runs by itself: `run` processes what was published, `advance` moves the clock. Events are real messages, encoded and
decoded by the ports' contracts, and processors are those that Kafka would run, with their changelogs. What only brokers do
(rebalancing, retention, transactions) does not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from meshport.address import Address
from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.errors import ProjectError, PublishError
from meshport.event import ContractReader, Event, new_id, reader_for, writer_for
from meshport.event.record import event_time, record_key, retraction_key
from meshport.kafka.producer import Message
from meshport.ports.subscriber import BadEvent
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import MemoryLog
from meshport.process.logic.load import load_pipeline
from meshport.process.runtime.quarantine import QuarantinedEvent, quarantined_event
from meshport.process.stages.partition import Counts
from meshport.process.wire.input import InputMessage
from meshport.product import Status
from meshport.product.duration import parse_duration
from meshport.project.apply import carry_out, plan
from meshport.project.project import Project, ProjectProduct
from meshport.project.recount import RecountVerdict, recount_product
from meshport.schema import Schema, parse_schema
from meshport.testing.moments import Moment, instant_of
from meshport.testing.registry import MemoryRegistry
from meshport.testing.subscription import MemorySubscription, Positions
from meshport.testing.topics import MemoryTopics

# librdkafka's default of `message.max.bytes`, against which it checks key, value and headers together.
_MAX_MESSAGE_BYTES: Final = 1_000_000


class MemoryMesh:
    """A mesh in memory.

    Args:
        project: whose products are applied, or a folder in it; None begins without products.
        now: the time on the mesh's clock; by default the current time. It stands still until it is moved.
        partitions: partition counts that differ from the descriptors', by address of a product.

    Attributes:
        registry: resolves addresses, and judges each change of a contract.
        project: the project that was applied last; None before the first.

    Raises:
        MeshError: as `apply`.
    """

    def __init__(
        self,
        project: Project | Path | None = None,
        *,
        now: Moment | None = None,
        partitions: Mapping[str, int] | None = None,
    ) -> None:
        self._now = datetime.now(UTC).replace(microsecond=0) if now is None else instant_of("now", now)
        self.registry = MemoryRegistry(self._today)
        self.project: Project | None = None
        self._partitions = dict(partitions or {})
        self._topics = MemoryTopics()
        self._processors: dict[Address, Harness] = {}
        self._positions: dict[str, Positions] = {}
        self._writers: dict[Address, _PortWriter] = {}
        if project is not None:
            self.apply(project if isinstance(project, Project) else Project.find(project))

    # --- the clock

    @property
    def now(self) -> datetime:
        """The time on the mesh's clock, in UTC.

        Events are recorded at it, a port without a time field takes it as the event time, and its day decides which
        major line is live. Windows close by the event times of later events, as on Kafka, not by the clock.
        """
        return self._now

    @now.setter
    def now(self, moment: Moment) -> None:
        self._now = instant_of("now", moment)

    def advance(self, length: timedelta | str) -> datetime:
        """Move the clock on by a length of time, such as `90s`, `1h` or `30d`; return the new time."""
        self._now += parse_duration(length) if isinstance(length, str) else length
        return self._now

    # --- the project

    def apply(self, project: Project) -> None:
        """Register a project's products and make their topics as `meshport apply` does; all of them, or none.

        A project that was applied before is brought up to date: a new contract becomes a version that the gate judges
        against every earlier version, and a changed process continues with its state.

        Raises:
            ProcessError, DescriptorError, SchemaError: a product is invalid.
            RegistrationRefused: the gate refuses a change of a contract, or an input is not registered.
            TopicError: a product's partitions have changed.
        """
        products = [self._with_partitions(each) for each in project.products]
        for planned in plan(products, self.registry, self._topics):
            carry_out(planned, self.registry, self._topics)
        self.project = project
        for each in products:
            if each.product.process is not None:
                self._processors[each.product.address] = Harness(
                    load_pipeline(each.product, each.folder),
                    output=each.product.port_address(each.product.port() or each.product.default_port).key,
                    ports=self.registry,
                    log=self._topics.log.shared(),
                )

    # --- writing

    def publish(
        self,
        address: Address | str,
        record: Mapping[str, Any],
        *,
        id: str | None = None,
        time: datetime | None = None,
        subject: str | None = None,
        partition: int | None = None,
    ) -> str:
        """Publish one event; what is refused, and with which error, is as with `meshport.Publisher.publish`.

        Args:
            address: of the port.
            record: the event's data, by the port's schema.
            id: of the event; by default a random one.
            time: the event time; by default the port's time field, else the clock.
            subject: CloudEvents' subject.
            partition: by default the one of its key.

        Returns:
            The event's id.

        Raises:
            NotRegistered: there is no such port.
            EncodeError: the record does not fit the schema.
            EventError: id, time or subject make no CloudEvent.
            PublishError: the port is retired, the record has no key though the port is keyed, the message is larger than
                the client sends, or the port has no such partition.
        """
        port = self._writer(address)
        port.writer.check(id=id, time=time, subject=subject, extensions=None)
        moment = port.time(record, self._now) if time is None else time
        made = new_id() if id is None else id
        value, headers = port.writer.message(record, id=made, time=moment, recorded_time=self._now, subject=subject)
        self._store(port, port.key(record), value, headers, partition)
        return made

    def retract(
        self, address: Address | str, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None
    ) -> str:
        """Publish a tombstone, which deletes the row of its key on a compacted port; as `meshport.Publisher.retract`.

        Args:
            address: of the port.
            key: the key fields and their values.
            id: as in `publish`.
            time: the event time; by default the clock.

        Raises:
            PublishError: the port has no key, or a key field has no value.
        """
        port = self._writer(address)
        if not port.binding.key:
            raise PublishError(
                f"{port.binding.address} has no key, so that nothing of it can be retracted",
                hint="an event that tells of the end",
            )
        port.writer.check(id=id, time=time, subject=None, extensions=None)
        made = new_id() if id is None else id
        value, headers = port.writer.tombstone(id=made, time=time or self._now, recorded_time=self._now)
        self._store(port, port.retraction_key(key), value, headers, None)
        return made

    def publish_bytes(
        self,
        address: Address | str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> None:
        """Store a message as it is, such as one that is no event."""
        self._store(self._writer(address), key, value, [*headers], partition)

    def run(self) -> None:
        """Run every processor until no published event is waiting."""
        moved = True
        while moved:
            moved = False
            for processor in self._processors.values():
                moved = processor.run() != Counts() or moved

    # --- reading

    def events(self, address: Address | str) -> list[Event]:
        """Return the events of a port in the order in which they were stored; `data` is None of a tombstone.

        Raises:
            NotRegistered: there is no such port.
            DecodeError, EventError: a message is no event of the port.
        """
        read = reader_for(self.registry.resolve(address), self.registry).read
        return [read(*each.parts) for each in self.messages(address)]

    def latest(self, address: Address | str) -> dict[str, Any]:
        """Return the last record of each key, as a reader of a compacted port holds them; deleted keys are left out.

        By the record key's text: the field's, or several fields' joined by `|` (`KSFO|2001-02-03T04:00:00Z`).
        """
        rows = {(event.key or b"").decode(): event.data for event in self.events(address)}
        return {key: row for key, row in rows.items() if row is not None}

    def messages(self, address: Address | str) -> list[InputMessage]:
        """Return the messages of a port byte for byte, in the order in which they were stored."""
        return self._stored(self.registry.resolve(address).topic)

    def subscribe(
        self,
        address: Address | str,
        *,
        group: str | None = None,
        reader: Schema | None = None,
        on_bad: Callable[[BadEvent], None] | None = None,
    ) -> MemorySubscription:
        """Subscribe to a port: an iterator over the events that the group has not read, which ends where they end.

        Args:
            address: of the port.
            group: whose position is kept in the mesh; None reads everything, and keeps its position in the subscription.
            reader: the schema to decode into; by default each event keeps the one it was written with.
            on_bad: gets each message that cannot be read; without it the error is raised, and the position stays.
        """
        binding = self.registry.resolve(address)
        positions: Positions = {} if group is None else self._positions.setdefault(group, {})
        return MemorySubscription(
            binding, lambda: self._stored(binding.topic), positions, reader_for(binding, self.registry, reader), on_bad
        )

    def compact(self, address: Address | str) -> None:
        """Compact a port's topic as Kafka does at some time: only the last record of each key is left, no tombstone.

        Raises:
            PublishError: the port is not compacted.
        """
        binding = self.registry.resolve(address)
        if binding.cleanup != "compact":
            raise PublishError(f"{binding.address} is not compacted", hint="cleanup: compact")
        self._topics.log.compact(binding.topic)

    # --- processors

    def late(self, address: Address | str) -> list[QuarantinedEvent]:
        """Return the events of a derived product's input that came later than its `lateness` allows."""
        return self._quarantined_in(self.processor(address).plan.late_topic)

    def quarantined(self, address: Address | str) -> list[QuarantinedEvent]:
        """Return the events that a derived product could not process, each with the reason."""
        return self._quarantined_in(self.processor(address).plan.quarantine_topic)

    def redrive(
        self, address: Address | str, wanted: Callable[[QuarantinedEvent], bool] = lambda _: True
    ) -> list[QuarantinedEvent]:
        """Bring quarantined events back, as `meshport redrive` does; `run` processes them.

        Args:
            address: of the derived product.
            wanted: which of those that were not redriven since.

        Returns:
            The events that were brought back.
        """
        return self.processor(address).redrive(wanted)

    def restart(self, address: Address | str) -> None:
        """Drop a derived product's processor with its state in memory; its successor restores the state from the changelog."""
        self.processor(address).restart()

    def processor(self, address: Address | str) -> Harness:
        """Return the processor of a derived product.

        Raises:
            ProjectError: no product of that address has a process.
        """
        asked = Address.parse(address) if isinstance(address, str) else address
        found = self._processors.get(asked.of_product)
        if found is None:
            raise ProjectError(f"{asked.of_product} has no process that runs here")
        return found

    def recount(self, address: Address | str) -> RecountVerdict:
        """Compare a derived product with its `recount.py`; call `run` before.

        Raises:
            ProjectError: the product has no recount, or it fails.
        """
        asked = Address.parse(address) if isinstance(address, str) else address
        if self.project is None:
            raise ProjectError("no project was applied")
        return recount_product(self.project.product(asked), self.project, self.registry.resolve, self._by_partition)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the mesh; there is nothing to close."""

    def _today(self) -> date:
        return self._now.date()

    def _by_partition(self, address: Address) -> list[Event]:
        binding = self.registry.resolve(address)
        read = reader_for(binding, self.registry, ContractReader(Schema(binding.schema_text))).read
        events = (read(*each.parts) for each in self.messages(address))
        return sorted(events, key=lambda event: (event.partition, event.offset))

    def _with_partitions(self, product: ProjectProduct) -> ProjectProduct:
        count = self._partitions.get(product.product.address.key)
        if count is None:
            return product
        ports = tuple(each.model_copy(update={"partitions": count}) for each in product.product.output_ports)
        return replace(product, product=product.product.model_copy(update={"output_ports": ports}))

    def _writer(self, address: Address | str) -> _PortWriter:
        binding = self.registry.resolve(address)
        if binding.status is Status.RETIRED:
            raise PublishError(f"{binding.address} is retired", hint=f"its successor: {binding.successor}")
        known = self._writers.get(binding.address)
        if known is None or known.binding is not binding:
            known = self._writers[binding.address] = _PortWriter(binding)
        return known

    def _store(
        self, port: _PortWriter, key: bytes | None, value: bytes | None, headers: Any, partition: int | None
    ) -> None:
        binding = port.binding
        if partition is not None and not 0 <= partition < binding.partitions:
            raise PublishError(
                f"{binding.address} has no partition {partition}", hint=f"it has {binding.partitions}, counted from 0"
            )
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(each) for name, each in headers)
        if size > _MAX_MESSAGE_BYTES:
            raise PublishError(
                f"an event for {binding.topic} was refused: Unable to produce message: Broker: Message size too large "
                "(MSG_SIZE_TOO_LARGE)"
            )
        timestamp = int(self._now.timestamp() * 1000)
        self._topics.log.store(Message(binding.topic, key, value, headers, timestamp, partition))

    def _stored(self, topic: str) -> list[InputMessage]:
        log: MemoryLog = self._topics.log
        return log.kept(each for each in log.stored if each.topic == topic)

    def _quarantined_in(self, topic: str) -> list[QuarantinedEvent]:
        return [quarantined_event(each.key, each.value, each.headers) for each in self._stored(topic)]


class _PortWriter:
    """Encodes the events of one port."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        schema = parse_schema(binding.schema_text, source=f"the schema of {binding.address}")
        self.writer = writer_for(binding, codec_for(schema))
        self.key = record_key(binding.key, schema)
        self.retraction_key = retraction_key(binding.key, schema)
        self._time = event_time(binding.time, schema) if binding.time else None

    def time(self, record: Mapping[str, Any], now: datetime) -> datetime:
        """Return the event time that a record gives, or the clock's."""
        return now if self._time is None else self._time(record)
