"""The answers of the tools, as JSON data: what the registry and Kafka say to the caller whose logins are used.

Texts of descriptors, contracts and events are other people's. The answers hold them as data, each under the name of its field,
cut to a bounded size; what the contract classifies as confidential or restricted is masked in samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.compat.contract_fields import contract_fields
from meshport.errors import NotRegistered
from meshport.event import Event
from meshport.kafka.clusters import KafkaAccess
from meshport.observe.masking import SHOWN, Masking
from meshport.ports.history import Missing
from meshport.ports.replay import Offsets, Replay
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema

__all__ = ["MOST_EVENTS", "MOST_FOUND", "MeshTools"]

MOST_FOUND: Final = 50
"""The most products that a search returns."""
MOST_EVENTS: Final = 20
"""The most events of a sample."""
_MOST_FIELDS: Final = 300
_LONGEST: Final = 600


class MeshTools:
    """Answers what assistants ask; nothing that it does changes the mesh.

    Args:
        registry: a client with the caller's login.
        kafka: returns the connections to Kafka with the caller's logins; asked for the first sample, since other tools need none.
    """

    def __init__(self, registry: Registry, kafka: Callable[[], KafkaAccess]) -> None:
        self._registry = registry
        self._kafka = kafka

    def search(self, text: str, limit: int = 10) -> dict[str, Any]:
        """Return the products that have some words, the best first, as the registry's search finds them.

        Args:
            text: words of names, descriptions, fields, documentation, tags, owners or topics; typos are forgiven.
            limit: the most products, `MOST_FOUND` at most.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        page = self._registry.find(text, limit=max(1, min(limit, MOST_FOUND)))
        return {
            "products": [
                {
                    "address": str(each.address),
                    "name": each.display_name,
                    "description": _cut(each.description),
                    "archetype": str(each.archetype),
                    "owner": each.owner,
                    "status": str(each.status),
                    "classification": each.classification,
                    "matching_fields": list(each.fields),
                }
                for each in page.items
            ],
            "total": page.total,
            "read_as": {word: list(others) for word, others in page.read_as.items()},
        }

    def describe(self, address: str) -> dict[str, Any]:
        """Return what a product is: its owner, its ports with their contracts, who reads it, and where it comes from.

        Args:
            address: of the product, or of a port; then of that port alone.

        Raises:
            AddressError: the text is no address.
            NotRegistered: the registry knows no such product.
            RegistryUnavailable: the registry did not answer.
        """
        wanted = Address.parse(address)
        found = self._registry.product(wanted)
        product = found.descriptor
        lineage = self._registry.lineage(wanted.of_product)
        bindings = [each for each in found.bindings if _asked(each, wanted)]
        if not bindings and wanted.port is not None:
            raise NotRegistered(
                f"{wanted.of_product} has no such port", hint=", ".join(str(each.address) for each in found.bindings)
            )
        return {
            "address": str(wanted.of_product),
            "name": found.display_name,
            "description": _cut(found.description),
            "owner": found.owner,
            "archetype": str(product.archetype),
            "classification": product.classification,
            "tags": list(product.tags),
            "ports": [self._port(each) for each in bindings],
            "upstream": [str(each.address) for each in lineage.nodes if each.distance < 0],
            "downstream": [str(each.address) for each in lineage.nodes if each.distance > 0],
        }

    def _port(self, binding: Binding) -> dict[str, Any]:
        fields = contract_fields(parse_schema(binding.schema_text))
        return {
            "address": str(binding.address),
            "status": str(binding.status),
            "deprecated_on": None if binding.deprecated_on is None else str(binding.deprecated_on),
            "successor": None if binding.successor is None else str(binding.successor),
            "topic": binding.topic,
            "partitions": binding.partitions,
            "key": list(binding.key),
            "time": binding.time,
            "service_levels": binding.slo,
            "readers": [str(each.address) for each in self._registry.readers(binding.address)],
            "fields": [
                each.model_dump(mode="json", exclude_defaults=True, include=_FIELD_FACTS)
                | {"doc": _cut(each.doc or "")}
                for each in fields[:_MOST_FIELDS]
            ],
            "fields_left_out": max(0, len(fields) - _MOST_FIELDS),
        }

    def sample(self, address: str, limit: int = 5) -> dict[str, Any]:
        """Return some of the newest events of a port, with the values masked that are not for everyone who may read it.

        Args:
            address: of the port.
            limit: the most events, `MOST_EVENTS` at most.

        Raises:
            AddressError: the text is no address.
            NotRegistered: the registry knows no such port.
            RegistryUnavailable, BrokerUnavailable: no answer.
            KafkaError: Kafka refuses the caller.
        """
        wanted, kafka = Address.parse(address), self._kafka()
        limit = max(1, min(limit, MOST_EVENTS))
        with Replay(wanted, self._registry, missing=Missing.ALLOW, kafka=kafka) as whole:
            begins = {
                partition: max(begin, whole.range.ends[partition] - limit)
                for partition, begin in whole.range.begins.items()
            }
        unreadable = 0

        def bad(_: object) -> None:
            nonlocal unreadable
            unreadable += 1

        with Replay(
            wanted, self._registry, begin=Offsets(each=begins), on_bad=bad, missing=Missing.ALLOW, kafka=kafka
        ) as job:
            binding = job.binding
            events = sorted(job.events(), key=lambda each: each.time, reverse=True)[:limit]
        classification = self._registry.product(binding.address).descriptor.classification
        masking = Masking(Schema(binding.schema_text), classification)
        return {
            "address": str(binding.address),
            "events": [_shown(each, masking, self._keyed_openly(binding, masking)) for each in events],
            "unreadable": unreadable,
        }

    @staticmethod
    def _keyed_openly(binding: Binding, masking: Masking) -> bool:
        """Return whether the key may be shown: it is the text of fields, none of which is masked."""
        hidden = {each.path for each in masking.leaves(_MOST_FIELDS) if each.classification not in SHOWN}
        return not hidden.intersection(binding.key)

    def gate(self, address: str, schema: str) -> dict[str, Any]:
        """Return the compatibility gate's verdict on a changed contract of a port; nothing is registered.

        Args:
            address: of the port.
            schema: the changed Avro schema, as JSON text.

        Raises:
            AddressError: the text is no address.
            SchemaError: the text is no Avro schema.
            NotRegistered: the registry knows no such port.
            RegistryUnavailable: the registry did not answer, which is never a pass.
        """
        binding = self._registry.resolve(Address.parse(address))
        candidate = parse_schema(schema, source="the changed schema")
        found = self._registry.product(binding.address)
        product = found.descriptor
        declared = {(port.name, port.major) for port in product.output_ports}
        schemas = {
            f"{each.address.port}@{each.address.major}": parse_schema(each.schema_text)
            for each in found.bindings
            if (each.address.port, each.address.major) in declared
        }
        schemas[f"{binding.address.port}@{binding.address.major}"] = candidate
        verdicts = self._registry.judge(product, schemas)
        (verdict,) = (each for each in verdicts if each.address == binding.address)
        return {
            "address": str(binding.address),
            "outcome": str(verdict.outcome),
            "level": str(verdict.level),
            "findings": [json.loads(each.model_dump_json(exclude_defaults=True)) for each in verdict.findings],
            "readers": [str(each.address) for each in verdict.readers],
        }


_FIELD_FACTS: Final = {"path", "type", "doc", "optional", "default", "polyseme", "classification", "symbols"}


def _asked(binding: Binding, wanted: Address) -> bool:
    return (wanted.port in {None, binding.address.port}) and (wanted.major in {None, binding.address.major})


def _shown(event: Event, masking: Masking, with_key: bool) -> dict[str, Any]:
    facts = {
        name: value
        for name, value in event.as_dict().items()
        if name not in {"data", "kafkakey", "kafkakeyhex", "subject"}
    }
    key = event.key.decode(errors="replace") if with_key and event.key is not None else None
    return facts | {"kafkakey": key, "data": masking.masked(event.data)}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
