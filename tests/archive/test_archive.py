"""The archive of a port: the whole log and the contract's columns, each record once, whatever ends the process."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer

from meshport.archive.table import ArchiveTable
from meshport.archiving import move_groups, restore
from meshport.archiving.columns import ArchiveColumns
from meshport.errors import ArchiveError, HistoryMissing
from meshport.kafka.admin import Admin
from meshport.ports.publisher import Publisher
from meshport.schema import parse_schema
from tests.archive.archives import Killed, archived, archiver, comparison, place_in, rows_of
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.readings import BEGIN, cut, fill, reading
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka


def numbers(rows: list[dict[str, Any]]) -> list[float]:
    """The numbers of the readings."""
    return sorted(each["celsius"] for each in rows if each["celsius"] is not None)


def test_rows_have_the_log_and_the_contract(mesh: Mesh, tmp_path: Path) -> None:
    """Each message is a row: its bytes, headers, times and offset, and the fields of its event."""
    binding = mesh.product()
    ids = fill(mesh, binding.address, range(100))
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        gone = publisher.submit_retraction({"sensor": "s7"}).result(PATIENCE_S)
    table = archived(mesh, binding, tmp_path)
    rows = rows_of(table)
    assert numbers(rows) == [float(each) for each in range(100)]
    assert {each["_id"] for each in rows} == {*ids, gone}
    (third,) = [each for each in rows if each["celsius"] == 3.0]
    assert third["at"] == third["_time"] == BEGIN + timedelta(minutes=3)
    assert third["_key"] == b"s3"
    assert third["_value"][:1] == b"\0"
    assert {"name": "ce_id", "value": third["_id"].encode()} in third["_headers"]
    assert (third["_schema_id"], third["_fingerprint"]) == (binding.schema_id, binding.fingerprint)
    assert third["_problem"] is None
    assert third["_kafka_timestamp"].utcoffset() == timedelta()
    (retraction,) = [each for each in rows if each["_value"] is None]
    assert (retraction["_key"], retraction["sensor"], retraction["_problem"]) == (b"s7", None, None)
    found = comparison(mesh, binding, table)
    assert all(each.agrees for each in found)
    assert sum(each.equal for each in found) == 101


@pytest.mark.parametrize("fatal", ["before", "after"])
def test_a_run_that_is_killed_doubles_and_loses_nothing(mesh: Mesh, tmp_path: Path, fatal: str) -> None:
    """Killed before and after each of some commits, the archive has each record once."""
    binding = mesh.product()
    for begin in range(0, 3000, 1000):
        fill(mesh, binding.address, range(begin, begin + 1000))
        one = archiver(mesh, binding, tmp_path, rows=300, fatal=fatal)
        with suppress(Killed):
            one.catch_up()
        one.close()
    table = archived(mesh, binding, tmp_path)
    assert numbers(rows_of(table)) == [float(each) for each in range(3000)]
    assert all(each.agrees and not each.removed for each in comparison(mesh, binding, table))


def test_two_archivers_of_a_port_double_nothing(mesh: Mesh, tmp_path: Path) -> None:
    """The second one to commit the same offsets is refused, and goes on behind the first."""
    binding = mesh.product()
    fill(mesh, binding.address, range(500))
    first, second = (archiver(mesh, binding, tmp_path) for _ in range(2))
    for each in (first, second, first, second):
        each.catch_up()
        fill(mesh, binding.address, range(500, 510))
    first.catch_up()
    first.close()
    second.close()
    table = ArchiveTable.open(place_in(tmp_path), binding)
    assert all(each.agrees for each in comparison(mesh, binding, table))
    assert len(rows_of(table)) == 540


def test_what_retention_took_after_it_was_archived_stays(mesh: Mesh, tmp_path: Path) -> None:
    """The archive has the beginning, the topic its end; where both have a record it is the same."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(100))
    archived(mesh, binding, tmp_path)
    fill(mesh, binding.address, range(100, 150))
    cut(binding, 90)
    table = archived(mesh, binding, tmp_path)
    assert numbers(rows_of(table)) == [float(each) for each in range(150)]
    (found,) = comparison(mesh, binding, table)
    assert (found.begin, found.end, found.equal, found.agrees) == (90, 150, 60, True)


def test_what_retention_took_before_it_was_archived_is_named(mesh: Mesh, tmp_path: Path) -> None:
    """A gap is an error with its offsets, never silence."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(100))
    archived(mesh, binding, tmp_path)
    fill(mesh, binding.address, range(100, 150))
    cut(binding, 120)
    with pytest.raises(
        HistoryMissing, match=r"ends at offset 100 of .* begins at 120: 20 offsets were removed"
    ) as raised:
        archived(mesh, binding, tmp_path)
    assert (raised.value.partition, raised.value.offset) == (0, 120)


def test_an_archive_begins_where_the_topic_begins(mesh: Mesh, tmp_path: Path) -> None:
    """What was removed before there was an archive is no gap in it."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(50))
    cut(binding, 20)
    table = archived(mesh, binding, tmp_path)
    assert (table.archived[0].begin, table.archived[0].end) == (20, 50)
    assert numbers(rows_of(table)) == [float(each) for each in range(20, 50)]


def test_messages_that_are_no_events_are_kept_with_the_reason(mesh: Mesh, tmp_path: Path) -> None:
    """Bytes that no schema reads are a row whose columns are null; they agree with the topic as all do."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(10))
    raw = Producer(mesh.kafka.client_properties({}))
    raw.produce(binding.topic, b"\0\0\0\0\1not Avro", b"k", headers=[("a", None), ("a", b"twice")], timestamp=1_000)
    raw.produce(binding.topic, b"", None)
    assert raw.flush(PATIENCE_S) == 0
    fill(mesh, binding.address, range(10, 20))
    table = archived(mesh, binding, tmp_path)
    rows = rows_of(table)
    assert [each["_problem"] is None for each in rows] == [True] * 10 + [False] * 2 + [True] * 10
    assert rows[10]["_headers"] == [{"name": "a", "value": None}, {"name": "a", "value": b"twice"}]
    assert rows[10]["_kafka_timestamp"] == rows[10]["_time"] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert rows[11]["_key"] is None
    assert rows[11]["_value"] == b""
    (found,) = comparison(mesh, binding, table)
    assert found.agrees
    assert found.equal == 22


def test_aborted_transactions_are_not_archived(mesh: Mesh, tmp_path: Path) -> None:
    """A committed reader's log: markers and aborted messages leave offsets without a row, and the archive goes on behind them."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(5))
    writer = Producer(mesh.kafka.client_properties({}) | {"transactional.id": f"t{uuid4().hex}"})
    writer.init_transactions(PATIENCE_S)
    for end in (writer.abort_transaction, writer.commit_transaction):
        writer.begin_transaction()
        writer.produce(binding.topic, None, b"in a transaction")
        assert writer.flush(PATIENCE_S) == 0
        end(PATIENCE_S)
    fill(mesh, binding.address, range(5, 10))
    table = archived(mesh, binding, tmp_path, rows=3)
    assert [each["_kafka_offset"] for each in rows_of(table)] == [0, 1, 2, 3, 4, 7, 9, 10, 11, 12, 13]
    assert all(each.agrees for each in comparison(mesh, binding, table))


def test_a_new_field_of_the_contract_is_a_new_column(mesh: Mesh, tmp_path: Path) -> None:
    """Rows of before have null there."""
    name = f"grows-{uuid4().hex[:8]}"
    binding = mesh.product(READING, name=name, key="sensor", time="at")
    fill(mesh, binding.address, range(3))
    archived(mesh, binding, tmp_path)
    wider = {**READING, "fields": [*READING["fields"], {"name": "place", "type": ["null", "string"], "default": None}]}
    grown = mesh.evolve(binding, wider)
    with Publisher(grown.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(3) | {"place": "roof"})
    rows = rows_of(archived(mesh, grown, tmp_path))
    assert sorted((each["celsius"], each["place"]) for each in rows[:3]) == [(0.0, None), (1.0, None), (2.0, None)]
    assert [each["place"] for each in rows if each["celsius"] == 3.0] == ["roof"]


def test_a_type_that_iceberg_does_not_widen_keeps_its_column(
    mesh: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A float that becomes text is null from then on, which is logged; the bytes are all there."""
    binding = mesh.product(READING, key="sensor", time="at", compatibility="NONE")
    fill(mesh, binding.address, range(3))
    archived(mesh, binding, tmp_path)
    other = {
        **READING,
        "fields": [each | {"type": "string"} if each["name"] == "celsius" else each for each in READING["fields"]],
    }
    changed = mesh.evolve(binding, other)
    with Publisher(changed.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(3) | {"celsius": "cold"})
    table = archived(mesh, changed, tmp_path)
    assert sorted(numbers(rows_of(table))) == [0.0, 1.0, 2.0]
    assert len(rows_of(table)) == 4
    assert "the column celsius of the archive keeps its type" in caplog.text
    assert all(each.agrees for each in comparison(mesh, changed, table))


RECURSIVE = {
    "type": "record",
    "name": "tests.Tree",
    "fields": [{"name": "id", "type": "string"}, {"name": "left", "type": ["null", "tests.Tree"], "default": None}],
}


def test_a_contract_without_columns_is_archived_as_bytes(mesh: Mesh, tmp_path: Path) -> None:
    """A recursive record has no columns; its log is whole, and `_problem` says why."""
    binding = mesh.product(RECURSIVE, key="id")
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish({"id": "a", "left": {"id": "b", "left": None}})
    table = archived(mesh, binding, tmp_path)
    (row,) = rows_of(table)
    assert "id" not in row
    assert "holds itself" in row["_problem"]
    assert all(each.agrees for each in comparison(mesh, binding, table))


ODD = {
    "type": "record",
    "name": "tests.Odd",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "long", "type": {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2}},
        {"name": "short", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "moment", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "wall", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "parts", "type": {"type": "array", "items": {"type": "map", "values": "int"}}},
        {"name": "within", "type": {"type": "record", "name": "W", "fields": [{"name": "n", "type": "long"}]}},
    ],
}


def test_types_that_iceberg_has_in_another_form(mesh: Mesh, tmp_path: Path) -> None:
    """Decimals of over 38 digits are text, milliseconds microseconds; an instant beyond these is a problem of its row alone."""
    from decimal import Decimal  # noqa: PLC0415 - of this test

    binding = mesh.product(ODD, key="id")
    record = {
        "id": "a",
        "long": Decimal("1234567890123456789012345678901234567890.25"),
        "short": Decimal("1.50"),
        "moment": datetime(2026, 3, 1, tzinfo=UTC),
        "wall": 3_600_000,
        "parts": [{"x": 1}],
        "within": {"n": 2**40},
    }
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(record)
        publisher.publish(record | {"id": "b", "moment": 2**62})
    rows = {each["id"]: each for each in rows_of(archived(mesh, binding, tmp_path))}
    assert rows["a"]["long"] == "1234567890123456789012345678901234567890.25"
    assert (rows["a"]["short"], rows["a"]["moment"]) == (record["short"], record["moment"])
    assert (rows["a"]["parts"], rows["a"]["within"]) == ([[("x", 1)]], {"n": 2**40})
    assert (rows["b"]["moment"], rows["b"]["short"]) == (None, record["short"])
    assert rows["b"]["_problem"].startswith("moment: ")


@pytest.mark.parametrize("name", ["_kafka_offset", "_partition"])
def test_a_field_with_the_name_of_a_column_of_the_log_or_of_iceberg_is_refused(mesh: Mesh, name: str) -> None:
    """The error names the field."""
    schema = {"type": "record", "name": "tests.Clash", "fields": [{"name": name, "type": "string"}]}
    binding = mesh.product(schema, key=name)
    with pytest.raises(ArchiveError, match=f"has a field '{name}'"):
        ArchiveColumns(binding, mesh.registry, parse_schema(json.dumps(schema)))


def test_verify_finds_what_differs(mesh: Mesh, tmp_path: Path) -> None:
    """A record that the topic has otherwise, and one that the archive lacks, are counted and named."""
    binding, other = mesh.product(partitions=1), mesh.product(partitions=1)
    fill(mesh, binding.address, range(10))
    fill(mesh, other.address, range(12))
    table = archived(mesh, binding, tmp_path)
    changed = other.model_copy(update={"address": binding.address})
    (found,) = comparison(mesh, changed, table)
    assert (found.equal, found.different, found.missing, found.offsets) == (0, 10, 0, [*range(10)])
    assert not found.agrees


def test_an_archive_of_a_topic_that_was_made_again_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    """Its offsets are others: nothing is appended to the old ones."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(3))
    archived(mesh, binding, tmp_path)
    with pytest.raises(ArchiveError, match="deleted and made again"):
        archived(mesh, binding.model_copy(update={"topic_id": "AAAAAAAAAAAAAAAAAAAAAA"}), tmp_path)


def test_a_restored_topic_is_the_log_again_and_groups_go_on(mesh: Mesh, tmp_path: Path) -> None:
    """Keys, values, headers, timestamps and order are equal though offsets had gaps; a group reads what it had not read."""
    binding = mesh.product(partitions=2)
    fill(mesh, binding.address, range(100))
    writer = Producer(mesh.kafka.client_properties({}) | {"transactional.id": f"t{uuid4().hex}"})
    writer.init_transactions(PATIENCE_S)
    for partition in (0, 1):
        writer.begin_transaction()
        writer.produce(binding.topic, None, b"marked", partition=partition, timestamp=1_700_000_000_123)
        writer.commit_transaction(PATIENCE_S)
    fill(mesh, binding.address, range(100, 200))
    group = f"g{uuid4().hex[:8]}"
    read = _read(mesh, binding.topic, group, 130)
    table = archived(mesh, binding, tmp_path)
    topic = f"restored-{uuid4().hex[:8]}"
    offsets = restore(table, topic, mesh.kafka)
    assert offsets.records == 202
    before, after = (_log(mesh, each) for each in (binding.topic, topic))
    assert after == before
    move_groups({group: table.groups[group]}, offsets, topic, mesh.kafka)
    rest = _read(mesh, topic, group, 202 - len(read))
    assert sorted(read + rest, key=repr) == sorted((each[1:3] for log in before.values() for each in log), key=repr)
    with pytest.raises(ArchiveError, match="has records already"):
        restore(table, topic, mesh.kafka)
    found = Admin(mesh.kafka).topic(topic)
    assert found is not None
    assert (found.partitions, found.config["retention.ms"]) == (2, "-1")


@pytest.mark.parametrize(
    ("partitions", "settings", "word"),
    [
        (1, {"retention.ms": "-1"}, "has 1 partitions"),
        (2, {"retention.ms": "1000"}, "retention.ms=1000"),
        (2, {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}, "other timestamps"),
    ],
)
def test_a_topic_that_would_not_keep_the_records_is_refused(
    mesh: Mesh, tmp_path: Path, partitions: int, settings: dict[str, str], word: str
) -> None:
    """Before anything is written, with what would be right."""
    binding = mesh.product(partitions=2)
    fill(mesh, binding.address, range(10))
    table = archived(mesh, binding, tmp_path)
    topic = f"unfit-{uuid4().hex[:8]}"
    Admin(mesh.kafka).ensure_topic(topic, partitions, settings)
    with pytest.raises(ArchiveError, match=word):
        restore(table, topic, mesh.kafka)


def _log(mesh: Mesh, topic: str) -> dict[int, list[tuple[Any, ...]]]:
    """By partition, the records in order, without their offsets."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for each in _messages(mesh, topic, f"g{uuid4().hex}", 202):
        record = (each.timestamp(), each.key(), each.value(), each.headers())
        found.setdefault(each.partition(), []).append(record)
    return found


def _read(mesh: Mesh, topic: str, group: str, count: int) -> list[tuple[Any, ...]]:
    return [(each.key(), each.value()) for each in _messages(mesh, topic, group, count)]


def _messages(mesh: Mesh, topic: str, group: str, count: int) -> list[Any]:
    """The next messages of a group, whose offsets are committed."""
    settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    reader = Consumer(mesh.kafka.client_properties({}) | settings)
    reader.subscribe([topic])
    try:
        found: list[Any] = []
        while len(found) < count:
            batch = reader.consume(count - len(found), PATIENCE_S)
            assert batch
            found += batch
        reader.commit(asynchronous=False)
        return found
    finally:
        reader.close()
