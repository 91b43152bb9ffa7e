"""What happened in the tests' mesh before: versions, a waiver, requests for access."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from meshport.address import Address
from meshport.catalog import WaiverRequest
from meshport.event import Envelope, Event
from meshport.observe.profile import PortProfiler
from meshport.port_profile import PortProfile
from meshport.product import Product
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport.schema import Schema
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
    registry.waivers.record(
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
    newest = schema(documented, flight, at, closed, name="operations.Gate")
    registry.register(gates(), {"events@1": newest})
    registry.service_levels.report_profile(gates_profile(newest))


def gates_profile(contract: Schema) -> PortProfile:
    """Return the profile of a thousand events of the gates."""
    profiler = PortProfiler(Address.parse(f"{GATES}/events@1"), contract, "internal")
    reasons = ("late <b>crew</b>", "de-icing", "closed for the night; opens at five")
    for number in range(1000):
        at = datetime(2026, 3, 1, 5, tzinfo=UTC) + timedelta(seconds=number * 50 + number**2 / 40)
        data = {
            "gate": f"B{number % 23}",
            "flight_id": f"XY{number}",
            "at": at,
            "closed": reasons[number % 3] if number % 40 == 0 else None,
        }
        envelope = Envelope(f"{GATES}/events", "operations.gates.events.v1")
        profiler.add(
            Event(envelope=envelope, id=f"gate-{number}", time=at, data=data, partition=number % 4, offset=number)
        )
    return profiler.profile(datetime(2026, 3, 2, 8, tzinfo=UTC))
