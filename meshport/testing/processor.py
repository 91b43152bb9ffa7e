"""Tests of a project's processors on real bytes, for whoever writes products: no Kafka, no registry, no clock.

    from meshport.testing import ProcessorTest

    def test_departures_are_counted() -> None:
        test = ProcessorTest("network/delays-by-airport")
        test.give("operations/departures", {"airport": "KSFO", "delay": 11}, at="2001-02-03T04:05:06Z")
        test.give("operations/departures", {"airport": "KSFO", "delay": 3}, at="2001-02-03T04:50:00Z")
        assert [record["max_delay"] for record in test.records()] == [11, 11]

What is given is encoded by the port's contract as a publisher does, runs through the processor as it would be deployed,
and is decoded from the output's bytes. Events arrive one at a time, in the order in which they are given.

Time is the test's. How far it has come is told by the events of each input partition alone, as on Kafka: a window closes
when a later event arrives *in its partition* (events of one key share one; `partition=` names another), and where a
processor brings the events of several partitions together, once every one of them has gone past it. So there is nothing
to wait for and nothing to advance but by `give`; `partitions={"operations/departures": 1}` makes one partition of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.codec.jsonform import from_json
from meshport.errors import EventError, ProcessError, ProjectError, PublishError
from meshport.event import Event, EventReader, EventWriter
from meshport.event.attributes import rfc3339
from meshport.kafka.producer import Message
from meshport.ports.publisher import event_time, record_key
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

__all__ = ["InputMessage", "Port", "ProcessorTest", "QuarantinedEvent"]

Moment = str | date | datetime
"""ISO 8601 text (UTC where it names no zone), a datetime with a zone, or a date (its midnight, UTC)."""


class ProcessorTest:
    """One processor of a project, alone with what the test gives it.

    Args:
        address: of the derived product; with `/<port>@<major>` one of its lines.
        project: the project, or a folder in it; by default the one that the working directory stands in.
        ports: contracts of the inputs that the project does not hold itself, by address.
        partitions: counts that differ from the descriptors', by address of a product.
        today: the day (UTC) that decides which line an address without a major means; by default the current one. It
            matters only while a product has two lines beside each other.

    Raises:
        ProjectError: there is no such project, product or input.
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
        known = _Known(mesh, ports or {}, partitions or {}, today)
        lines = {each: known.line(each) for each in (self.address, pipeline.input, *pipeline.joined)}
        resolver = _Lines(lines)
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
            record: the data, as a publisher takes it; instants, dates and decimals may be text. Fields that the contract
                gives a default may be left out, and so may the port's time field where `at` is given.
            at: when the fact happened; by default what the port's time field says.
            id: of the event; by default one that is told by its place among all that is given.
            recorded: when it was recorded and stored; by default when it happened.
            partition: by default the one of its key, as every publisher chooses it.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the contract; the message names the field.
            PublishError: the processor reads no such port, or nothing tells the event's key or time.
            EventError: the id or a time is none.
        """
        given = self._input(port)
        moment = None if at is None else _moment("at", at)
        if moment is not None and given.binding.time is not None:
            record = {given.binding.time: rfc3339(moment).decode(), **record}
        data = from_json(given.schema, record)
        time = moment or given.time(data)
        stored = time if recorded is None else _moment("recorded", recorded)
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
        """Publish a tombstone to an input: the row of that key ceases to be.

        Args:
            port: of the input.
            key: the key fields and their values.
            at: when it ceased to be.
            id: as in `give`.
            recorded: as in `give`.

        Returns:
            The event's id.

        Raises:
            PublishError: the processor reads no such port, the port has no key, or a key field has no value.
            EventError: the id or a time is none.
        """
        given = self._input(port)
        if not given.binding.key:
            raise PublishError(f"{given.binding.address} has no key, so that nothing of it can be retracted")
        time = _moment("at", at)
        stored = time if recorded is None else _moment("recorded", recorded)
        id = self._id(id)
        value, headers = given.writer.tombstone(id=id, time=time, recorded_time=stored)
        self._send(given, Message(given.topic, given.key(key), value, headers, to_micros(stored) // 1000))
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
        """Store a message as it is, such as one that is no event at all.

        Raises:
            PublishError: the processor reads no such port.
        """
        given = self._input(port)
        self._send(given, Message(given.topic, key, value, list(headers), None, partition))

    def run(self) -> None:
        """Let the processor handle all that was given. Whatever reads outputs does so first."""
        self._harness.run()
        while self._waiting:
            self._harness.store(self._waiting.pop(0))
            self._harness.run()

    def crash(self, *, after: int | None = None) -> bool:
        """Drop the processor with all that it holds in memory; the next one is restored from the changelog.

        Args:
            after: let it first work on what was given, and die once it has stored this many more messages (outputs, rows
                of its changelog, checkpoints), which may be between an output and the state that knows of it. By default
                it dies at once, with what was given since the last run still to be handled.

        Returns:
            Whether it died in the middle of its work; False where it had no more than `after` messages to store.
        """
        died = after is not None and self._dies(after)
        self._harness.restart()
        return died

    def messages(self) -> list[InputMessage]:
        """The output topic byte for byte, in the order in which it was stored.

        What a crash made the processor store twice is here twice, with the same id; `events` gives it once.
        """
        return self._stored(self._harness.plan.output.topic)

    def events(self) -> list[Event]:
        """The events of the output in the order in which they were made, each once; `data` is None for a tombstone."""
        return [self._read(*each[3:6], *each[:3], each.timestamp_ms) for each in _once(self.messages())]

    def records(self) -> list[Any]:
        """The data of `events`: dicts by the output's contract; None for a tombstone."""
        return [event.data for event in self.events()]

    def latest(self) -> dict[str, Any]:
        """The last record of each key, as a reader of a compacted port holds them; retracted keys are left out.

        By the record key's text: the field's, or several fields' joined by `|` (`KSFO|2001-02-03T04:00:00Z`).

        Raises:
            ProcessError: the output port has no key.
        """
        if not self._harness.plan.output.key:
            raise ProcessError(f"{self._harness.plan.output.address} has no key", hint="records() gives all of them")
        rows = {(event.key or b"").decode(): event.data for event in self.events()}
        return {key: row for key, row in rows.items() if row is not None}

    def late(self) -> list[QuarantinedEvent]:
        """The events that came after the lateness, with the reason; the processor set them aside."""
        return self._aside(self._harness.plan.late_topic)

    def quarantined(self) -> list[QuarantinedEvent]:
        """What could not be processed, with the reason and the class of the error."""
        return self._aside(self._harness.plan.quarantine_topic)

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

    def _aside(self, topic: str) -> list[QuarantinedEvent]:
        return [quarantined_event(each.key, each.value, each.headers) for each in _once(self._stored(topic))]


@dataclass(frozen=True)
class _Known:
    """The contracts that a test knows of."""

    project: Project
    others: Mapping[str, Port]
    partitions: Mapping[str, int]
    today: date | None

    def line(self, address: Address) -> tuple[Address, Port]:
        """The full address that an address leads to, and what is there."""
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


class _Lines(Ports):
    """The ports of one processor; each address leads where the registry would lead it."""

    def __init__(self, lines: Mapping[Address, tuple[Address, Port]]) -> None:
        super().__init__({full.key: port for full, port in lines.values()})
        self._full = {address: full for address, (full, _) in lines.items()}

    def resolve(self, address: Address) -> Binding:
        """The binding of a port."""
        return super().resolve(self._full.get(address, address))

    def schema(self, address: Address) -> Schema:
        """The contract of a port."""
        return self.by_id(self.resolve(address).schema_id)


class _Input:
    """What it takes to publish to one input."""

    def __init__(self, binding: Binding, schema: Schema) -> None:
        self.binding, self.schema, self.topic = binding, schema, binding.topic
        self.writer = EventWriter(
            source=str(binding.address), type=binding.type, codec=codec_for(schema), schema_id=binding.schema_id
        )
        self.key = record_key(binding.key)
        self.time: Callable[[Mapping[str, Any]], datetime] = (
            event_time(binding.time, schema) if binding.time else self._untold
        )

    def _untold(self, _: Mapping[str, Any]) -> datetime:
        raise PublishError(f"{self.binding.address} has no time field", hint="say when it happened: at=...")


def _address(given: Address | str) -> Address:
    return Address.parse(given) if isinstance(given, str) else given


def _means(address: Address, full: Address) -> bool:
    """Whether an address, in which port and major may be left out, can mean the full one."""
    return (
        address.of_product == full.of_product
        and address.port in {None, full.port}
        and address.major in {None, full.major}
    )


def _moment(what: str, given: Moment) -> datetime:
    if isinstance(given, str):
        try:
            parsed = datetime.fromisoformat(given)
        except ValueError:
            raise EventError(f"{what} is {given!r}", hint="ISO 8601: 2001-02-03T04:05:06Z") from None
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if given.tzinfo is None:
        raise EventError(f"{what} is {given!r}, which has no zone", hint="datetime(..., tzinfo=UTC)")
    return given.astimezone(UTC)


def _once(messages: Iterable[InputMessage]) -> list[InputMessage]:
    """Messages without those that a crash made the processor store again: ids and bytes follow from the input alone."""
    first: dict[object, InputMessage] = {}
    for each in messages:
        first.setdefault((each.key, each.value, tuple(each.headers)), each)
    return list(first.values())
