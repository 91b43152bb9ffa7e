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
    """A resolver whose cluster does not exist."""

    def __init__(self) -> None:
        schema = parse_schema(json.dumps(READING))
        self._binding = Binding(
            address=Address.parse("mesh://tests/nowhere/events@1"),
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


def nowhere(**properties: Any) -> Publisher:
    """A publisher to nowhere; an event is given up after five minutes unless `properties` say otherwise."""
    kafka = Connections({name.replace("_", "."): value for name, value in properties.items()})
    return Publisher("tests/nowhere", Nowhere(), kafka=kafka)
