"""The ports of a test, and a registry of them in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from meshport.address import Address, subject_name, topic_name
from meshport.binding import Binding
from meshport.errors import NotRegistered
from meshport.event import SchemaSource
from meshport.ports.resolver import Resolver
from meshport.schema import Schema, parse_schema


@dataclass(frozen=True)
class Port:
    """A port of a test.

    Attributes:
        schema: Avro as JSON data.
        key: the fields of the record key.
        time: the field of the event time; None: `publish` takes it as an argument.
        partitions: the number of partitions.
        cleanup: `delete` or `compact`.
        type: the CloudEvents type; by default the topic's name.
        versions: other versions of the schema that events are written with, as JSON data.
    """

    schema: Mapping[str, Any]
    key: tuple[str, ...] = ()
    time: str | None = None
    partitions: int = 1
    cleanup: str = "delete"
    type: str | None = None
    versions: tuple[Mapping[str, Any], ...] = ()


class PortRegistry(Resolver, SchemaSource, Protocol):
    """The bindings and schemas of some ports."""

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The binding of each port."""


class Ports:
    """A registry in memory: ports by address, schemas by id and fingerprint.

    Args:
        ports: by address.
        bootstrap_servers: of the cluster that holds the topics; "" without a cluster.
        prefix: of the name of each topic, so that tests can share a cluster.
    """

    def __init__(self, ports: Mapping[str, Port], *, bootstrap_servers: str = "", prefix: str = "") -> None:
        self._bindings: dict[Address, Binding] = {}
        self._schemas: dict[int, Schema] = {}
        for text, port in ports.items():
            address = full_address(text)
            number = self._add(port.schema, address)
            for version in port.versions:
                self._add(version, address)
            schema = self._schemas[number]
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

    def _add(self, form: Mapping[str, Any], address: Address) -> int:
        number = len(self._schemas) + 1
        self._schemas[number] = parse_schema(json.dumps(form), source=str(address))
        return number

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The binding of each port."""
        return tuple(self._bindings.values())

    def resolve(self, address: Address) -> Binding:
        """Return the binding of a port; of a bare product, that of its first port."""
        for known, binding in self._bindings.items():
            if address in (known, known.of_product):
                return binding
        raise NotRegistered(f"the test has no port {address}")

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema of a numeric id."""
        if schema_id not in self._schemas:
            raise NotRegistered(f"the test has no schema {schema_id}")
        return self._schemas[schema_id]

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """Return the schema of a fingerprint."""
        for schema in self._schemas.values():
            if schema.fingerprint == fingerprint:
                return schema
        raise NotRegistered(f"the test has no schema {fingerprint}")

    def by_guid(self, guid: UUID) -> Schema:
        """Raise `NotRegistered`: the schemas of a test have no GUID."""
        raise NotRegistered(f"the test has no schema {guid}")


def full_address(text: str) -> Address:
    """Return an address with port and major: `events` and 1 where the text has none."""
    address = Address.parse(text)
    return address if address.major else address.at(address.port or "events", 1)
