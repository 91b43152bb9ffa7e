"""A publisher whose cluster does not exist: every event that it is handed ends as unknown."""

from __future__ import annotations

import json
from typing import Any

from meshport.address import Address
from meshport.binding import Binding
from meshport.ports.publisher import Publisher
from meshport.schema import parse_schema
from tests.connections import Connections
from tests.mesh_session import READING


class Nowhere:
    """A resolver whose cluster does not exist, of one product."""

    def __init__(self, product: str = "nowhere") -> None:
        schema = parse_schema(json.dumps(READING))
        self._binding = Binding(
            address=Address.parse(f"mesh://tests/{product}/events@1"),
            bootstrap_servers="127.0.0.1:1",
            topic="nowhere",
            partitions=1,
            key=("sensor",),
            time="at",
            type="t",
            subject="s",
            schema_id=1,
            fingerprint=schema.fingerprint,
            schema_text=schema.text,
            owner="tests",
        )

    def resolve(self, address: Address) -> Binding:  # noqa: ARG002 - there is one
        """The binding."""
        return self._binding


def nowhere(product: str = "nowhere", /, **properties: Any) -> Publisher:
    """A publisher to nowhere; an event is given up after five minutes unless `properties` say otherwise.

    A test that reads the metrics of a port names a product of its own: they are those of all publishers of the port.
    """
    kafka = Connections({name.replace("_", "."): value for name, value in properties.items()})
    return Publisher(f"tests/{product}", Nowhere(product), kafka=kafka)
