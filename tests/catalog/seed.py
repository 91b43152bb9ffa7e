"""The mesh that the tests of the catalog look at: this repository's products, and some of an airline."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from meshport.address import Address
from meshport.catalog import Deprecation
from meshport.product import Product
from meshport.project.project import Project
from meshport.registry import Registry
from meshport.schema import Schema
from tests.catalog.past import register_past
from tests.catalog.processors import register_processors
from tests.registry.schemas import product, schema
from tests.repository import ROOT

FLIGHT = {"name": "flight_id", "type": {"type": "string", "polyseme": "flight_id"}, "doc": "One flight on one day."}
AIRPORT = {"name": "airport", "type": {"type": "string", "polyseme": "airport"}, "doc": "IATA code of the airport."}
TIME = {"type": "long", "logicalType": "timestamp-millis"}

DEPARTURES = schema(
    FLIGHT,
    AIRPORT,
    {"name": "scheduled_at", "type": TIME, "doc": "When it was to leave, UTC."},
    {"name": "left_at", "type": ["null", TIME], "default": None, "doc": "When it left; none while it is at the gate."},
    {"name": "gate", "type": ["null", "string"], "default": None},
    {"name": "cause", "type": {"type": "enum", "name": "Cause", "symbols": ["NONE", "WEATHER", "CREW", "TECHNICAL"]}},
    name="operations.Departure",
)
DELAYS = schema(
    AIRPORT,
    {"name": "hour", "type": TIME, "doc": "The hour, by its start."},
    {"name": "flights", "type": "long"},
    {"name": "mean_delay_s", "type": "double", "doc": "Seconds, of those that left late."},
    name="network.Delay",
)
BOOKINGS = schema(
    {"name": "booking_id", "type": "string"},
    FLIGHT,
    {"name": "passenger", "type": "string", "doc": "Name of the passenger.", "classification": "restricted"},
    {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    name="sales.Booking",
)


def airline() -> list[tuple[Product, dict[str, Schema]]]:
    """Return the products of an airline, each after those that it reads."""
    return [
        (
            product(
                "mesh://operations/departures",
                displayName="Departures",
                description="Every departure of the airline: when it was to leave, when it left, and what kept it.",
                owner="flight-operations",
                contact="#flight-operations",
                tags=["flights", "punctuality"],
                outputPorts=[{"key": "flight_id", "time": "scheduled_at", "retention": "30d"}],
                slaProperties=[{"property": "timeliness", "value": 30, "unit": "s"}],
            ),
            {"events@1": DEPARTURES},
        ),
        (
            product(
                "mesh://sales/bookings",
                displayName="Bookings",
                description="Seats that passengers booked.",
                owner="sales",
                tags=["sales"],
                classification="restricted",
                requiredSecurityGroup="sales-readers",
                outputPorts=[{"key": "booking_id"}],
            ),
            {"events@1": BOOKINGS},
        ),
        (
            product(
                "mesh://network/delays-by-airport",
                "mesh://operations/departures:airport,scheduled_at,left_at",
                displayName="Delays by airport",
                description="How late flights leave each airport, hour by hour.",
                owner="network-planning",
                tags=["punctuality", "charts"],
                outputPorts=[{"key": ["airport", "hour"], "time": "hour", "cleanup": "compact"}],
            ),
            {"events@1": DELAYS},
        ),
        (
            product(
                "mesh://network/old-delays",
                "mesh://operations/departures",
                displayName="Delays (until 2025)",
                description="Delays as they were counted before.",
                owner="network-planning",
                outputPorts=[{"key": "airport"}],
            ),
            {"events@1": DELAYS},
        ),
    ]


def register_mesh(registry: Registry) -> None:
    """Register the mesh of these tests."""
    for each in Project(ROOT).products:
        schemas = {f"{port}@{major}": found for (port, major), found in each.schemas.items()}
        registry.register(each.product, schemas)
    for one, schemas in airline():
        registry.register(one, schemas)
    register_past(registry)
    register_processors(registry)
    old = registry.product(Address("network", "old-delays"))
    registry.deprecate(
        UUID(old.guid), Deprecation(on=date(2030, 6, 30), successor=Address("network", "delays-by-airport"))
    )
