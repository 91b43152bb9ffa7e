"""Test one processor of a project on real bytes, in memory: no Kafka, no registry, no clock.

    from meshport.testing import ProcessorTest

    def test_departures_are_counted() -> None:
        test = ProcessorTest("network/delays-by-airport")
        test.give("operations/departures", {"airport": "KSFO", "delay": 11}, at="2001-02-03T04:05:06Z")
        test.give("operations/departures", {"airport": "KSFO", "delay": 3}, at="2001-02-03T04:50:00Z")
        assert [record["max_delay"] for record in test.records()] == [11, 11]

Events are encoded by the input's contract as a publisher encodes them, processed as they would be on Kafka, and decoded
from the bytes of the output. They arrive one at a time, in the order in which they are given.

Time is event time. The watermark of an input partition advances with the events of that partition, as on Kafka: a window
closes when a later event arrives *in its partition* (events of one key share one; `partition=` names another), and after a
repartition, when the watermark of every source partition has passed its end. So no test waits; `give` alone advances time.
`partitions={"operations/departures": 1}` gives the input a single partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.codec.jsonform import from_json
from meshport.errors import ProcessError, ProjectError, PublishError
from meshport.event import Event, EventReader, writer_for
from meshport.event.attributes import rfc3339
from meshport.event.record import event_time, record_key, retraction_key
from meshport.kafka.producer import Message
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.event_time import to_micros
from meshport.process.logic.load import load_pipeline
from meshport.process.logic.shape import check_pipeline
from meshport.process.runtime.quarantine import QuarantinedEvent, quarantined_event
from meshport.process.wire.input import InputMessage
from meshport.project.project import Project
from meshport.schema import Schema
from meshport.testing.moments import Moment, instant_of

__all__ = ["InputMessage", "Port", "ProcessorTest", "QuarantinedEvent"]


class ProcessorTest:
    """One processor of a project, with the events that a test gives it.

    Args:
        address: of the derived product; with `/<port>@<major>`, of one of its lines.
        project: the project, or a folder in it; by default the project around the working directory.
        ports: the contracts of inputs that belong to other projects, by address.
        partitions: partition counts that differ from the descriptors', by address of a product.
        today: the day (UTC) that decides which major line is live; by default the current one. It matters only for a
            product with two lines.

    Raises:
        ProjectError: the project, product or an input does not exist.
        ProcessError: the product has no process, or one that does not fit its contracts.
    """

    def __init__(
        self,
        address: Address | str,
        *,
        project: Project | Path | None = None,
        ports: Mapping[str, Port] | None = None,
        partitions: Mapping[str, int] | None = None,
        today: date | None = None,
    ) -> None:
        self.address = _address(address)
        mesh = project if isinstance(project, Project) else Project.find(project or Path.cwd())
        product = mesh.product(self.address)
        pipeline = load_pipeline(product.product, product.folder)
        contracts = _Contracts(mesh, ports or {}, partitions or {}, today)
        lines = {each: contracts.line(each) for each in (self.address, pipeline.input, *pipeline.joined)}
        resolver = _ProcessorPorts(lines)
        check_pipeline(
            pipeline,
            resolver.schema(pipeline.input),
            {each: resolver.schema(each) for each in pipeline.joined},
            resolver.schema(self.address),
        )
        self._harness = Harness(pipeline, output=lines[self.address][0].key, ports=resolver)
        self._inputs = {each: _Input(resolver.resolve(each), resolver.schema(each)) for each in lines}
        del self._inputs[self.address]
        self._read = EventReader(resolver).read
        self._waiting: list[Message] = []
        self._given = 0

    def give(
        self,
        port: Address | str,
        record: Mapping[str, Any],
        *,
        at: Moment | None = None,
        id: str | None = None,
        recorded: Moment | None = None,
        partition: int | None = None,
    ) -> str:
        """Publish one event to an input.

        Args:
            port: of the input.
            record: the data, as a publisher takes it; instants, dates and decimals may be text. Fields with a default may be
                left out, and with `at` the port's time field too.
            at: the event time; by default the value of the port's time field.
            id: of the event; by default `given-<n>`, where n counts the events that were given.
            recorded: the recorded time; by default the event time.
            partition: by default the one of its key, as every publisher chooses it.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the contract; the message names the field.
            PublishError: the processor does not read the port, or the event has no key or no time.
            EventError: the id or a time is invalid.
        """
        given = self._input(port)
        moment = None if at is None else instant_of("at", at)
        if moment is not None and given.binding.time is not None:
            record = {given.binding.time: rfc3339(moment).decode(), **record}
        data = from_json(given.schema, record)
        time = moment or given.time(data)
        stored = time if recorded is None else instant_of("recorded", recorded)
        id = self._id(id)
        value, headers = given.writer.message(data, id=id, time=time, recorded_time=stored)
        self._send(given, Message(given.topic, given.key(data), value, headers, to_micros(stored) // 1000, partition))
        return id

    def retract(
        self,
        port: Address | str,
        key: Mapping[str, Any],
        *,
        at: Moment,
        id: str | None = None,
        recorded: Moment | None = None,
    ) -> str:
        """Publish a tombstone to an input, which deletes the row of its key.

        Args:
            port: of the input.
            key: the key fields and their values.
            at: the event time.
            id: as in `give`.
            recorded: as in `give`.

        Returns:
            The event's id.

        Raises:
            PublishError: the processor does not read the port, the port has no key, or a key field has no value.
            EventError: the id or a time is invalid.
        """
        given = self._input(port)
        if not given.binding.key:
            raise PublishError(f"{given.binding.address} has no key, so that nothing of it can be retracted")
        time = instant_of("at", at)
        stored = time if recorded is None else instant_of("recorded", recorded)
        id = self._id(id)
        value, headers = given.writer.tombstone(id=id, time=time, recorded_time=stored)
        self._send(given, Message(given.topic, given.retraction_key(key), value, headers, to_micros(stored) // 1000))
        return id

    def give_bytes(
        self,
        port: Address | str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> None:
        """Store a message as it is, such as one that is no event.

        Raises:
            PublishError: the processor does not read the port.
        """
        given = self._input(port)
        self._send(given, Message(given.topic, key, value, list(headers), None, partition))

    def run(self) -> None:
        """Process all events that were given; every method that reads outputs does so first."""
        self._harness.run()
        while self._waiting:
            self._harness.store(self._waiting.pop(0))
            self._harness.run()

    def crash(self, *, after: int | None = None) -> bool:
        """Drop the processor with its state in memory; its successor restores the state from the changelog.

        Args:
            after: process what was given first, and crash after storing this many more messages (outputs, changelog
                records, checkpoints): possibly between an output and the state row that reflects it. By default the
                processor crashes at once, before it processes what was given since the last run.

        Returns:
            Whether it crashed while processing; False if it had no more than `after` messages to store.
        """
        died = after is not None and self._dies(after)
        self._harness.restart()
        return died

    def messages(self) -> list[InputMessage]:
        """Return the messages of the output topic byte for byte, in the order in which they were stored.

        An output that was stored again after a crash is here twice, with the same id; `events` has it once.
        """
        return self._stored(self._harness.plan.output.topic)

    def events(self) -> list[Event]:
        """Return the events of the output in the order in which they were stored, each once; `data` is None for a tombstone."""
        return [self._read(*each[3:6], *each[:3], each.timestamp_ms) for each in _once(self.messages())]

    def records(self) -> list[Any]:
        """Return the data of `events`: dicts by the output's contract; None for a tombstone."""
        return [event.data for event in self.events()]

    def latest(self) -> dict[str, Any]:
        """Return the last record of each key, as a reader of a compacted port has them; deleted keys are left out.

        By the record key's text: the field's, or several fields' joined by `|` (`KSFO|2001-02-03T04:00:00Z`).

        Raises:
            ProcessError: the output port has no key.
        """
        if not self._harness.plan.output.key:
            raise ProcessError(f"{self._harness.plan.output.address} has no key", hint="records() gives all of them")
        rows = {(event.key or b"").decode(): event.data for event in self.events()}
        return {key: row for key, row in rows.items() if row is not None}

    def late(self) -> list[QuarantinedEvent]:
        """Return the late events: those that were older than the watermark by more than the lateness."""
        return self._quarantined_in(self._harness.plan.late_topic)

    def quarantined(self) -> list[QuarantinedEvent]:
        """Return the events that could not be processed, with the reason and the class of the error."""
        return self._quarantined_in(self._harness.plan.quarantine_topic)

    def _input(self, port: Address | str) -> _Input:
        asked = _address(port)
        if asked in self._inputs:
            return self._inputs[asked]
        found = [each for each in self._inputs.values() if _means(asked, each.binding.address)]
        if len(found) == 1:
            return found[0]
        known = [each.key for each in self._inputs]
        near = nearest(asked.key, known)
        raise PublishError(
            f"{self.address.key} does not read {asked.key}" + (" by that name alone" if found else ""),
            hint=f"did you mean {near}?" if near and not found else f"it reads {', '.join(known)}",
        )

    def _id(self, given: str | None) -> str:
        return f"given-{self._given + 1}" if given is None else given

    def _send(self, given: _Input, message: Message) -> None:
        count = given.binding.partitions
        if message.partition is not None and not 0 <= message.partition < count:
            raise PublishError(
                f"{given.binding.address} has no partition {message.partition}", hint=f"it has {count}, counted from 0"
            )
        self._given += 1
        self._waiting.append(message)

    def _dies(self, left: int) -> bool:
        log = self._harness.log
        while True:
            before = len(log.stored)
            try:
                self._harness.run(crash_after=left)
            except Crash:
                return True
            left -= len(log.stored) - before
            if not self._waiting:
                return False
            self._harness.store(self._waiting.pop(0))

    def _stored(self, topic: str) -> list[InputMessage]:
        self.run()
        return [each for each in self._harness.log.stored if each.topic == topic]

    def _quarantined_in(self, topic: str) -> list[QuarantinedEvent]:
        return [quarantined_event(each.key, each.value, each.headers) for each in _once(self._stored(topic))]


@dataclass(frozen=True)
class _Contracts:
    """The contracts of a project, and those that a test adds."""

    project: Project
    others: Mapping[str, Port]
    partitions: Mapping[str, int]
    today: date | None

    def line(self, address: Address) -> tuple[Address, Port]:
        """Return the full address of the line that an address resolves to, and its port."""
        for text, port in self.others.items():
            full = Address.parse(text)
            full = full if full.major else full.at(full.port or "events", 1)
            if _means(address, full):
                return full, port
        try:
            found = self.project.product(address)
        except ProjectError as error:
            raise ProjectError(
                f"the contract of {address} is not known: {error.message}",
                hint=f'ProcessorTest(..., ports={{"{address.key}": Port(schema, key=..., time=...)}})',
            ) from error
        product = found.product
        line = product.port(address.port, address.major, today=self.today)
        if line is None:
            has = ", ".join(product.port_address(each).key for each in product.output_ports)
            raise ProjectError(f"{product.address} has no line {address.key}", hint=f"it has {has}")
        return product.port_address(line), Port(
            schema=found.schema(line).form,
            key=line.key_fields,
            time=line.time,
            partitions=self.partitions.get(product.address.key, line.partitions),
            cleanup=line.cleanup,
            type=product.event_type(line),
        )


class _ProcessorPorts(Ports):
    """The ports of one processor; an address resolves to the line that the registry would resolve it to."""

    def __init__(self, lines: Mapping[Address, tuple[Address, Port]]) -> None:
        super().__init__({full.key: port for full, port in lines.values()})
        self._full = {address: full for address, (full, _) in lines.items()}

    def resolve(self, address: Address) -> Binding:
        """Return the binding of a port."""
        return super().resolve(self._full.get(address, address))

    def schema(self, address: Address) -> Schema:
        """Return the contract of a port."""
        return self.by_id(self.resolve(address).schema_id)


class _Input:
    """Publishes to one input."""

    def __init__(self, binding: Binding, schema: Schema) -> None:
        self.binding, self.schema, self.topic = binding, schema, binding.topic
        self.writer = writer_for(binding, codec_for(schema))
        self.key = record_key(binding.key, schema)
        self.retraction_key = retraction_key(binding.key, schema)
        self.time: Callable[[Mapping[str, Any]], datetime] = (
            event_time(binding.time, schema) if binding.time else self._no_time
        )

    def _no_time(self, _: Mapping[str, Any]) -> datetime:
        raise PublishError(f"{self.binding.address} has no time field", hint="give the event time: at=...")


def _address(given: Address | str) -> Address:
    return Address.parse(given) if isinstance(given, str) else given


def _means(address: Address, full: Address) -> bool:
    """Whether an address, which may lack port and major, can mean a full one."""
    return (
        address.of_product == full.of_product
        and address.port in {None, full.port}
        and address.major in {None, full.major}
    )


def _once(messages: Iterable[InputMessage]) -> list[InputMessage]:
    """Return messages without those that were stored again after a crash: the ids and bytes of outputs are deterministic."""
    first: dict[object, InputMessage] = {}
    for each in messages:
        first.setdefault((each.key, each.value, tuple(each.headers)), each)
    return list(first.values())
