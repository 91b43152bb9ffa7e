"""The reference mesh with no broker: its own contracts, pipelines and world over topics in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from meshport.address import Address
from meshport.codec import codec_for
from meshport.event import Envelope, Event, EventReader, EventWriter
from meshport.kafka.producer import Message
from meshport.ports.publisher import event_time, record_key
from meshport.process.engines.memory import Crash, Harness, Port
from meshport.process.logic.load import load_pipeline
from meshport.process.wire.input import InputMessage
from meshport.project.project import Project, ProjectProduct
from meshport.project.recount import Verdict, compare, load_recount, sources_behind
from meshport.project.sources import Occurrence
from meshport.schema import Schema

ROOT = Path(__file__).parents[2]


def ports_of(project: Project, partitions: Mapping[str, int] | None = None) -> dict[str, Port]:
    """Every port of a project as the harness takes it; `partitions` overrides the counts by product."""
    found = {}
    for each in project.products:
        for port in each.product.output_ports:
            found[each.product.port_address(port).key] = Port(
                each.schema(port).form,
                port.key_fields,
                port.time,
                (partitions or {}).get(each.product.address.key, port.partitions),
                port.cleanup,
            )
    return found


class MemoryMesh:
    """Every derived product of a project on its own harness, each fed with what those before it gave.

    Args:
        project: whose products.
        partitions: counts that differ from the descriptors', by product.
    """

    def __init__(self, project: Project, *, partitions: Mapping[str, int] | None = None) -> None:
        self.project = project
        ports = ports_of(project, partitions)
        self.harnesses: dict[Address, Harness] = {
            each.product.address: Harness(
                load_pipeline(each.product, each.folder), output=each.product.address.key, ports=ports
            )
            for each in project.products
            if each.product.process
        }
        self._any = next(iter(self.harnesses.values()))
        self._read = EventReader(self._any.ports).read
        self._writers: dict[Address, tuple[EventWriter, Schema]] = {}
        self._fed: dict[tuple[Address, str, int], int] = {}

    def publish(self, address: Address, occurrence: Occurrence) -> None:
        """Store one occurrence on a source's port, as the publisher would."""
        binding = self._any.ports.resolve(address)
        if address not in self._writers:
            schema = self._any.ports.by_id(binding.schema_id)
            writer = EventWriter(
                source=str(binding.address), type=binding.type, codec=codec_for(schema), schema_id=binding.schema_id
            )
            self._writers[address] = writer, schema
        writer, schema = self._writers[address]
        record: Mapping[str, Any] = occurrence.record or {}
        time = event_time(binding.time, schema)(record)
        value, headers = writer.message(record, id=occurrence.id, time=time, recorded_time=occurrence.recorded)
        message = Message(binding.topic, record_key(binding.key)(record), value, headers)
        for harness in self.harnesses.values():
            harness.store(message)

    def run(self, random: Random | None = None, *, kill: bool = False) -> None:
        """Let the processors work: each in turn and to the end, or, with `random`, some of them and in odd batches.

        With `kill`, a processor may die after any message that it delivers, and is started again.
        """
        for address, harness in self.harnesses.items():
            self._feed(address, harness)
            if random is None:
                harness.run()
            elif random.random() < 0.6:
                sizes = [random.randrange(1, 60) for _ in range(random.randrange(1, 40))]
                try:
                    harness.run(sizes, crash_after=random.randrange(400) if kill and random.random() < 0.5 else None)
                except Crash:
                    harness.restart()

    def events(self, address: Address) -> list[Event]:
        """The events of a product's port, each partition in its order."""
        made = self.harnesses.get(address, self._any)
        return [self._event(each) for each in made.outputs(made.ports.resolve(address).topic)]

    def verdict(self, product: ProjectProduct) -> Verdict:
        """How a derived product compares to its recount."""
        address = product.product.address
        function = load_recount(product)
        assert function is not None, f"{address} brings no recount"
        sources = {str(source): self.events(source) for source in sources_behind(product, self.project)}
        return compare(address, self._any.ports.resolve(address), function(sources), self.events(address))

    def _feed(self, address: Address, harness: Harness) -> None:
        """Hand on what the product's inputs have given since the last time, partition by partition."""
        inputs: Iterable[Address] = [port.address for port in self.project.product(address).product.input_ports]
        for source in inputs:
            giver = self.harnesses.get(source)
            if giver is None:
                continue  # a source's events were stored for every harness
            topic = giver.plan.output.topic
            for number, messages in enumerate(giver.log.topic(topic)):
                place = (address, topic, number)
                for message in messages[self._fed.get(place, 0) :]:
                    harness.store(Message(topic, message.key, message.value, message.headers, None, number))
                self._fed[place] = len(messages)

    def _event(self, message: InputMessage) -> Event:
        return self._read(*message[3:6], *message[:3], message.timestamp_ms)


def event(data: Mapping[str, Any], time: Any, *, id: str, partition: int = 0, offset: int = 0) -> Event:
    """An event made by hand, as a recount gets it."""
    return Event(envelope=Envelope("", ""), id=id, time=time, data=dict(data), partition=partition, offset=offset)


def in_order(events: Sequence[Event]) -> list[Event]:
    """The events with the offsets of their order, each partition counted by itself."""
    offsets: dict[int, int] = {}
    for each in events:
        each.offset = offsets.get(each.partition, -1) + 1
        offsets[each.partition] = each.offset
    return sorted(events, key=lambda each: (each.partition, each.offset))
