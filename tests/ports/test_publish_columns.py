"""Publishing Arrow batches and data frames: the events that publishing their rows gives."""

from __future__ import annotations

from typing import Any

import pytest

from meshport.errors import EncodeError
from meshport.event import Event
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.mesh_session import READING, Mesh
from tests.ports.readings import numbers, reading, take

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

import pyarrow as pa

from meshport.columnar import arrow_schema
from tests.connections import CONNECTIONS, Connections


class Frame:
    """A data frame of somebody else's: all that is known of it is Arrow's interface."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """As polars and pandas have it."""
        return self._table.__arrow_c_stream__(requested_schema)


def said(event: Event) -> Any:
    """The content of an event, without its id and recorded time."""
    return event.envelope, event.time, event.key, event.data, event.partition, dict(event.extensions), event.subject


@pytest.mark.parametrize("kind", ["batch", "table", "frame"])
def test_rows_become_the_events_of_their_records(ports: Mesh, kind: str) -> None:
    """Data, key, partition, time and envelope are those that `publish` gives a record; ids are new ones."""
    binding = ports.product()
    records = [reading(number) for number in range(1200)]
    table = pa.Table.from_pylist(
        records, schema=pa.schema([*arrow_schema(Publisher(binding.address, ports.registry, kafka=CONNECTIONS).schema)])
    )
    frame = {"batch": table.combine_chunks().to_batches()[0], "table": table, "frame": Frame(table)}[kind]
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        assert publisher.publish_batch(records).stored == 1200
        report = publisher.publish_batch(frame)
        assert (report.stored, report.refused, report.unknown) == (1200, (), ())
        assert publisher.flush() == 0
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        events = take(subscriber, 2400)
    assert len({event.id for event in events}) == 2400
    by_reading: dict[int, list[Any]] = {}
    for event, number in zip(events, numbers(events), strict=True):
        by_reading.setdefault(number, []).append(said(event))
    assert all(one == other for one, other in by_reading.values())
    for key in {event.key for event in events}:
        own = numbers(event for event in events if event.key == key)
        assert own == sorted(own[: len(own) // 2]) * 2


def test_a_report_of_rows_adds_up(ports: Mesh) -> None:
    """Rows that do not fit, have no key or are too large are reported by their indices; none stops another."""
    binding = ports.product()
    rows: list[dict[str, Any]] = [reading(number) for number in range(100)]
    rows[17] |= {"celsius": None}
    rows[42] |= {"sensor": None}
    rows[43] |= {"sensor": ""}
    rows[60] |= {"note": "x" * 1_010_000}
    rows[99] |= {"note": "x" * 2_000_000}
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        report = publisher.publish_batch(pa.Table.from_pylist(rows))
        by_rows = publisher.publish_batch(rows)
    assert (report.stored, report.unknown) == (95, ())
    assert [failure.index for failure in report.refused] == [17, 42, 43, 60, 99]
    for one, other in zip(report.refused, by_rows.refused, strict=True):
        # Neither a null nor an empty text makes a key; a null where none may be is told of the field either way.
        assert (one.index, type(one.error)) in {(other.index, type(other.error)), (42, EncodeError)}
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        assert len(take(subscriber, 190)) == 190


def test_columns_that_do_not_fit_are_an_error(in_memory_mesh: Mesh) -> None:
    """A frame of other columns is refused as a whole before any of it is sent; what is left out takes its default."""
    binding = in_memory_mesh.product()
    table = pa.Table.from_pylist([reading(1)])
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises(EncodeError, match="celsius is missing"):
            publisher.publish_batch(table.drop_columns(["celsius"]))
        with pytest.raises(EncodeError, match="celsius is string"):
            publisher.publish_batch(table.set_column(2, "celsius", pa.array(["1"])))
        assert publisher.publish_batch(table.drop_columns(["note"])).stored == 1
        assert publisher.publish_batch(table.slice(0, 0)).stored == 0
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        (event,) = take(subscriber, 1)
    assert event.data == reading(1)


def test_a_frame_for_a_schema_without_columns_is_refused(in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that columns cannot hold, or a missing extra, is an error with the reason; mappings are published all the same."""
    fields = [*READING["fields"], {"name": "next", "type": ["null", "Reading"], "default": None}]
    binding = in_memory_mesh.product(READING | {"fields": fields})
    rows = [reading(1) | {"next": None}]
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises(EncodeError, match=r"cannot be written by columns: the record .* holds itself"):
            publisher.publish_batch(pa.Table.from_pylist(rows))
        assert publisher.publish_batch(rows).stored == 1
        monkeypatch.setattr("meshport.columnar.unavailable", lambda: "pyruhvro is not installed")
        with pytest.raises(EncodeError, match="pyruhvro is not installed"):
            publisher.publish_batch(pa.Table.from_pylist(rows))


def test_a_full_queue_waits_for_room(in_memory_mesh: Mesh) -> None:
    """Rows that come faster than the broker takes them wait for room; nothing is lost, nothing is doubled."""
    binding = in_memory_mesh.product()
    tight = Connections({"queue.buffering.max.messages": 10, "linger.ms": 50})
    with Publisher(binding.address, in_memory_mesh.registry, kafka=tight) as publisher:
        report = publisher.publish_batch(pa.Table.from_pylist([reading(number) for number in range(200)]))
    assert report.stored == 200
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        assert sorted(numbers(take(subscriber, 200))) == list(range(200))
