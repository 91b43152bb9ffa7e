"""Archive and topic are read as one log: no gap, no double, the topic's offsets throughout, whatever retention took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from meshport import AsyncSubscriber
from meshport.archive.open_archives import OpenArchives
from meshport.archive.reader import LogReader
from meshport.archive.upkeep import compact, expire
from meshport.binding import Binding
from meshport.errors import HistoryMissing
from meshport.gate.proof import prove
from meshport.gate.sampling import Sample
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.history import Missing
from meshport.ports.replay import Offsets, Replay
from meshport.ports.subscriber import Subscriber
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.rebuild import Rebuild
from meshport.schema import Schema
from tests.archive.archives import archived
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import BEGIN, cut, fill, numbers, take
from tests.rebuild.shop import cut as cut_all
from tests.rebuild.shop import open_shop
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka


@pytest.fixture
def port(mesh: Mesh, tmp_path: Path) -> Binding:
    """A port of one partition: readings 0 to 99 are archived, 60 to 129 are in its topic."""
    binding = declared(mesh, tmp_path)
    fill(mesh, binding.address, range(100))
    archived(mesh, binding, tmp_path)
    fill(mesh, binding.address, range(100, 130))
    cut(binding, 60)
    return binding


def declared(mesh: Mesh, folder: Path, partitions: int = 1) -> Binding:
    """A port that declares an archive."""
    return mesh.product(partitions=partitions, archive={"store": folder.as_uri()})


def subscriber(mesh: Mesh, binding: Binding, **given: Any) -> Subscriber:
    """A subscriber of the port."""
    return Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS, **given)


def replayed(mesh: Mesh, binding: Binding, **given: Any) -> list[int]:
    """The readings of a replay."""
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS, **given) as replay:
        return numbers(replay.history())


def test_a_binding_has_the_archive_that_its_port_declares(mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """Readers need nothing else to find it."""
    assert port.archive is not None
    assert port.archive.store == tmp_path.as_uri()
    assert mesh.product().archive is None


def test_a_subscriber_reads_from_the_beginning(mesh: Mesh, port: Binding) -> None:
    """Each event once and in order, with the offsets that the topic gave."""
    with subscriber(mesh, port) as reading:
        events = take(reading, 130)
    assert numbers(events) == [*range(130)]
    assert [each.offset for each in events] == [*range(130)]


def test_an_event_of_the_archive_is_that_of_the_topic(mesh: Mesh, tmp_path: Path) -> None:
    """It is equal in all that a reader sees: data, attributes, key, offset, timestamp."""
    binding = declared(mesh, tmp_path, partitions=2)
    fill(mesh, binding.address, range(50))
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
        of_topic = sorted(replay.history(), key=lambda each: each.id)
    archived(mesh, binding, tmp_path)
    cut(binding, -1)
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
        of_both = sorted(replay.history(), key=lambda each: each.id)
    assert of_both == of_topic
    assert [(each.partition, each.offset, each.timestamp_ms, each.key) for each in of_both] == [
        (each.partition, each.offset, each.timestamp_ms, each.key) for each in of_topic
    ]


def test_a_group_goes_on_within_the_archive(mesh: Mesh, port: Binding) -> None:
    """Its offsets are the topic's, also before the topic begins: it leaves off and goes on at any of them."""
    group = f"g{uuid4().hex[:8]}"
    found: list[int] = []
    for count in (31, 41, 60):  # the last event of each is not handled
        with subscriber(mesh, port, group=group) as reading:
            found += numbers(take(reading, count))[:-1]
    assert found == [*range(129)]
    with Consumer(mesh.kafka, group=group) as looking:
        assert looking.committed(port.topic) == {0: 129}


def test_members_of_a_group_share_the_archive(mesh: Mesh, tmp_path: Path) -> None:
    """A second member takes over a partition in the middle of the archive: each record is read once."""
    binding = declared(mesh, tmp_path, partitions=2)
    fill(mesh, binding.address, range(400))
    archived(mesh, binding, tmp_path)
    fill(mesh, binding.address, range(400, 450))
    remove_most(mesh, binding)
    positions: dict[TopicPartition, int] = {}
    seen: list[tuple[int, int]] = []
    group = f"g{uuid4().hex[:8]}"
    with (
        LogReader(mesh.kafka, [binding], group=group) as first,
        LogReader(mesh.kafka, [binding], group=group) as second,
    ):

        def handle(messages: Sequence[ReceivedMessage]) -> int:
            for each in messages:
                seen.append((each.partition(), each.offset()))
                positions[TopicPartition(binding.topic, each.partition())] = each.offset() + 1
            return len(messages)

        for each in (first, second):
            each.join(
                [binding.topic],
                on_assign=lambda partitions: {one: positions.get(one, 0) for one in partitions},
                on_revoke=lambda _: None,
            )
        wait_for(lambda: handle(first.read(5, 0.1)) and len(seen) >= 20, lambda: f"{len(seen)} of 20")
        wait_for(
            lambda: handle(first.keep_alive()) == 0 and handle(second.read(5, 0.1)),
            lambda: f"the second member: {second.assigned}",
        )
        wait_for(
            lambda: handle(first.read(50, 0.1)) + handle(second.read(50, 0.1)) >= 0 and len(seen) >= 450,
            lambda: f"{len(seen)} of 450",
        )
        assert (len(first.assigned), len(second.assigned)) == (1, 1)
    assert len(set(seen)) == len(seen) == 450


def remove_most(mesh: Mesh, binding: Binding) -> None:
    """Remove most records of each partition."""
    with Consumer(mesh.kafka) as looking:
        ends = looking.end_offsets(binding.topic)
    before = [ClientPartition(binding.topic, each, end - 40) for each, end in ends.items()]
    admin = AdminClient(mesh.kafka.client_properties({}))  # answers come for as long as it is there
    for done in admin.delete_records(before).values():
        done.result(timeout=PATIENCE_S)


def test_retention_that_passes_the_archives_end_while_it_is_read(mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """The archive has gone on meanwhile, and is read on: nothing is missing between the two."""
    with subscriber(mesh, port) as reading:
        events = take(reading, 50)[:-1]
        archived(mesh, port, tmp_path)
        fill(mesh, port.address, range(130, 140))
        cut(port, 128)
        events += take(reading, 91)
    assert numbers(events) == [*range(140)]


def test_a_reader_of_the_topic_whom_retention_overtakes(mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """It reads on in the archive, and comes back to the topic."""
    group = f"g{uuid4().hex[:8]}"
    with subscriber(mesh, port, group=group) as reading:
        assert numbers(take(reading, 116))[-1] == 115
    fill(mesh, port.address, range(130, 150))
    archived(mesh, port, tmp_path)
    fill(mesh, port.address, range(150, 160))
    cut(port, 145)
    with subscriber(mesh, port, group=group) as reading:
        assert numbers(take(reading, 45)) == [*range(115, 160)]


def test_files_that_are_removed_while_they_are_read(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader whose snapshot has expired, with its files, reads on in those that replaced them."""
    binding = declared(mesh, tmp_path)
    for begin in range(0, 120, 10):
        fill(mesh, binding.address, range(begin, begin + 10))
        table = archived(mesh, binding, tmp_path)
    monkeypatch.setattr("meshport.archive.table._BYTES", 1)  # a message at a time is read
    reading = OpenArchives([binding]).read(TopicPartition(binding.topic, 0), 0)
    first = [next(reading) for _ in range(10)]
    assert compact(table._table) > 0
    assert expire(table._table, timedelta()) > 0
    rest = [*reading]
    offsets = [each.offset() for _, messages in [*first, *rest] for each in messages]
    assert offsets == [*range(120)]


def test_a_gap_between_the_archive_and_the_topic_is_named(mesh: Mesh, port: Binding) -> None:
    """The archive ends at 100 and the topic begins at 110: who begins before that is refused, or passes over the gap."""
    cut(port, 110)
    with pytest.raises(HistoryMissing, match=r"the offsets 0 to 109 .* begins at offset 110"):
        subscriber(mesh, port)
    with subscriber(mesh, port, missing=Missing.ALLOW) as reading:
        assert numbers(take(reading, 20)) == [*range(110, 130)]
    with subscriber(mesh, port, group="at the gap") as member:
        for _ in range(2):
            with pytest.raises(HistoryMissing, match=r"the offsets 0 to 109 .* begins at offset 110"):
                take(member, 1)


def test_an_archive_that_cannot_be_opened_is_named(
    mesh: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is removed is missing then, and a warning says why the archive does not have it."""
    binding = declared(mesh, tmp_path / "nowhere")
    fill(mesh, binding.address, range(10))
    cut(binding, 5)
    with pytest.raises(HistoryMissing, match="the offsets 0 to 4"):
        subscriber(mesh, binding)
    assert "has no archive in file:///" in caplog.text
    assert {each.levelno for each in caplog.records if "archive" in each.message} == {logging.WARNING}


def test_a_replay_by_offset_and_by_time(mesh: Mesh, port: Binding) -> None:
    """Both bounds may be in the archive, or one in each."""
    assert replayed(mesh, port) == [*range(130)]
    assert replayed(mesh, port, begin=Offsets(20), end=Offsets(30)) == [*range(20, 30)]
    assert replayed(mesh, port, begin=Offsets(55), end=Offsets(105)) == [*range(55, 105)]
    since, until = (BEGIN + timedelta(minutes=each) for each in (40, 110))
    assert replayed(mesh, port, begin=since, end=until) == [*range(40, 110)]


def test_a_time_at_which_an_archived_event_was_recorded(mesh: Mesh, tmp_path: Path) -> None:
    """A subscriber that begins at a recorded time begins in the archive, where the time is there."""
    binding = declared(mesh, tmp_path)
    raw = Producer(mesh.kafka.client_properties({}))
    for number in range(10):
        raw.produce(binding.topic, b"x", timestamp=1_700_000_000_000 + 1000 * number)
    assert raw.flush(PATIENCE_S) == 0
    archived(mesh, binding, tmp_path)
    cut(binding, 8)
    bad: list[int] = []
    start = BEGIN.fromtimestamp(1_700_000_004, BEGIN.tzinfo)
    with subscriber(mesh, binding, start=start, on_bad=lambda each: bad.append(each.message.offset())) as reading:
        batches = reading.batches(wait_s=0.1)
        wait_for(lambda: next(batches) is not None and len(bad) == 6, lambda: f"{bad}")
    assert bad == [*range(4, 10)]


def test_a_seek_into_the_archive_and_back(mesh: Mesh, port: Binding) -> None:
    """The reader goes on from there, and through the topic."""
    with subscriber(mesh, port, group=f"g{uuid4().hex[:8]}") as reading:
        assert numbers(take(reading, 120))[-1] == 119
        reading.seek({0: 10})
        take(reading, 1)  # the event at which `take` left off
        assert numbers(take(reading, 20)) == [*range(10, 30)]
        reading.seek({0: 90})
        take(reading, 1)
        assert numbers(take(reading, 40)) == [*range(90, 130)]
        reading.seek({0: 125})
        take(reading, 1)
        assert numbers(take(reading, 5)) == [*range(125, 130)]


def test_batches_and_columns(mesh: Mesh, port: Binding) -> None:
    """By batches and by columns, the whole log as well."""
    with subscriber(mesh, port) as reading:
        found: list[int] = []
        for batch in reading.batches(37):
            found += numbers(batch)
            if len(found) == 130:
                break
    assert found == [*range(130)]
    with subscriber(mesh, port) as reading:
        rows: list[float] = []
        for columns in reading.arrow_batches(50):
            rows += columns.data.column("celsius").to_pylist()
            if len(rows) == 130:
                break
    assert rows == [float(each) for each in range(130)]


def test_an_asynchronous_subscriber(mesh: Mesh, port: Binding) -> None:
    """It reads the same log."""

    async def read() -> list[int]:
        found: list[int] = []
        async with (
            AsyncSubscriber(port.address, mesh.registry, kafka=CONNECTIONS) as reading,
            asyncio.timeout(PATIENCE_S),
        ):
            async for event in reading:
                found += numbers([event])
                if len(found) == 130:
                    break
        return found

    assert asyncio.run(read()) == [*range(130)]


def test_the_gate_proves_on_all_of_it(mesh: Mesh, port: Binding) -> None:
    """`gate check --history` reads archive and topic, whole or by sample, and nothing counts as removed."""
    contract = Schema(port.schema_text)
    found = prove(port, contract, mesh.registry, kafka=CONNECTIONS)
    assert (found.events, found.removed, found.span) == (130, 0, 130)
    sampled = prove(port, contract, mesh.registry, kafka=CONNECTIONS, sample=Sample(events=30, slices=6))
    assert sampled.sampled
    assert 12 <= sampled.events <= 30  # slices by offset and by time may be of the same events


def test_a_joined_table_is_read_from_the_beginning(mesh: Mesh, port: Binding) -> None:
    """A worker reads the rows of a joined port as one log, and at the next call those that were written since."""
    with closing(KafkaLog(mesh.kafka, ports=[port])) as log:
        assert [each.offset for each in log.rows(port.topic)] == [*range(130)]
        fill(mesh, port.address, range(130, 135))
        assert [each.offset for each in log.rows(port.topic)] == [*range(130, 135)]


def test_a_rebuild_reads_all_of_it(mesh: Mesh, tmp_path: Path) -> None:
    """A generation that is built anew from half an archived topic equals the one that was built from the whole."""
    shop = open_shop(mesh, tmp_path, archive={"store": (tmp_path / "archive").as_uri()})
    product = shop.totals(tmp_path)
    shop.sell(200)
    shop.build(product)
    source = mesh.registry.refresh(shop.orders)
    archived(mesh, source, tmp_path / "archive")
    cut_all(shop, source.topic)
    report = Rebuild(product, mesh.registry, kafka=CONNECTIONS).run()
    assert report.equal
    assert report.processed.read == 200
