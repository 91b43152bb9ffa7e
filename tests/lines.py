"""Products with two major lines: readings in degrees Celsius, and the same in kelvins, with a migration between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.event.record import record_key
from meshport.event.writer import EventWriter
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import Schema, parse_schema
from tests.connections import client_settings
from tests.mesh_session import READING, Mesh
from tests.ports.readings import reading
from tests.waiting import PATIENCE_S

FIELDS: Final = {"kelvin": "celsius + 273.15", "label": 'coalesce(note, "none")'}
"""The migration of the first line."""
_KEPT: Final = ("sensor", "at")
KELVIN: Final[dict[str, Any]] = {
    **READING,
    "name": "Measured",
    "fields": [
        *(each for each in READING["fields"] if each["name"] in _KEPT),
        {"name": "kelvin", "type": "double"},
        {"name": "label", "type": "string"},
        {"name": "unit", "type": "string", "default": "K"},
    ],
}
"""The contract of the second line."""


@dataclass(frozen=True)
class TwoLines:
    """A product with two lines.

    Attributes:
        first: the binding of line 1.
        second: the binding of line 2.
    """

    first: Binding
    second: Binding


def two_lines(
    mesh: Mesh,
    until: datetime,
    *,
    fields: Mapping[str, str] = FIELDS,
    contract: Mapping[str, Any] = KELVIN,
    first: Mapping[str, Any] | None = None,
    **port: Any,
) -> TwoLines:
    """Apply a product whose line 2 reads the events of line 1 that were recorded before a time.

    Args:
        mesh: the mesh.
        until: the time.
        fields: the migration.
        contract: of line 2.
        first: further keys of line 1.
        port: further keys of both lines.
    """
    both = {"name": "events", "key": "sensor", "time": "at", "partitions": 2, **port}
    migration = {"until": until.isoformat(), "fields": dict(fields)}
    product = Product.model_validate(
        {
            "address": f"mesh://tests/lines-{uuid4().hex[:8]}",
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [both | dict(first or {}), both | {"major": 2, "migration": migration}],
        }
    )
    schemas = {("events", 1): _schema(READING), ("events", 2): _schema(contract)}
    mesh.apply(ProjectProduct(product, mesh.folder, schemas))
    lines = [mesh.registry.resolve(product.address.at("events", major)) for major in (1, 2)]
    return TwoLines(*lines)


def _schema(form: Mapping[str, Any]) -> Schema:
    return parse_schema(json.dumps(form))


def publish_then(binding: Binding, numbers: Iterable[int], recorded: datetime) -> None:
    """Publish readings as they were recorded at a time, a second after each other."""
    schema = parse_schema(binding.schema_text)
    writer = EventWriter(
        source=str(binding.address), type=binding.type, codec=codec_for(schema), schema_id=binding.schema_id
    )
    key = record_key(binding.key, schema)
    for position, number in enumerate(numbers):
        record, at = reading(number), recorded + timedelta(seconds=position)
        value, headers = writer.message(record, id=f"r{number}", time=record["at"], recorded_time=at)
        publish_raw(binding, key(record), value, dict(headers), at)


def publish_raw(
    binding: Binding, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes], recorded: datetime
) -> None:
    """Publish a message as it was recorded at a time."""
    producer = ClientProducer({**client_settings(binding.bootstrap_servers), "partitioner": "murmur2_random"})
    at = int(recorded.timestamp() * 1000)
    producer.produce(binding.topic, value, key, headers=[*headers.items()], timestamp=at)
    assert producer.flush(PATIENCE_S) == 0


def kelvins(number: int) -> dict[str, Any]:
    """The record of a number in the second line."""
    old = reading(number)
    return {
        "sensor": old["sensor"],
        "at": old["at"],
        "kelvin": old["celsius"] + 273.15,
        "label": "none",
        "unit": "K",
    }


def ago(minutes: float) -> datetime:
    """Return the time so many minutes ago."""
    return datetime.now(UTC) - timedelta(minutes=minutes)
