"""Batches of columns have the events, offsets and refusals of reading one by one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import DecodeError, EventError, SchemaError
from meshport.event import Event
from meshport.event.reader import FOREIGN_TOMBSTONE
from meshport.kafka.producer import Message, Producer
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.subscriber import BadEvent, Subscriber
from meshport.schema import parse_schema
from tests.columnar.rows import rows_of
from tests.mesh_session import READING, Mesh
from tests.ports.readings import fill, reading, take
from tests.waiting import PATIENCE_S, patiently

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

import pyarrow as pa

from meshport.ports import batches
from meshport.ports.batches import METADATA, EventBatch
from tests.connections import CONNECTIONS, Connections, connection

# Short timeouts: a test need not wait half a minute until a dead member is removed.
QUICK = Connections({"session.timeout.ms": 6000, "heartbeat.interval.ms": 500})


def gather(subscriber: Subscriber, count: int, limit: int = 10_000) -> list[EventBatch]:
    """Batches until so many rows and tombstones came."""
    found: list[EventBatch] = []
    for batch, _ in zip(subscriber.arrow_batches(limit, wait_s=0.5), patiently(f"{count} rows"), strict=False):
        found += [batch] if len(batch) or batch.tombstones else []
        if sum(len(each) + len(each.tombstones) for each in found) >= count:
            break
    return found


def celsius(found: list[EventBatch]) -> list[int]:
    """Which readings these are."""
    return [int(number) for batch in found for number in batch.data.column("celsius").to_pylist()]


def put(binding: Binding, value: bytes | None, headers: Any) -> None:
    """Put a message of somebody else's on a port's topic, where readings of the sensor s1 are."""
    with Producer(connection(binding.bootstrap_servers)) as producer:
        producer.deliver([Message(binding.topic, b"s1", value, headers)])


def message(publisher: Publisher, number: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What a publisher makes of a reading."""
    return publisher._writer.message(reading(number, sensor="s1"), id=f"by-hand-{number}", time=reading(number)["at"])


def fill_one(mesh: Mesh, address: Address, which: Iterable[int]) -> None:
    """Publish the readings of these numbers, all of the sensor s1 and so in one partition."""
    with Publisher(address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in which:
            publisher.publish(reading(number, sensor="s1"))


def by_place(events: list[Event]) -> dict[tuple[int, int], Event]:
    """Events by partition and offset."""
    return {(event.partition, event.offset): event for event in events}


def test_batches_hold_the_events_that_come_one_by_one(ports: Mesh) -> None:
    """Data, ids, times, keys and offsets of each row are those of the event; order is kept in every partition."""
    binding = ports.product()
    fill(ports, binding.address, range(300))
    put(binding, None, [])
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        publisher.retract({"sensor": "s1"})
        publisher.publish(reading(300), subject="one that is read by itself")
        for number in range(301, 400):
            publisher.publish(reading(number))
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        events = by_place(take(subscriber, 402))
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        found = gather(subscriber, 402)
    schema = parse_schema(binding.schema_text)
    seen: list[tuple[int, int]] = []
    for batch in found:
        assert batch.schema == schema
        table = batch.to_arrow()
        assert table.schema.names == [*(field["name"] for field in READING["fields"]), *METADATA.names]
        for row, told in zip(rows_of(schema, batch.data), batch.metadata.to_pylist(), strict=True):
            seen.append((told["kafka_partition"], told["kafka_offset"]))
            event = events.pop(seen[-1])
            assert row == event.data
            assert (told["ce_id"], told["ce_time"], told["ce_recordedtime"], told["kafka_key"]) == (
                event.id,
                event.time,
                event.recorded_time,
                event.key,
            )
    assert [(event.key, event.type == FOREIGN_TOMBSTONE) for event in events.values()] == [
        (b"s1", True),
        (b"s1", False),
    ]
    assert [each for batch in found for each in batch.tombstones] == list(events.values())
    for partition in {place[0] for place in seen}:
        offsets = [place[1] for place in seen if place[0] == partition]
        assert offsets == sorted(offsets)


@pytest.mark.kafka
def test_a_place_moves_when_the_next_batch_is_asked_for(mesh: Mesh) -> None:
    """A batch that was not finished comes again; one after which the next was asked for does not."""
    binding = mesh.product()
    fill_one(mesh, binding.address, range(30))
    with Subscriber(binding.address, mesh.registry, group="by-columns", kafka=QUICK) as subscriber:
        (first,) = gather(subscriber, 10, limit=10)
        again, second = gather(subscriber, 20, limit=10)
        assert celsius([first]) == celsius([again]) == list(range(10))
        assert celsius([second]) == list(range(10, 20))
    with Subscriber(binding.address, mesh.registry, group="by-columns", kafka=QUICK) as subscriber:
        assert celsius(gather(subscriber, 20, limit=100)) == list(range(10, 30))


def test_an_empty_batch_tells_that_nothing_came(in_memory_mesh: Mesh) -> None:
    """A batch without rows has the columns all the same."""
    binding = in_memory_mesh.product()
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        batch = next(subscriber.arrow_batches(wait_s=0.05))
    assert (len(batch), batch.tombstones) == (0, ())
    assert batch.to_arrow().num_columns == len(READING["fields"]) + len(METADATA)


def test_what_cannot_be_read_is_told_and_passed_over(ports: Mesh) -> None:
    """`on_bad` gets the message and the reason, among columns as among events."""
    binding = ports.product()
    fill_one(ports, binding.address, range(20))
    publisher = Publisher(binding.address, ports.registry, kafka=CONNECTIONS)
    value, headers = message(publisher, 20)
    put(binding, value[:-1], headers)
    put(binding, b"nonsense", [])
    fill_one(ports, binding.address, range(21, 40))
    bad: list[BadEvent] = []
    with Subscriber(binding.address, ports.registry, on_bad=bad.append, kafka=CONNECTIONS) as subscriber:
        found = gather(subscriber, 39)
    assert celsius(found) == [*range(20), *range(21, 40)]
    assert [type(each.error) for each in bad] == [DecodeError, EventError]
    assert [each.message.offset() for each in bad] == [20, 21]


def test_a_batch_ends_before_what_cannot_be_read(in_memory_mesh: Mesh) -> None:
    """Without `on_bad`, rows before a bad message are handed out and done with; the error comes with the next batch."""
    binding = in_memory_mesh.product()
    fill_one(in_memory_mesh, binding.address, range(20))
    put(binding, b"nonsense", [])
    fill_one(in_memory_mesh, binding.address, range(20, 40))
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        while len(subscriber._subscription.buffer) < 41:
            subscriber._subscription.poll(100, PATIENCE_S)
        found = subscriber.arrow_batches(100)
        assert celsius([next(found)]) == list(range(20))
        with pytest.raises(EventError):
            next(found)
        assert [*subscriber._subscription.next_offsets.values()] == [20]


def test_events_seen_before_are_left_out_on_request(ports: Mesh) -> None:
    """With `remember`, rows whose source and id were seen before are left out, by columns and one by one."""
    binding = ports.product()
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        for number in [*range(20), *range(10, 30)]:
            publisher.publish(reading(number, sensor="s1"), id=f"id-{number}")
        publisher.publish(reading(29, sensor="s1"), id="id-29", subject="read by itself")
        publisher.publish(reading(30, sensor="s1"))
    with Subscriber(binding.address, ports.registry, remember=100, kafka=CONNECTIONS) as subscriber:
        assert celsius(gather(subscriber, 31)) == list(range(31))


def test_rows_have_the_readers_schema(ports: Mesh) -> None:
    """Columns are renamed, dropped and defaulted by Avro's schema resolution."""
    binding = ports.product()
    fill_one(ports, binding.address, range(20))
    fields = [
        {"name": "celsius", "type": "double"},
        {"name": "probe", "aliases": ["sensor"], "type": "string"},
        {"name": "room", "type": "string", "default": "unknown"},
    ]
    reader = parse_schema(json.dumps(READING | {"fields": fields}))
    with Subscriber(binding.address, ports.registry, reader=reader, kafka=CONNECTIONS) as subscriber:
        found = gather(subscriber, 20)
    rows = [row for batch in found for row in batch.data.to_pylist()]
    assert rows == [{"celsius": float(at), "probe": "s1", "room": "unknown"} for at in range(20)]


def test_times_of_any_year_are_read(ports: Mesh) -> None:
    """A timestamp before year 1 or after 9999 is read with its event: a number, in columns as well; no event is refused."""
    until = {"name": "until", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    binding = ports.product(READING | {"fields": [*READING["fields"], until]}, key="sensor", time="at")
    numbers = [253_402_300_800_000_000, 2**63 - 1, -(2**63), -62_167_219_200_000_000] * 5
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        for at, number in enumerate(numbers):
            publisher.publish(reading(at, sensor="s1") | {"until": number})
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        assert [event.data["until"] for event in take(subscriber, len(numbers))] == numbers
    with Replay(binding.address, ports.registry, kafka=CONNECTIONS) as replay:
        assert [event.data["until"] for event in replay.history()] == numbers
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        found = gather(subscriber, len(numbers))
    assert [number for batch in found for number in batch.data.column("until").cast(pa.int64()).to_pylist()] == numbers


def test_a_batch_takes_so_many_bytes(in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values beyond the bound are left for the next batch; one alone is taken whatever its size."""
    binding = in_memory_mesh.product()
    fill_one(in_memory_mesh, binding.address, range(40))
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        while len(subscriber._subscription.buffer) < 40:
            subscriber._subscription.poll(100, PATIENCE_S)
        size = len(subscriber._subscription.buffer[0].value() or b"")
        monkeypatch.setattr(batches, "MAX_BYTES", size * 15 + 1)
        found = subscriber.arrow_batches()
        assert celsius([next(found)]) == list(range(15))
        monkeypatch.setattr(batches, "MAX_BYTES", 1)
        assert celsius([next(found)]) == [15]


def test_a_schema_without_columns_is_refused(in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that columns cannot hold is an error with the reason and what to do."""
    fields = [*READING["fields"], {"name": "next", "type": ["null", "Reading"], "default": None}]
    binding = in_memory_mesh.product(READING | {"fields": fields})
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        with pytest.raises(SchemaError, match=r"the record .* holds itself") as refused:
            next(subscriber.arrow_batches())
        assert refused.value.hint == "`batches` gives events"
        monkeypatch.setattr("meshport.columnar.unavailable", lambda: "pyarrow is not installed")
        with pytest.raises(SchemaError, match="pyarrow is not installed"):
            next(subscriber.arrow_batches())


def _batch(*fields: str) -> EventBatch:
    form = {"type": "record", "name": "Order", "fields": [{"name": name, "type": "long"} for name in fields]}
    data = pa.RecordBatch.from_pylist([dict.fromkeys(fields, 1)])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    told = {"ce_id": "1", "ce_time": at, "kafka_partition": 0, "kafka_offset": 7}
    return EventBatch(parse_schema(json.dumps(form)), data, pa.RecordBatch.from_pylist([told], schema=METADATA))


def test_a_name_that_stands_twice_is_refused() -> None:
    """A field that is called as a column of the metadata cannot stand beside it."""
    with pytest.raises(EventError, match="has a field 'ce_id'"):
        _batch("total", "ce_id").to_arrow()
    assert _batch("total").to_arrow().to_pylist()[0]["kafka_offset"] == 7


def test_a_data_frame_holds_what_the_batch_does() -> None:
    """Polars gets every column with its values, times as instants of UTC."""
    batch = _batch("total")
    frame = batch.to_polars()
    assert type(frame).__module__.partition(".")[0] == "polars"
    assert frame.to_dicts() == batch.to_arrow().to_pylist()
    assert frame.to_dicts()[0]["ce_time"] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("name", "made"), [("polars", EventBatch.to_polars), ("pandas", EventBatch.to_pandas)])
def test_what_is_not_installed_is_named(
    name: str, made: Callable[[EventBatch], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame of a library that is not there is an error that names it."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EventError, match=f"{name} is not installed"):
        made(_batch("total"))
