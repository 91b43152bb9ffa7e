"""A registered port whose topic tests fill message by message, and contracts for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.compat.contract import Version
from meshport.event import EventWriter, new_id
from meshport.gate.evidence import Cause, Evidence
from meshport.gate.proof import prove
from meshport.gate.sampling import Sample
from meshport.kafka.producer import Message, Producer
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = ("phone", "speaker", "car")


def play(*more: Mapping[str, Any], kinds: Iterable[str] = KINDS) -> Schema:
    """The contract of the tests, with these fields more and an enum of these symbols."""
    fields = [
        {"name": "number", "type": "long"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": list(kinds)}},
        *more,
    ]
    return parse_schema(json.dumps({"type": "record", "name": "Play", "namespace": "tests", "fields": fields}))


def optional(name: str) -> dict[str, Any]:
    """A field that every reader may lack."""
    return {"name": name, "type": ["null", "string"], "default": None}


REQUIRED = {"name": "must", "type": "string"}
WITHOUT_CAR = play(kinds=KINDS[:2])


@dataclass
class Port:
    """A registered port whose topic the tests fill, message by message.

    Attributes:
        mesh: that it is in.
        product: as it stands now.
        versions: of its schema so far.
    """

    mesh: Mesh
    product: Product
    versions: tuple[Version, ...] = ()

    def become(self, schema: Schema) -> Binding:
        """Register this schema as its next version."""
        self.versions = (*self.versions, Version(len(self.versions) + 1, schema))
        if len(self.versions) == 1:
            contracts = {(each.name, each.major): schema for each in self.product.output_ports}
            return self.mesh.apply(ProjectProduct(self.product, self.mesh.folder, contracts))
        self.mesh.registry.register(self.product, {"events@1": schema}, bootstrap_servers=self.mesh.bootstrap_servers)
        return self.binding

    def prove(self, candidate: Schema, sample: Sample | None = None, **more: Any) -> Evidence:
        """The proof of a candidate."""
        return prove(
            self.binding,
            candidate,
            self.mesh.registry,
            kafka=CONNECTIONS,
            versions=self.versions,
            sample=sample or Sample(),
            **more,
        )

    @property
    def binding(self) -> Binding:
        """Its binding now."""
        with Registry(self.mesh.url) as registry:
            return registry.resolve(self.product.address)

    def message(self, number: int, kind: str = "phone", *, partition: int = 0, at: datetime | None = None) -> Message:
        """An event as our own writer makes it with the port's present schema."""
        binding = self.binding
        value, headers = self._writer(binding).message(
            {"number": number, "kind": kind}, id=new_id(), time=at or BEGIN + timedelta(minutes=number)
        )
        stamp = None if at is None else int(at.timestamp() * 1000)
        return Message(binding.topic, b"k", value, headers, stamp, partition)

    def messages(self, which: Iterable[int], *, partition: int = 0) -> list[Message]:
        """Such events of these numbers, their kinds in turn."""
        binding = self.binding
        writer = self._writer(binding)
        made = (
            writer.message({"number": each, "kind": KINDS[each % 3]}, id=new_id(), time=BEGIN, recorded_time=BEGIN)
            for each in which
        )
        return [Message(binding.topic, b"k", value, headers, None, partition) for value, headers in made]

    def store(self, messages: Iterable[Message]) -> None:
        """Store messages, in their order."""
        with Producer(self.mesh.kafka) as producer:
            producer.deliver(list(messages))

    @staticmethod
    def _writer(binding: Binding) -> EventWriter:
        codec = codec_for(Schema(binding.schema_text))
        return EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=binding.schema_id)


def port(mesh: Mesh, schema: Schema | None = None) -> Port:
    """A port of four partitions that no other test has."""
    product = Product.model_validate(
        {
            "address": f"mesh://tests/evidence-{uuid4().hex[:8]}",
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "key": "number", "partitions": 4}],
        }
    )
    made = Port(mesh, product)
    made.become(schema or play())
    return made


def offsets(evidence: Evidence, cause: Cause | None = None) -> list[tuple[int, int]]:
    """(partition, offset) of the failures."""
    return [(each.partition, each.offset) for each in evidence.failures if cause in {None, each.cause}]
