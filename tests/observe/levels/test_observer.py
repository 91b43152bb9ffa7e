"""The observer on a real Kafka: faults of sources in event time, each named in the registry, and what a look reads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.observe.levels.observer import Observer
from meshport.observe.levels.reading import EventReading
from meshport.observe.levels.reporting import Reporting
from meshport.observe.levels.results import RESULTS, register_results, results_product
from meshport.ports.port_writer import PortWriter
from meshport.ports.subscriber import Subscriber
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from meshport.service_levels import LevelState, MeasuredBy
from tests.connections import CONNECTIONS, client_settings
from tests.mesh_session import Mesh
from tests.observe.levels.faulty import FAULTS, HOUR_MS, LEVELS, by_look, healthy, with_fault
from tests.ports.readings import take

pytestmark = pytest.mark.kafka

MINUTE_MS: Final = 60_000
CONTRACT: Final = parse_schema(
    json.dumps(
        {
            "type": "record",
            "name": "Measured",
            "namespace": "tests",
            "fields": [
                {"name": "number", "type": "long"},
                {"name": "celsius", "type": "double"},
                {"name": "room", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            ],
        }
    )
)


def product(mesh: Mesh, name: str, levels: Iterable[Any] = LEVELS) -> Binding:
    """Register a source of two partitions with promises."""
    declared = Product.model_validate(
        {
            "address": f"mesh://sensors-{uuid4().hex[:8]}/{name}",
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "time": "at", "partitions": 2}],
            "slaProperties": [each.model_dump(by_alias=True, exclude_none=True) for each in levels],
        }
    )
    return mesh.apply(ProjectProduct(declared, mesh.folder, {("events", 1): CONTRACT}))


def publish(binding: Binding, readings: Iterable[EventReading]) -> None:
    """Publish readings as of their own time, in turn to the two partitions."""
    writer = PortWriter(binding)
    sending = ClientProducer({**client_settings(binding.bootstrap_servers), "linger.ms": 5, "log_level": 0})
    for index, each in enumerate(readings):
        at = datetime.fromtimestamp((each.time_ms or 0) / 1000, UTC)
        _, value, key, headers = writer.message({**(each.record or {}), "at": at}, id=each.id)
        sending.produce(
            binding.topic, value, key, partition=index % 2, timestamp=each.recorded_ms, headers=list(headers)
        )
    sending.flush()


class Clock:
    """The time of a replay."""

    now_ms = 0

    def __call__(self) -> int:
        """The present."""
        return self.now_ms


def a_minute_ago() -> Clock:
    """A time that a broker takes and that is over for each event."""
    clock = Clock()
    clock.now_ms = time.time_ns() // 1_000_000 - MINUTE_MS
    return clock


def test_each_fault_is_named_in_the_registry(mesh_alone: Mesh) -> None:
    """Five sources break, each in its way: the registry names each level, a healthy one stays met, and changes are events."""
    begin = time.time_ns() // 1_000_000 - HOUR_MS
    faults_at = begin + 5 * MINUTE_MS
    bindings = {name: product(mesh_alone, name) for name in ("healthy", *FAULTS)}
    looks: dict[str, Iterator[tuple[int, list[EventReading]]]] = {}
    for seed, (name, binding) in enumerate(bindings.items()):
        publish(binding, healthy(seed, 0.5, begin_ms=begin - 24 * HOUR_MS - 10 * MINUTE_MS))
        readings = healthy(seed + 10, 1.2, begin_ms=begin - 10 * MINUTE_MS)
        if name in FAULTS:
            readings = with_fault(readings, FAULTS[name][1], faults_at)
        looks[name] = by_look(readings, begin + HOUR_MS, begin_ms=begin, look_ms=MINUTE_MS)
    register_results(mesh_alone.registry, ClusterAdmins(mesh_alone.kafka))
    clock, seen = Clock(), dict[str, int]()
    with (
        Observer(mesh_alone.registry, CONNECTIONS, clock=clock) as observer,
        Reporting(mesh_alone.registry, CONNECTIONS) as reporting,
    ):
        for _ in range(55):
            for name, binding in bindings.items():
                clock.now_ms, came = next(looks[name])
                publish(binding, came)
            reports = {each.address: each for each in observer.look()}
            assert reporting.report(reports.values())
            for name, binding in bindings.items():
                broken = {
                    each.property
                    for each in reports[binding.address].measured.levels
                    if each.state is LevelState.BROKEN
                }
                assert broken <= {FAULTS[name][0] if name in FAULTS else ""}, [
                    (each.reason, each.measured) for each in reports[binding.address].measured.levels
                ]
                if broken:
                    seen.setdefault(name, (clock.now_ms - faults_at) // MINUTE_MS)
            if set(seen) == set(FAULTS):
                break
    assert set(seen) == set(FAULTS), seen
    assert min(seen.values()) >= 0  # none before it was there
    assert seen["stops"] <= 3
    assert max(seen["late"], seen["doubles"]) <= 5
    for name, (level, _) in FAULTS.items():
        found = mesh_alone.registry.service_levels.history(bindings[name].address).reports[0]
        (state,) = [each for each in found.levels if each.property == level]
        assert state.state is LevelState.BROKEN
        assert state.reason
        summary = mesh_alone.registry.refresh(bindings[name].address).service_levels
        assert summary is not None
        assert summary.state is LevelState.BROKEN
    profile = mesh_alone.registry.service_levels.profile(bindings["healthy"].address)
    assert [each.path for each in profile.fields] == ["number", "celsius", "room", "at"]
    assert profile.fields[1].values == profile.events > 0
    assert profile.fields[1].histogram.counts
    assert set(profile.samples[0].data) == {"number", "celsius", "room", "at"}
    with Subscriber(RESULTS, mesh_alone.registry, kafka=CONNECTIONS) as subscriber:
        events = take(subscriber, len(bindings) * 5)
    assert {each.data["address"] for each in events} >= {str(each.address) for each in bindings.values()}
    assert any(each.data["changed"] for each in events)


def test_a_look_reads_a_slice_of_what_came(mesh_alone: Mesh) -> None:
    """Of more messages than the limit, those of the last moments are read, in both partitions: no fact counts as missing."""
    binding = product(mesh_alone, "many", LEVELS[2:3])
    clock = Clock()
    begin = clock.now_ms = time.time_ns() // 1_000_000 - HOUR_MS
    numbers = iter(range(1_000_000))

    def come(count: int, until_ms: int) -> None:
        step = 10_000 / count
        publish(
            binding,
            [
                EventReading(
                    int(until_ms - 10_000 + step * each), until_ms - 10_000.0, "s", f"i{number}", None, _record(number)
                )
                for each, number in zip(range(count), numbers, strict=False)
            ],
        )

    read = []
    with Observer(mesh_alone.registry, CONNECTIONS, limit=500, clock=clock) as observer:
        for look, count in enumerate((300, 5_000, 5_000, 300)):
            clock.now_ms = begin + 10_000 * (look + 1)
            come(count, clock.now_ms)
            (report,) = [each for each in observer.look() if each.address == binding.address]
            read.append(report.events)
    assert read[0] == read[3] == 300
    assert all(200 <= each <= 1_000 for each in read[1:3]), read
    (level,) = report.measured.levels
    assert (level.state, report.measured.measurement.completeness) == (LevelState.MET, 1.0)


def test_the_sources_own_counts_show_a_loss(mesh_alone: Mesh) -> None:
    """Of sources that count their events by the minute, the one that loses 2 % is broken; equal counts and repeats never."""
    level = LEVELS[2].model_copy(update={"element": None})
    begin = (time.time_ns() // 1_000_000 - HOUR_MS) // MINUTE_MS * MINUTE_MS
    bindings = {name: product(mesh_alone, name, [level]) for name in ("whole", "loses", "doubles")}
    levels = mesh_alone.registry.service_levels
    for seed, (name, binding) in enumerate(bindings.items()):
        source = list(healthy(seed, 0.5, begin_ms=begin))
        faulty = with_fault(iter(source), FAULTS[name][1], begin) if name in FAULTS else iter(source)
        publish(binding, faulty)
        for minute in range(20):
            start = begin + minute * MINUTE_MS
            of_minute = [each for each in source if start <= (each.time_ms or 0) < start + MINUTE_MS]
            begins, ends = (datetime.fromtimestamp((start + each) / 1000, UTC) for each in (0, MINUTE_MS))
            levels.report_count(binding.address, begins, ends, len(of_minute))
    clock, states = Clock(), dict[str, list[LevelState]]()
    with Observer(mesh_alone.registry, CONNECTIONS, clock=clock) as observer:
        for minute in range(1, 30):
            clock.now_ms = begin + minute * MINUTE_MS
            for report in observer.look():
                for name, binding in bindings.items():
                    if report.address == binding.address and report.measured.levels[0].measured_by is not None:
                        assert report.measured.levels[0].measured_by is MeasuredBy.SOURCE_COUNT
                        states.setdefault(name, []).append(LevelState(report.measured.levels[0].state))
                        if name == "whole":
                            assert report.measured.measurement.completeness == 1.0
    assert states["loses"][-1] is LevelState.BROKEN
    assert {*states["whole"]} == {*states["doubles"]} == {LevelState.MET}


def test_promised_volumes_are_counted_by_offsets(mesh_alone: Mesh) -> None:
    """In its log of ten minutes a source keeps a least of five minutes and breaks a most; an hour is longer than the log."""
    volumes = [("volume", 30, "events/min"), ("maximumVolume", 20, "events/min"), ("volume", 10, "events/h")]
    levels = [LEVELS[0].model_copy(update={"property": name, "value": v, "unit": u}) for name, v, u in volumes]
    binding = product(mesh_alone, "counted", levels)
    clock = a_minute_ago()
    at = [clock.now_ms - 10 * MINUTE_MS + each * 1000 for each in range(600)]
    publish(binding, [EventReading(ms, ms, "s", f"i{ms}", None, _record(ms)) for ms in at])
    with Observer(mesh_alone.registry, CONNECTIONS, clock=clock) as observer:
        (report,) = [each for each in observer.look() if each.address == binding.address]
    least, most, hourly = report.measured.levels
    assert least.state is LevelState.MET
    assert least.measured == "300 events came in the last 5 min"
    assert most.state is LevelState.UNKNOWN
    assert most.reason == "the log does not reach back 1 h"
    assert hourly.state is LevelState.BROKEN


def test_a_cluster_that_is_away_counts_against_its_ports(mesh_alone: Mesh) -> None:
    """Looks at which no broker answers are missed availability, and the reports go on."""
    level = LEVELS[0].model_copy(update={"property": "availability", "value": 99.0, "unit": "percent"})
    binding = product(mesh_alone, "away", [level])
    gone = KafkaConfig("127.0.0.1:1")

    class Gone:
        def to(self, _binding: Binding) -> Any:
            return gone

        def cluster(self, _name: str | None, _servers: str = "") -> Any:
            return gone

    clock = Clock()
    clock.now_ms = time.time_ns() // 1_000_000
    with Observer(mesh_alone.registry, Gone(), clock=clock) as observer:
        for _ in range(3):
            clock.now_ms += 10_000
            (report,) = [each for each in observer.look() if each.address == binding.address]
    (found,) = report.measured.levels
    assert (found.state, report.measured.measurement.availability) == (LevelState.BROKEN, 0.0)
    assert report.measured.valid_until - report.measured.at == timedelta(minutes=2)


def test_an_observer_of_an_older_release_leaves_a_newer_contract(mesh_alone: Mesh) -> None:
    """An observer whose contract of the results is an earlier version of the line registers nothing."""
    admins = ClusterAdmins(mesh_alone.kafka)
    register_results(mesh_alone.registry, admins)
    ours = results_product()
    port = ours.product.default_port
    text = json.loads(ours.schema(port).text)
    text["fields"].append({"name": "since", "type": ["null", "string"], "default": None})
    newer = parse_schema(json.dumps(text))
    mesh_alone.apply(ProjectProduct(ours.product, mesh_alone.folder, {(port.name, port.major): newer}))
    assert not register_results(mesh_alone.registry, admins)
    assert parse_schema(mesh_alone.registry.refresh(RESULTS).schema_text).fingerprint == newer.fingerprint


def _record(number: int) -> dict[str, Any]:
    return {"number": number, "celsius": 1.0, "room": "a"}
