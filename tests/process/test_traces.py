"""One trace from the publisher of an event over processors to a reader."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from meshport.event import Event, trace
from meshport.process.wire.input import InputMessage
from meshport.project.project import FOLDERS
from meshport.testing import MemoryMesh
from tests.mesh_session import READING
from tests.testing.declared import write
from tests.tracing import Spans, tree

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
READINGS, WARM, PEAKS, HOURS = "weather/readings", "weather/warm", "weather/peaks", "weather/hours"
PORT: dict[str, Any] = {"name": "events", "key": "sensor", "time": "at", "partitions": 1}
PEAK: dict[str, Any] = {
    "type": "record",
    "name": "Peak",
    "fields": [{"name": "place", "type": "string"}, {"name": "peak", "type": ["null", "double"], "default": None}],
}
HOUR: dict[str, Any] = {
    "type": "record",
    "name": "Hour",
    "fields": [{"name": "sensor", "type": "string"}, {"name": "readings", "type": "long"}],
}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ZEROS = b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"


@pytest.fixture
def mesh(tmp_path: Path) -> MemoryMesh:
    """Readings, the warm ones of them, the peaks of these by another key, and the readings of each hour."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    write(tmp_path, READINGS, READING, PORT)
    write(
        tmp_path,
        WARM,
        READING,
        PORT,
        inputPorts=[{"address": f"mesh://{READINGS}"}],
        process={"input": f"mesh://{READINGS}", "steps": [{"filter": "celsius > 20"}]},
    )
    write(
        tmp_path,
        PEAKS,
        PEAK,
        {"name": "events", "key": "place", "cleanup": "compact"},
        inputPorts=[{"address": f"mesh://{WARM}"}],
        process={
            "input": f"mesh://{WARM}",
            "steps": [
                {"derive": {"place": "note or 'nowhere'"}},
                {"aggregate": {"by": ["place"], "values": {"peak": "max(celsius)"}}},
            ],
        },
    )
    window = {"by": ["sensor"], "window": {"tumbling": "1h"}, "emit": "close", "values": {"readings": "count()"}}
    write(
        tmp_path,
        HOURS,
        HOUR,
        {"name": "events", "key": "sensor"},
        inputPorts=[{"address": f"mesh://{READINGS}"}],
        process={
            "lateness": "1m",
            "input": f"mesh://{READINGS}",
            "steps": [{"aggregate": window}, {"select": ["sensor", "readings"]}],
        },
    )
    return MemoryMesh(tmp_path, now=NOON)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """The spans that the library makes."""
    collected = Spans()
    monkeypatch.setattr(trace, "_tracer", lambda: collected.tracer)
    yield collected
    collected.close()


def reading(*, minute: int = 0, **more: Any) -> dict[str, Any]:
    """A warm reading."""
    return {"sensor": "s1", "at": NOON + timedelta(minutes=minute), "celsius": 25.0, "note": "roof"} | more


def own(message: InputMessage) -> list[tuple[str, bytes]]:
    """The headers of a message."""
    return [(name, value) for name, value in message.headers if value is not None]


def ids(event: Event) -> list[str]:
    """The ids of an event's trace and span."""
    return event.extensions["traceparent"].split("-")[1:3]


def test_one_trace_from_publish_to_reader(mesh: MemoryMesh, spans: Spans) -> None:
    """Two processors, the second with another key, and a reader: each span is below that of the event that it comes from."""
    with spans.tracer.start_as_current_span("POST /readings"):
        mesh.publish(READINGS, reading())
    mesh.run()
    (peak,) = mesh.events(PEAKS)
    with peak.traced("show the peak"):
        pass
    assert tree(spans.finished) == [
        "POST /readings",
        f"  publish mesh://{READINGS}/events@1",
        f"    process mesh://{HOURS}/events@1",
        f"    process mesh://{WARM}/events@1",
        f"      publish mesh://{WARM}/events@1",
        f"        process mesh://{PEAKS}/events@1",
        f"        process mesh://{PEAKS}/events@1",
        f"          publish mesh://{PEAKS}/events@1",
        "            show the peak",
    ]
    assert len({each.context.trace_id for each in spans.finished if each.context}) == 1
    shown = next(each for each in spans.finished if each.name == "show the peak")
    assert dict(shown.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": mesh.registry.resolve(PEAKS).topic,
        "messaging.destination.partition.id": str(peak.partition),
        "messaging.kafka.offset": peak.offset,
        "messaging.message.id": peak.id,
    }


def test_without_an_sdk_the_trace_is_carried_on(mesh: MemoryMesh) -> None:
    """A derived event has the very trace context of its event, since no span was made between them."""
    parent = api.NonRecordingSpan(
        api.SpanContext(int(PARENT[3:35], 16), int(PARENT[36:52], 16), is_remote=True, trace_flags=api.TraceFlags(1))
    )
    with api.use_span(parent):
        mesh.publish(READINGS, reading())
    mesh.run()
    for address in (READINGS, WARM, PEAKS):
        (event,) = mesh.events(address)
        assert event.extensions == {"traceparent": PARENT}


def test_a_closed_window_belongs_to_the_event_that_closed_it(mesh: MemoryMesh, spans: Spans) -> None:
    """A window without a trace of its own is closed by a traced event, whose trace its output has."""
    mesh.publish(READINGS, reading())
    with spans.tracer.start_as_current_span("POST /readings"):
        mesh.publish(READINGS, reading(minute=600))
    mesh.run()
    (hour,) = mesh.events(HOURS)
    (last,) = mesh.events(READINGS)[1:]
    assert ids(hour)[0] == ids(last)[0]


def test_untraced_events_stay_so(mesh: MemoryMesh, spans: Spans) -> None:
    """An event that was published outside of a trace has none, nor has what is derived from it; there is no span."""
    mesh.publish(READINGS, reading())
    mesh.run()
    for address in (READINGS, WARM, PEAKS):
        assert not [each for each in mesh.events(address) if each.extensions]
    assert spans.finished == ()
    (peak,) = mesh.events(PEAKS)
    with peak.traced("show the peak"):
        assert not api.get_current_span().get_span_context().is_valid


def test_a_trace_that_is_not_sampled_is_not_carried(mesh: MemoryMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events have no trace context, so that processors go on computing them by columns."""
    none = Spans(ALWAYS_OFF)
    monkeypatch.setattr(trace, "_tracer", lambda: none.tracer)
    with none.tracer.start_as_current_span("POST /readings"):
        mesh.publish(READINGS, reading())
    (event,) = mesh.events(READINGS)
    assert event.extensions == {}
    none.close()


@pytest.mark.parametrize(
    "given",
    [b"", b"00-1", b"\xff\xfe", ZEROS, PARENT.encode() * 100, b"ff" + PARENT[2:].encode()],
    ids=["empty", "short", "no UTF-8", "zeros", "long", "version ff"],
)  # fmt: skip
def test_a_header_that_is_no_trace_context(mesh: MemoryMesh, spans: Spans, given: bytes) -> None:
    """An event whose `traceparent` cannot be read is processed like one without it."""
    port = mesh.registry.resolve(READINGS)
    mesh.publish(READINGS, reading())
    (message,) = mesh.messages(READINGS)
    mesh.publish_bytes(READINGS, message.value, key=message.key, headers=[*own(message), ("traceparent", given)])
    mesh.run()
    assert port.topic
    assert len(mesh.events(WARM)) == 2
    assert spans.finished == ()


def test_the_header_of_an_instrumented_client(mesh: MemoryMesh, spans: Spans) -> None:
    """A message with a Kafka header `traceparent`, which instrumented producers write, is in that trace as well."""
    mesh.publish(READINGS, reading())
    (message,) = mesh.messages(READINGS)
    headers = [*own(message), ("traceparent", PARENT.encode())]
    mesh.publish_bytes(READINGS, message.value, key=message.key, headers=headers)
    mesh.run()
    assert ids(mesh.events(WARM)[1])[0] == PARENT[3:35]
    assert spans.finished


def test_a_replayed_event_is_linked(mesh: MemoryMesh, spans: Spans) -> None:
    """The trace of a replayed event is over: what reads it begins a trace, which names the first one."""
    with spans.tracer.start_as_current_span("POST /readings"):
        mesh.publish(READINGS, reading())
    (event,) = mesh.events(READINGS)
    with event.marked(replayid="r1").traced("count again"):
        pass
    again = next(each for each in spans.finished if each.name == "count again")
    assert again.parent is None
    assert [f"{each.context.trace_id:032x}" for each in again.links] == [ids(event)[0]]


def test_a_failing_handler_is_seen(mesh: MemoryMesh, spans: Spans) -> None:
    """An exception within `Event.traced` is recorded in its span, and raised."""
    with spans.tracer.start_as_current_span("POST /readings"):
        mesh.publish(READINGS, reading())
    (event,) = mesh.events(READINGS)
    with pytest.raises(ZeroDivisionError), event.traced("divide"):
        _ = 1 / 0
    assert spans.finished[-1].status.is_ok is False


def test_a_process_without_opentelemetry(mesh: MemoryMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing has imported OpenTelemetry there is no trace, and publishing does not import it."""
    monkeypatch.delitem(sys.modules, trace.API)
    mesh.publish(READINGS, reading())
    assert trace.log_fields() == {}
    assert trace.API not in sys.modules


def test_the_ids_of_a_log_line(spans: Spans) -> None:
    """Within a span a line of the log has its ids; outside, none."""
    assert trace.log_fields() == {}
    with spans.tracer.start_as_current_span("POST /readings") as span:
        context = span.get_span_context()
        assert trace.log_fields() == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
