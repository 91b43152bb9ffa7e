"""What observers report of processors, and of their quarantined events, to the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from meshport.address import Address
from meshport.catalog import Removal
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.processor_reports import KeptEvents, PartitionBacklog, ProcessorReport, ProcessorState
from meshport.quarantine_report import QuarantineEntry, QuarantineReport
from meshport.registry import Registry
from tests.registry.schemas import plays, product, schema

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = datetime(2100, 1, 1, tzinfo=UTC)
PORT = Address.parse("charts/plays-by-user/events@1")
PLAYS = Address.parse("player/plays/events@1")


def charts(registry: Registry) -> Any:
    """Register plays, and a product that a processor makes of them; return the latter's descriptor."""
    registry.register(*plays())
    counts = product(
        "mesh://charts/plays-by-user",
        "mesh://player/plays",
        archetype="aggregate",
        outputPorts=[{"key": "user"}],
        process={"input": "mesh://player/plays", "steps": [{"select": ["user"]}]},
    )
    registry.register(counts, {"events@1": schema("user")})
    return counts


def report(at: datetime = NOON, *, members: int | None = 2, until: datetime = LONG, events: int = 3) -> ProcessorReport:
    """Return a report of the processor."""
    return ProcessorReport(
        at=at,
        valid_until=until,
        group="meshport.process.charts.plays-by-user.events.v1",
        members=members,
        events=events,
        seconds=1.5,
        partitions=(PartitionBacklog(topic="player.plays.events.v1", partition=0, events=events, seconds=1.5),),
        quarantined=KeptEvents(events=2, redriven=1),
    )


def quarantined(at: datetime = NOON) -> QuarantineReport:
    """Return the report of one quarantined event."""
    entry = QuarantineEntry(
        topic="player.plays.events.v1",
        partition=0,
        offset=7,
        source=PLAYS,
        error="EventError",
        reason="'x' is no long",
        key=b"mia".hex(),
        value=b"<script>".hex(),
        key_bytes=3,
        value_bytes=8,
    )
    return QuarantineReport(address=PORT, at=at, sources=(PLAYS,), entries=(entry,))


def test_the_newest_report_says_whether_a_processor_runs(registry: Registry) -> None:
    """A report replaces an older one; `since` is kept while the state is; one that has ended says nothing about the present."""
    counts = charts(registry)
    processors = registry.processors
    assert processors.of(PORT).report is None
    assert processors.report(PORT, report()).state is ProcessorState.RUNNING
    later = processors.report("charts/plays-by-user/events", report(NOON + timedelta(seconds=20), events=9))
    assert (later.since, later.report and later.report.events) == (NOON, 9)
    assert processors.report(PORT, report()) == later  # it came late
    stopped = processors.report(PORT, report(NOON + timedelta(seconds=40), members=0))
    assert (stopped.state, stopped.since) == (ProcessorState.STOPPED, NOON + timedelta(seconds=40))
    hidden = processors.report(PORT, report(NOON + timedelta(seconds=50), members=None))
    assert hidden.state is ProcessorState.UNKNOWN
    ended = NOON + timedelta(seconds=60)
    gone = processors.report(PORT, report(ended, until=ended))
    assert (gone.state, gone.report and gone.report.state) == (ProcessorState.UNKNOWN, ProcessorState.RUNNING)
    after = processors.report(PORT, report(ended + timedelta(minutes=5)))
    assert after.since == ended + timedelta(minutes=5)  # nobody saw it meanwhile
    assert processors.of(PORT) == after
    registry.drop(counts.id, Removal(unused=("charts.plays-by-user.events.v1",)))
    with pytest.raises(NotRegistered):
        processors.of(PORT)


def test_reports_of_what_is_no_processor_are_refused(registry: Registry) -> None:
    """A product without `process` has none, a report ends after it begins, and a quarantine is of the port that it names."""
    charts(registry)
    with pytest.raises(RegistrationRefused, match="player/plays declares no `process`"):
        registry.processors.report(PLAYS, report())
    with pytest.raises(RegistrationRefused, match="is valid until"):
        registry.processors.report(PORT, report(until=NOON - timedelta(seconds=1)))
    with pytest.raises(NotRegistered):
        registry.processors.report("charts/nothing/events@1", report())


def test_the_newest_quarantine_is_kept(registry: Registry, http: httpx2.Client) -> None:
    """A report replaces an older one, one of another port or of bytes that are none is refused, and none has an audit entry."""
    charts(registry)
    with pytest.raises(NotRegistered, match="no observer reported the quarantine"):
        registry.processors.quarantine(PORT)
    before = http.get("/api/v1/audit").json()["head"]["number"]
    newer = registry.processors.report_quarantine(quarantined(NOON + timedelta(minutes=1)))
    assert registry.processors.report_quarantine(quarantined()) == newer
    assert registry.processors.quarantine("charts/plays-by-user/events") == newer
    assert http.get("/api/v1/audit").json()["head"]["number"] == before
    path = "/api/v1/quarantine/charts/plays-by-user/events"
    other = quarantined().model_copy(update={"address": PLAYS})
    answer = http.put(path, content=other.model_dump_json(), headers={"content-type": "application/json"})
    assert (answer.status_code, "player/plays/events@1" in answer.json()["message"]) == (422, True)
    for wrong in ({"value": "xyz"}, {"value": "00" * 1025}, {"key": "0"}):
        body = quarantined().model_dump(mode="json")
        body["entries"][0] |= wrong
        assert http.put(path, json=body).status_code == 422


def test_a_reader_of_the_output_alone_sees_no_input() -> None:
    """Of a product that the caller may not read, neither bytes nor a reason that may quote them is returned."""
    other = quarantined().entries[0].model_copy(update={"source": None, "window": "mia 2026-03-01"})
    whole = quarantined().model_copy(update={"entries": (*quarantined().entries, other)})
    assert whole.for_reader_of([PLAYS.of_product]) == whole
    seen = whole.for_reader_of([])
    assert seen.withheld == "you may not read mesh://player/plays"
    why = "you may not read mesh://player/plays"
    assert [(each.key, each.value, each.reason, each.window, each.withheld) for each in seen.entries] == [
        (None, None, "", None, why),
        (None, None, "", "", why),
    ]
    assert [(each.error, each.offset, each.value_bytes) for each in seen.entries] == [("EventError", 7, 8)] * 2
    own = whole.model_copy(
        update={"entries": whole.entries[:1], "sources": (PLAYS, Address.parse("crm/people/rows@1"))}
    )
    partly = own.for_reader_of([PLAYS.of_product])
    assert (partly.entries[0].value, partly.entries[0].reason) == (b"<script>".hex(), "")
