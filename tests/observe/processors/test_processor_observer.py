"""The observer of processors on a real Kafka, with a real processor: members, lag, and what it quarantined."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig
from meshport.observe.processors import kept_events
from meshport.observe.processors.observer import EVERY_S, ProcessorLook, ProcessorObserver, ProcessorReporting
from meshport.observe.products import registered_products
from meshport.process.engines import batch
from meshport.process.logic.load import load_pipeline
from meshport.process.runtime.redrive import redrive
from meshport.process.wire.plan import make_plan, processor_group
from meshport.processor_reports import ProcessorState
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS, client_settings
from tests.mesh_session import READING, Mesh
from tests.ports.readings import fill
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka


class Clock:
    """The present, which each call of `ahead` moves to the next look."""

    def __init__(self) -> None:
        self.now_ms = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        """The present."""
        return self.now_ms

    def ahead(self) -> None:
        """Let the next look be due."""
        self.now_ms += int(EVERY_S * 1000)


def derived(mesh: Mesh, source: Binding, partitions: int = 2) -> ProjectProduct:
    """Return a product that a processor makes of another one."""
    declared = Product.model_validate(
        {
            "address": f"mesh://tests/warm-{uuid4().hex[:8]}",
            "id": str(uuid4()),
            "archetype": "aggregate",
            "description": "made by a test",
            "owner": "tests",
            "inputPorts": [{"address": str(source.address.of_product), "fields": ["sensor", "at", "celsius"]}],
            "outputPorts": [{"key": "sensor", "partitions": partitions}],
            "process": {
                "input": str(source.address.of_product),
                "steps": [{"select": ["sensor", "celsius"]}],
            },
        }
    )
    fields = [each for each in READING["fields"] if each["name"] in {"sensor", "celsius"}]
    contract = parse_schema(json.dumps(READING | {"name": "Warm", "fields": fields}))
    folder = mesh.folder / declared.address.product
    folder.mkdir()
    text = declared.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
    (folder / "product.yaml").write_text(text, encoding="utf-8")
    return ProjectProduct(declared, folder, {("events", 1): contract})


def poison(source: Binding, *values: bytes) -> None:
    """Write messages that no reader of the port can read, into its partition 0."""
    producer = ClientProducer(client_settings(source.bootstrap_servers))
    for each in values:
        producer.produce(source.topic, each, b"s1", partition=0)
    producer.flush()


@contextmanager
def processing(mesh: Mesh, one: ProjectProduct, built: Binding) -> Iterator[None]:
    """Run the processor of a product while the context is open."""
    plan = make_plan(load_pipeline(one.product, one.folder), built.address, mesh.registry, kafka=CONNECTIONS)
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            batch.run_processor(plan, mesh.registry, stop=stop, member="one")
        except BaseException as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    running = threading.Thread(target=run)
    running.start()
    try:
        yield
    finally:
        stop.set()
        running.join(PATIENCE_S)
    assert failed == []


def test_a_processor_is_seen_running_behind_and_stopped(mesh_alone: Mesh) -> None:
    """Its members, its lag, its quarantine with reasons and bytes, what was redriven; and that no member is left."""
    source = mesh_alone.product(partitions=2)
    one = derived(mesh_alone, source)
    built = mesh_alone.apply(one)
    clock = Clock()
    with ProcessorObserver(CONNECTIONS, clock=clock) as observer:
        reporting = ProcessorReporting(mesh_alone.registry)

        def look() -> ProcessorLook:
            clock.ahead()
            looks = observer.look(registered_products(mesh_alone.registry))
            assert reporting.report(looks)
            (found,) = looks
            return found

        never = look().report
        assert (never.state, never.members, never.events) == (ProcessorState.STOPPED, 0, None)
        assert never.group == processor_group(built.topic)
        with processing(mesh_alone, one, built):
            fill(mesh_alone, source.address, range(40))
            poison(source, b"<script>", b"\x00" * 2000)
            wait_for(lambda: (kept := look().report.quarantined) is not None and kept.events == 2, lambda: str(look()))
            wait_for(lambda: look().report.events == 0, "nothing waits")
            running = look()
            assert (running.report.state, running.report.members) == (ProcessorState.RUNNING, 1)
            assert {each.topic for each in running.report.partitions} >= {source.topic}
        entries = running.quarantine.entries
        assert [(each.offset, each.value_bytes, len(each.value or "")) for each in entries] == [
            (entries[0].offset, 2000, 2048),
            (entries[0].offset - 1, 8, 16),
        ]
        assert bytes.fromhex(entries[1].value or "") == b"<script>"
        assert (entries[1].key, entries[1].source, entries[1].topic) == (b"s1".hex(), source.address, source.topic)
        assert "specversion" in entries[1].reason
        assert running.quarantine.sources == (source.address.of_product,)
        fill(mesh_alone, source.address, range(40, 45))
        wait_for(lambda: look().report.state is ProcessorState.STOPPED, "no member is left")
        behind = look().report
        assert (behind.members, behind.events, behind.at_most) == (0, 5, False)
        assert behind.seconds is not None
        status = mesh_alone.registry.processors.of(built.address)
        assert (status.state, status.report) == (ProcessorState.STOPPED, behind)
        assert status.since is not None
        assert never.at < status.since <= behind.at
        redrive(built, lambda event: event.value == b"<script>", kafka=CONNECTIONS)
        after = look()
        assert after.report.quarantined is not None
        assert (after.report.quarantined.events, after.report.quarantined.redriven) == (2, 1)
        assert [each.redriven for each in after.quarantine.entries] == [False, True]
    kept = mesh_alone.registry.processors.quarantine(built.address)
    assert kept.entries == after.quarantine.entries


def test_of_many_events_the_newest_are_read(mesh_alone: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more is kept than a look reads, offsets are counted, and the entries are the newest 20."""
    monkeypatch.setattr(kept_events, "_COUNTED", 50)
    source = mesh_alone.product(partitions=1)
    one = derived(mesh_alone, source)
    built = mesh_alone.apply(one)
    poison(source, *(b"%d" % number for number in range(200)))
    plan = make_plan(load_pipeline(one.product, one.folder), built.address, mesh_alone.registry, kafka=CONNECTIONS)
    batch.run_processor(plan, mesh_alone.registry, until_end=True)
    with ProcessorObserver(CONNECTIONS, clock=Clock()) as observer:
        (found,) = observer.look(registered_products(mesh_alone.registry))
        assert observer.look(registered_products(mesh_alone.registry)) == []  # it is not due
    assert found.report.quarantined is not None
    assert found.report.quarantined.at_most
    assert 200 <= found.report.quarantined.events <= 210
    assert found.report.quarantined.redriven is None
    assert [each.offset for each in found.quarantine.entries] == list(range(199, 179, -1))


def test_confidential_bytes_never_leave_the_observer(mesh_alone: Mesh) -> None:
    """Of an input with a field that is restricted, a report has positions and classes of errors, and says why nothing else."""
    form = READING | {"fields": [READING["fields"][0] | {"classification": "restricted"}, *READING["fields"][1:]]}
    source = mesh_alone.product(form, key="sensor", time="at", partitions=1)
    one = derived(mesh_alone, source)
    built = mesh_alone.apply(one)
    poison(source, b"secret")
    plan = make_plan(load_pipeline(one.product, one.folder), built.address, mesh_alone.registry, kafka=CONNECTIONS)
    batch.run_processor(plan, mesh_alone.registry, until_end=True)
    with ProcessorObserver(CONNECTIONS, clock=Clock()) as observer:
        (found,) = observer.look(registered_products(mesh_alone.registry))
    (entry,) = found.quarantine.entries
    why = f"in {source.address}, sensor is restricted"
    assert (entry.withheld, found.quarantine.withheld) == (why, why)
    assert (entry.key, entry.value, entry.reason) == (None, None, "")
    assert (entry.error, entry.offset, entry.key_bytes, entry.value_bytes) == ("EventError", 0, 2, 6)
    assert "736563726574" not in found.quarantine.model_dump_json()


def test_a_cluster_that_is_away_is_not_reported(mesh_alone: Mesh) -> None:
    """Nothing is said of its processors, rather than that they stopped: what was reported before ends by itself."""
    mesh_alone.apply(derived(mesh_alone, mesh_alone.product(partitions=1)))

    class Gone:
        def to(self, _binding: Binding) -> Any:
            return KafkaConfig("127.0.0.1:1")

        def cluster(self, _name: str | None, _servers: str = "") -> Any:
            return KafkaConfig("127.0.0.1:1")

    with ProcessorObserver(Gone(), clock=Clock()) as observer:
        assert observer.look(registered_products(mesh_alone.registry)) == []


def test_an_in_memory_cluster_shows_no_groups(in_memory_mesh: Mesh) -> None:
    """There the state is not known, the report says why, and it counts for two minutes."""
    built = in_memory_mesh.apply(derived(in_memory_mesh, in_memory_mesh.product(), partitions=4))
    with ProcessorObserver(CONNECTIONS, clock=Clock()) as observer:
        looks = observer.look(registered_products(in_memory_mesh.registry))
    (found,) = [each.report for each in looks if each.quarantine.address == built.address]
    assert (found.state, found.members) == (ProcessorState.UNKNOWN, None)
    assert "in-memory" in found.hidden
    assert found.valid_until - found.at == timedelta(minutes=2)
