"""What happened in the tests' mesh before: versions, a waiver, requests for access."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from meshport.catalog import WaiverRequest
from meshport.product import Product
from meshport.product.lines import utc_today
from meshport.registry import Registry
from tests.registry.schemas import product, schema

GATES: Final = "mesh://operations/gates"
_TIME: Final = {"type": "long", "logicalType": "timestamp-millis"}


def gates() -> Product:
    """Return a product whose contract has a past."""
    return product(
        GATES,
        displayName="Gates",
        description="Which flight is at which gate.",
        owner="flight-operations",
        outputPorts=[{"key": "gate"}],
    )


def register_past(registry: Registry) -> None:
    """Register the three versions of the gates; the third one is a breaking change that was waived."""
    gate = {"name": "gate", "type": "string", "doc": "Its number."}
    flight = {"name": "flight_id", "type": {"type": "string", "polyseme": "flight_id"}}
    stand = {"name": "stand", "type": "string", "doc": "Where the aircraft stands."}
    at = {"name": "at", "type": _TIME}
    closed = {"name": "closed", "type": ["null", "string"], "default": None, "doc": "Why nobody may board."}
    documented = gate | {"doc": "The number of the gate, as on its sign: B12."}
    for fields in ((gate, flight, stand, at), (documented, flight, stand, at, closed)):
        registry.register(gates(), {"events@1": schema(*fields, name="operations.Gate")})
    registry.waive(
        WaiverRequest.model_validate(
            {
                "address": f"{GATES}/events@1",
                "rule": "READER_FIELD_MISSING_DEFAULT_VALUE",
                "path": "stand",
                "approver": "Ada",
                "reason": "nobody reads the stand, says the survey",
                "until": (utc_today() + timedelta(days=30)).isoformat(),
            }
        )
    )
    registry.register(gates(), {"events@1": schema(documented, flight, at, closed, name="operations.Gate")})
