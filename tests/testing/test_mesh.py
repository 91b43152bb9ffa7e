"""The mesh in memory: it accepts, refuses, stores and shows what a mesh on Kafka does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from meshport.errors import MeshError, NotRegistered, ProjectError, PublishError, RegistrationRefused
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import BadEvent
from meshport.project.project import FOLDERS, Project
from meshport.testing import MemoryMesh
from tests.mesh_session import READING, Mesh
from tests.testing.declared import write

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
READINGS, PEAKS, STATIONS = "weather/readings", "weather/peaks", "weather/stations"
STATION: dict[str, Any] = {
    "type": "record",
    "name": "Station",
    "fields": [{"name": "sensor", "type": "string"}, {"name": "town", "type": "string"}],
}
PEAK: dict[str, Any] = {
    "type": "record",
    "name": "Peak",
    "fields": [
        {"name": "town", "type": "string"},
        {"name": "peak", "type": ["null", "double"], "default": None},
        {"name": "readings", "type": "long"},
    ],
}
READING_PORT: dict[str, Any] = {"name": "events", "key": "sensor", "time": "at", "partitions": 2}
STEPS: list[dict[str, Any]] = [
    {"join": {"with": f"mesh://{STATIONS}", "on": "sensor", "take": {"town": "town"}}},
    {"aggregate": {"by": ["town"], "values": {"peak": "max(celsius)", "readings": "count()"}}},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project: readings, stations as a table, and the peaks of each town."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    write(tmp_path, READINGS, READING, READING_PORT)
    write(tmp_path, STATIONS, STATION, {"name": "events", "key": "sensor", "cleanup": "compact"})
    inputs = [{"address": f"mesh://{READINGS}"}, {"address": f"mesh://{STATIONS}"}]
    write(
        tmp_path, PEAKS, PEAK, {"name": "events", "key": "town", "cleanup": "compact"},
        inputPorts=inputs, process={"input": f"mesh://{READINGS}", "steps": STEPS},
    )  # fmt: skip
    return tmp_path


@pytest.fixture
def mesh(root: Path) -> MemoryMesh:
    """A mesh at noon, with a station `a` in Oslo that has been there for a day."""
    mesh = MemoryMesh(Project(root), now=NOON - timedelta(days=1))
    mesh.publish(STATIONS, {"sensor": "a", "town": "Oslo"})
    mesh.now = NOON
    return mesh


def reading(celsius: float, *, sensor: str = "a", minute: int = 0) -> dict[str, Any]:
    """A reading, some minutes after noon."""
    return {"sensor": sensor, "at": NOON + timedelta(minutes=minute), "celsius": celsius}


def test_a_processor_reads_what_was_published(mesh: MemoryMesh) -> None:
    """Nothing is processed before `run`; then the output holds what the events give, and the state is kept."""
    mesh.publish(READINGS, reading(3.5))
    assert mesh.events(PEAKS) == []
    mesh.run()
    assert mesh.latest(PEAKS) == {"Oslo": {"town": "Oslo", "peak": 3.5, "readings": 1}}
    mesh.publish(READINGS, reading(2.5, minute=1))
    mesh.run()
    assert [event.data["readings"] for event in mesh.events(PEAKS)] == [1, 2]


def test_events_are_messages_with_headers_and_bytes(mesh: MemoryMesh) -> None:
    """A message has CloudEvents headers, Confluent's prefix, the record key, and the clock's time as its timestamp."""
    id = mesh.publish(READINGS, reading(3.5), subject="roof")
    (message,) = mesh.messages(READINGS)
    headers = dict(message.headers)
    assert (headers["ce_id"], headers["ce_subject"]) == (id.encode(), b"roof")
    assert headers["ce_source"] == b"mesh://weather/readings/events@1"
    assert headers["ce_recordedtime"] == b"2026-03-01T12:00:00Z"
    assert (message.key, (message.value or b"")[:1]) == (b"a", b"\0")
    assert message.timestamp_ms == NOON.timestamp() * 1000
    (event,) = mesh.events(READINGS)
    assert (event.id, event.data["celsius"], event.data["note"]) == (id, 3.5, None)


WRONG: list[dict[str, Any]] = [
    {"record": {"sensor": "a", "at": NOON}},
    {"record": reading(3.5) | {"celsius": "warm"}},
    {"record": reading(3.5) | {"humidity": 1}},
    {"record": reading(3.5) | {"at": datetime(2026, 3, 1)}},  # noqa: DTZ001 - has no zone on purpose
    {"record": reading(3.5) | {"sensor": ""}},
    {"record": reading(3.5), "id": ""},
    {"record": reading(3.5), "time": datetime(2026, 3, 1)},  # noqa: DTZ001 - as above
    {"record": reading(3.5), "subject": "\ud800"},
]


@pytest.mark.parametrize("arguments", WRONG, ids=range(len(WRONG)))
def test_publishing_is_refused_as_the_publisher_refuses(
    mesh: MemoryMesh, in_memory_mesh: Mesh, arguments: dict[str, Any]
) -> None:
    """What makes no event of the port raises the very error of `Publisher.publish`, and nothing is stored."""
    publisher = Publisher(in_memory_mesh.product().address, in_memory_mesh.registry)
    with publisher, pytest.raises(MeshError) as real:
        publisher.publish(**arguments)
    with pytest.raises(MeshError) as refused:
        mesh.publish(READINGS, **arguments)
    assert (type(refused.value), str(refused.value)) == (type(real.value), str(real.value))
    assert mesh.messages(READINGS) == []


def test_a_message_is_as_large_as_the_client_sends(mesh: MemoryMesh) -> None:
    """A message beyond librdkafka's `message.max.bytes` is refused with the client's words."""
    with pytest.raises(PublishError, match=r"Message size too large \(MSG_SIZE_TOO_LARGE\)"):
        mesh.publish(READINGS, reading(3.5) | {"note": "x" * 1_000_000})
    mesh.publish(READINGS, reading(3.5) | {"note": "x" * 900_000})
    assert len(mesh.messages(READINGS)) == 1


def test_a_key_is_needed_to_retract(mesh: MemoryMesh) -> None:
    """A tombstone removes the row of its key; one without a key is refused as the publisher refuses it."""
    mesh.retract(STATIONS, {"sensor": "a"})
    assert mesh.latest(STATIONS) == {}
    with pytest.raises(PublishError, match="the key field 'sensor' has no value"):
        mesh.retract(STATIONS, {})


def test_partitions_are_those_of_the_key(mesh: MemoryMesh) -> None:
    """Events of one key share a partition; another can be named, one that is not there is refused."""
    for celsius in range(5):
        mesh.publish(READINGS, reading(celsius))
    assert len({event.partition for event in mesh.events(READINGS)}) == 1
    mesh.publish(READINGS, reading(9), partition=0)
    mesh.publish(READINGS, reading(9), partition=1)
    assert {event.partition for event in mesh.events(READINGS)} == {0, 1}
    with pytest.raises(PublishError, match="has no partition 2"):
        mesh.publish(READINGS, reading(9), partition=2)


def test_a_group_goes_on_where_it_was(mesh: MemoryMesh) -> None:
    """A group reads each event once, from where it left off; an event at which a loop was left is read again."""
    for celsius in range(4):
        mesh.publish(READINGS, reading(celsius))
    for event in mesh.subscribe(READINGS, group="one"):
        if event.data["celsius"] == 2:
            break
    assert [event.data["celsius"] for event in mesh.subscribe(READINGS, group="one")] == [2, 3]
    assert [*mesh.subscribe(READINGS, group="one")] == []
    mesh.publish(READINGS, reading(4))
    assert [event.data["celsius"] for event in mesh.subscribe(READINGS, group="one")] == [4]
    assert len([*mesh.subscribe(READINGS, group="two")]) == len([*mesh.subscribe(READINGS)]) == 5


def test_a_bad_message_costs_itself_alone(mesh: MemoryMesh) -> None:
    """Bytes that are no event go to `on_bad`, or raise without one; a processor quarantines them and goes on."""
    mesh.publish_bytes(READINGS, b"\0\0\0\0\1nonsense", key=b"a")
    mesh.publish(READINGS, reading(3.5))
    bad: list[BadEvent] = []
    assert len([*mesh.subscribe(READINGS, on_bad=bad.append)]) == 1
    assert bad[0].message.value() == b"\0\0\0\0\1nonsense"
    assert str(bad[0]).startswith("weather.readings.events.v1[")
    with pytest.raises(MeshError):
        list(mesh.subscribe(READINGS))
    mesh.run()
    (quarantined,) = mesh.quarantined(PEAKS)
    assert quarantined.value == b"\0\0\0\0\1nonsense"
    assert mesh.latest(PEAKS)["Oslo"]["readings"] == 1


def test_what_could_not_be_joined_is_redriven(mesh: MemoryMesh) -> None:
    """An event without a row is quarantined with the reason; once the row is there, a redrive counts it."""
    mesh.publish(READINGS, reading(3.5, sensor="b"))
    mesh.run()
    (quarantined,) = mesh.quarantined(PEAKS)
    assert "no row for sensor = 'b'" in quarantined.reason
    mesh.publish(STATIONS, {"sensor": "b", "town": "Bergen"}, time=NOON - timedelta(hours=1))
    assert len(mesh.redrive(PEAKS)) == 1
    mesh.run()
    assert mesh.latest(PEAKS)["Bergen"]["peak"] == 3.5


def test_a_restarted_processor_goes_on_with_its_state(mesh: MemoryMesh) -> None:
    """A processor that is dropped restores its changelog, and counts nothing twice."""
    mesh.publish(READINGS, reading(3.5))
    mesh.run()
    mesh.restart(PEAKS)
    mesh.publish(READINGS, reading(1.5))
    mesh.run()
    assert mesh.latest(PEAKS)["Oslo"] == {"town": "Oslo", "peak": 3.5, "readings": 2}


def test_a_null_value_deletes_a_row_whatever_its_headers(mesh: MemoryMesh) -> None:
    """A foreign producer's tombstone has no CloudEvents headers; tables, subscribers and joins take it as a deletion."""
    mesh.publish_bytes(STATIONS, None, key=b"a")
    assert mesh.latest(STATIONS) == {}
    assert [event.data for event in mesh.subscribe(STATIONS)] == [{"sensor": "a", "town": "Oslo"}, None]
    mesh.publish(READINGS, reading(3.5, minute=1))
    mesh.run()
    assert mesh.events(PEAKS) == []


def test_compaction_leaves_the_last_record_of_each_key(mesh: MemoryMesh) -> None:
    """After compaction readers see the last record of each key, with its own offset; other ports cannot be compacted."""
    for town in ("Bergen", "Tromso"):
        mesh.publish(STATIONS, {"sensor": "a", "town": town})
    mesh.publish(STATIONS, {"sensor": "b", "town": "Oslo"})
    mesh.retract(STATIONS, {"sensor": "b"})
    before = mesh.latest(STATIONS)
    mesh.compact(STATIONS)
    assert [event.data for event in mesh.events(STATIONS)] == [{"sensor": "a", "town": "Tromso"}]
    assert mesh.latest(STATIONS) == before
    assert [event.data["town"] for event in mesh.subscribe(STATIONS, group="g")] == ["Tromso"]
    with pytest.raises(PublishError, match="is not compacted"):
        mesh.compact(READINGS)


# --- registry and gate


def changed(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """The reading with other fields."""
    return READING | {"fields": fields}


def test_a_contract_that_breaks_its_readers_is_refused(mesh: MemoryMesh, root: Path) -> None:
    """The gate refuses a break with its rule, and everything stays as it was; a default passes, as a new version."""
    binding = mesh.registry.resolve(READINGS)
    fields = [each for each in READING["fields"] if each["name"] != "note"]
    write(root, READINGS, changed([*fields, {"name": "wind", "type": "double"}]), READING_PORT)
    with pytest.raises(RegistrationRefused) as refused:
        mesh.apply(Project(root))
    assert any("READER_FIELD_MISSING_DEFAULT_VALUE at wind" in each for each in refused.value.findings)
    assert mesh.registry.resolve(READINGS) == binding
    added = changed([*READING["fields"], {"name": "wind", "type": "double", "default": 0.0}])
    write(root, READINGS, added, READING_PORT)
    mesh.apply(Project(root))
    assert mesh.registry.resolve(READINGS).schema_id != binding.schema_id
    assert [each.address.key for each in mesh.registry.readers(READINGS)] == [PEAKS]


def test_old_events_stay_readable_after_a_new_version(mesh: MemoryMesh, root: Path) -> None:
    """Events keep the schema that they were written with; a reader's schema fills in a default."""
    mesh.publish(READINGS, reading(3.5))
    added = changed([*READING["fields"], {"name": "wind", "type": "double", "default": 0.5}])
    write(root, READINGS, added, READING_PORT)
    mesh.apply(Project(root))
    mesh.publish(READINGS, reading(4.5) | {"wind": 7.0})
    assert ["wind" in event.data for event in mesh.events(READINGS)] == [False, True]
    newest = mesh.registry.by_id(mesh.registry.resolve(READINGS).schema_id)
    assert [event.data["wind"] for event in mesh.subscribe(READINGS, reader=newest)] == [0.5, 7.0]
    mesh.run()
    assert mesh.latest(PEAKS)["Oslo"]["readings"] == 2


@pytest.mark.parametrize("what", ["process", "input", "partitions", "id"])
def test_apply_refuses_what_the_command_refuses(mesh: MemoryMesh, root: Path, what: str) -> None:
    """A process that cannot run, an input that is not registered, other partitions and another id change nothing."""
    port = {"name": "events", "key": "town", "cleanup": "compact"}
    expected: type[MeshError] = RegistrationRefused
    match what:
        case "process":
            steps = [{"aggregate": {"by": ["town"], "values": {"peak": "max(weight)"}}}]
            inputs = [{"address": f"mesh://{READINGS}"}]
            write(root, PEAKS, PEAK, port, inputPorts=inputs, process={"steps": steps})
            expected = MeshError
        case "input":
            more = {"inputPorts": [{"address": "mesh://weather/nowhere"}], "process": {"steps": [{"select": ["a"]}]}}
            write(root, "weather/other", STATION, {"name": "events", "key": "sensor"}, **more)
        case "partitions":
            write(root, READINGS, READING, READING_PORT | {"partitions": 3})
        case _:
            write(root, READINGS, READING, READING_PORT, id=str(uuid5(NAMESPACE_URL, "another")))
    before = mesh.registry.bindings
    with pytest.raises(expected):
        mesh.apply(Project(root))
    assert mesh.registry.bindings == before


def test_the_clock_decides_which_line_is_live(mesh: MemoryMesh, root: Path) -> None:
    """An address without a major leads to the line that is live on the mesh's day."""
    second = READING_PORT | {"major": 2, "liveFrom": date(2026, 4, 1)}
    write(root, READINGS, READING, READING_PORT | {"deprecatedOn": date(2026, 6, 1)}, second)
    mesh.apply(Project(root))
    mesh.publish(READINGS, reading(1))
    mesh.advance("31d")
    assert mesh.now == NOON + timedelta(days=31)
    mesh.publish(READINGS, reading(2))
    assert [len(mesh.events(f"{READINGS}/events@{major}")) for major in (1, 2)] == [1, 1]


def test_a_port_without_a_time_field_takes_the_clock(mesh: MemoryMesh) -> None:
    """Where neither the record nor the caller gives an event time, it is the mesh's time."""
    mesh.now = "2026-03-02T08:00:00Z"
    mesh.publish(STATIONS, {"sensor": "c", "town": "Moss"})
    assert mesh.events(STATIONS)[-1].time == datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_what_is_not_there_is_named(mesh: MemoryMesh) -> None:
    """An unknown address, port, schema or processor raises an error that names what exists."""
    with pytest.raises(NotRegistered) as unknown:
        mesh.publish("weather/reading", {})
    assert unknown.value.hint == f"did you mean {READINGS}?"
    with pytest.raises(NotRegistered, match="is not registered"):
        mesh.events(f"{READINGS}/other")
    with pytest.raises(NotRegistered):
        mesh.registry.by_id(99)
    with pytest.raises(ProjectError, match="has no process"):
        mesh.late(READINGS)
    with pytest.raises(ProjectError, match=r"brings no recount\.py"):
        mesh.recount(PEAKS)
