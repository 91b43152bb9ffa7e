"""What an observer found of the processors in the tests' mesh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from meshport.address import Address
from meshport.processor_reports import KeptEvents, PartitionBacklog, ProcessorReport
from meshport.quarantine_report import QuarantineEntry, QuarantineReport
from meshport.registry import Registry
from tests.registry.schemas import product, schema

PUNCTUALITY: Final = Address.parse("mesh://network/punctuality/events@1")
DEPARTURES: Final = Address.parse("mesh://operations/departures/events@1")
TOPIC: Final = "operations.departures.events.v1"
LOOKED: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
LONG: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Until when the reports of these tests count: a state of the present must not depend on when they run."""


def report(address: Address, members: int, *, at: datetime = LOOKED, until: datetime = LONG) -> ProcessorReport:
    """Return the report of a processor that is some events behind."""
    group = f"meshport.process.{address.domain}.{address.product}.events.v1"
    partitions = [
        PartitionBacklog(
            topic=TOPIC,
            partition=number,
            events=events,
            seconds=seconds,
            client=f"processor-{number % members}" if members else None,
        )
        for number, (events, seconds) in enumerate([(9, 3.2), (3, 0.4), (0, 0.0)])
    ]
    return ProcessorReport(
        at=at,
        valid_until=until,
        group=group,
        members=members,
        clients=tuple(f"processor-{number}" for number in range(members)),
        events=12,
        seconds=3.2,
        partitions=(*partitions, PartitionBacklog(topic=f"{address.domain}.again", partition=0)),
        quarantined=KeptEvents(events=3, redriven=1),
        late=KeptEvents(events=1),
    )


def entry(offset: int, key: bytes | None, value: bytes | None, *, reason: str, error: str | None) -> QuarantineEntry:
    """Return a quarantined departure, or a late one where there is no error."""
    return QuarantineEntry(
        late=error is None,
        topic=TOPIC,
        partition=offset % 3,
        offset=offset,
        stored_at=LOOKED - timedelta(minutes=offset),
        source=DEPARTURES,
        error=error,
        reason=reason,
        key=None if key is None else key[:1024].hex(),
        value=None if value is None else value[:1024].hex(),
        key_bytes=None if key is None else len(key),
        value_bytes=None if value is None else len(value),
    )


def quarantined() -> QuarantineReport:
    """Return three quarantined departures, whose bytes are hostile, and a late one."""
    hostile = '{"flight_id": "<script>alert(1)</script>", "airport": "\'\\"></pre><img src=x>"}'
    entries = (
        entry(7, b"ZRH", hostile.encode(), reason="field airport: <b>'x'</b> is no IATA code", error="EventError"),
        entry(8, b"\xff\x00k", b"\x00\x01\xfe<script>" * 300, reason="no schema has the id 99", error="SchemaNotFound"),
        entry(9, None, b"", reason="the value is empty", error="EventError").model_copy(update={"redriven": True}),
        entry(5, b"GVA", "Genève \u202egpj.exe".encode(), reason="behind the watermark", error=None),
    )
    return QuarantineReport(address=PUNCTUALITY, at=LOOKED, sources=(DEPARTURES,), entries=entries)


def register_processors(registry: Registry) -> None:
    """Register a product that a processor makes of the departures, and report on it; and on one of whom nothing may be shown."""
    declared = product(
        "mesh://network/punctuality",
        "mesh://operations/departures:airport,scheduled_at",
        archetype="aggregate",
        displayName="Punctuality",
        description="How many flights were to leave each airport.",
        owner="network-planning",
        outputPorts=[{"key": "airport"}],
        process={"input": "mesh://operations/departures", "steps": [{"select": ["airport"]}]},
    )
    registry.register(declared, {"events@1": schema("airport")})
    registry.processors.report(PUNCTUALITY, report(PUNCTUALITY, 0))
    registry.processors.report_quarantine(quarantined())
    plays = Address.parse("mesh://player/plays/events@1")
    artists = Address.parse("mesh://listening/plays-by-artist/events@1")
    registry.processors.report(artists, report(artists, 2))
    why = "mesh://player/plays is confidential"
    secret = QuarantineEntry(
        topic="player.plays.events.v1",
        partition=0,
        offset=4,
        source=plays,
        error="EventError",
        key_bytes=4,
        value_bytes=2048,
        withheld=why,
    )
    registry.processors.report_quarantine(
        QuarantineReport(address=artists, at=LOOKED, sources=(plays,), withheld=why, entries=(secret,))
    )
