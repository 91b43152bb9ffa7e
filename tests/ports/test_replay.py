"""Replays: bounded by time or offset, marked, and harmless to live groups."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.errors import EventError, NotRegistered, ReplayError
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Bound, Offsets, Replay
from meshport.ports.subscriber import BadEvent, Subscriber
from tests.connections import CONNECTIONS, client_settings, connection
from tests.mesh_session import READING, Mesh
from tests.ports.readings import BEGIN, fill, numbers, reading, take

HOUR = timedelta(hours=1)


def replayed(mesh: Mesh, binding: Binding, begin: Bound = None, end: Bound = None) -> list[int]:
    """The readings that such a replay gives, sorted."""
    with Replay(binding.address, mesh.registry, begin=begin, end=end, kafka=CONNECTIONS) as job:
        return sorted(numbers(job.events()))


@contextmanager
def transaction(binding: Binding) -> Iterator[ClientProducer]:
    """A raw transactional producer within its transaction, which the test ends."""
    producer = ClientProducer(
        {**client_settings(binding.bootstrap_servers), "transactional.id": f"raw-{binding.topic}", "log_level": 0}
    )
    producer.init_transactions(15)
    producer.begin_transaction()
    yield producer


def produce(producer: ClientProducer, mesh: Mesh, binding: Binding, which: range) -> None:
    """The readings of these numbers through somebody else's producer."""
    writer = Publisher(binding.address, mesh.registry, kafka=CONNECTIONS)._writer
    for number in which:
        value, headers = writer.message(reading(number), id=f"id-{number}", time=reading(number)["at"])
        producer.produce(binding.topic, value, reading(number)["sensor"].encode(), headers=list(headers))
    producer.flush(10)


def test_a_replay_by_time_goes_by_when_facts_happened(ports: Mesh) -> None:
    """From..to means event time, the end excluded; what was recorded late, and out of order, is found too."""
    binding = ports.product()
    fill(ports, binding.address, [*range(60, 120), *range(200, 260), *range(60)])  # the first hour is recorded last
    assert replayed(ports, binding, BEGIN + HOUR / 2, BEGIN + 1.5 * HOUR) == list(range(30, 90))
    assert replayed(ports, binding, end=BEGIN + HOUR) == list(range(60))
    assert replayed(ports, binding, begin=BEGIN + 2 * HOUR) == list(range(200, 260))
    assert replayed(ports, binding) == [*range(120), *range(200, 260)]


def test_a_bound_in_another_zone_is_the_same_instant(in_memory_mesh: Mesh) -> None:
    """Bounds are instants: a zone of its own changes nothing."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(10))
    east = timezone(timedelta(hours=5, minutes=30))
    begin, end = (BEGIN + timedelta(minutes=minute) for minute in (3, 5))
    assert replayed(in_memory_mesh, binding, begin.astimezone(east), end.astimezone(east)) == [3, 4]


def test_events_recorded_after_the_time_asked_for_are_found(ports: Mesh) -> None:
    """A begin of a moment ago still finds what was recorded before it and happened after it, by a fast clock."""
    binding = ports.product()
    now = datetime.now(UTC)
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(1, at=now - HOUR))
        publisher.publish(reading(2, at=now + HOUR))
    assert replayed(ports, binding, now) == [2]
    assert replayed(ports, binding, now - timedelta(days=3), now) == [1]


def test_a_replay_by_offset(ports: Mesh) -> None:
    """Offsets bound each partition: one for all, or one each; the end is excluded and may lie beyond the log."""
    binding = ports.product()
    fill(ports, binding.address, range(0, 100, 10))  # one key, one partition
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        partition = take(subscriber, 1)[0].partition
    assert replayed(ports, binding, Offsets(2), Offsets(5)) == [20, 30, 40]
    assert replayed(ports, binding, Offsets(each={partition: 7})) == [70, 80, 90]
    assert replayed(ports, binding, end=Offsets(each={partition: 2})) == [0, 10]
    assert replayed(ports, binding, Offsets(8), Offsets(10**9)) == [80, 90]
    assert replayed(ports, binding, Offsets(10**9)) == []
    assert replayed(ports, binding, Offsets(3), BEGIN + timedelta(minutes=50)) == [30, 40]


def test_a_time_and_offsets_bound_one_replay(in_memory_mesh: Mesh) -> None:
    """A bound of a time and offsets holds in both; either may be the narrower."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(0, 100, 10))  # one key, one partition
    late, early = BEGIN + timedelta(minutes=50), BEGIN + timedelta(minutes=10)
    assert replayed(in_memory_mesh, binding, (early, Offsets(4)), (late, Offsets(9))) == [40]
    assert replayed(in_memory_mesh, binding, (late, Offsets(4)), (late + HOUR, Offsets(7))) == [50, 60]


def test_bounds_are_fixed_at_the_start(ports: Mesh) -> None:
    """Events that come while a replay runs, or between its making and its reading, are not part of it; it ends."""
    binding = ports.product()
    fill(ports, binding.address, range(50))
    done = threading.Event()

    def go_on() -> None:
        with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
            number = 1000
            while not done.is_set():
                publisher.publish(reading(number))
                publisher.flush()
                number += 1

    live = threading.Thread(target=go_on)
    with Replay(binding.address, ports.registry, kafka=CONNECTIONS) as job:
        live.start()
        try:
            found = numbers(job.events())
        finally:
            done.set()
            live.join()
    assert sorted(found) == list(range(50))


def test_each_event_carries_the_jobs_id(ports: Mesh) -> None:
    """Events of a replay are marked with `replayid`, beside the extensions of the first time; `history` has no mark."""
    binding = ports.product()
    ids = fill(ports, binding.address, range(3))
    with Replay(binding.address, ports.registry, id="again-1", kafka=CONNECTIONS) as job:
        events = list(job.events())
    assert {event.id for event in events} == set(ids)
    assert {event.attributes()["replayid"] for event in events} == {"again-1"}
    with Replay(binding.address, ports.registry, kafka=CONNECTIONS) as other:
        assert len(other.id) == 32
        assert all("replayid" not in event.attributes() for event in other.history())


@pytest.mark.kafka
def test_a_live_group_stays_where_it_is(mesh: Mesh) -> None:
    """A replay reads without joining a live group, and commits nothing, neither under that group nor its own."""
    binding = mesh.product()
    fill(mesh, binding.address, range(20))
    with Subscriber(binding.address, mesh.registry, group="live", kafka=CONNECTIONS) as live:
        take(live, 11)
        live.commit()
        with Consumer(connection(binding.bootstrap_servers), group="live") as looking:
            before = looking.committed(binding.topic)
            with Replay(binding.address, mesh.registry, id="own", kafka=CONNECTIONS) as job:
                assert sorted(numbers(job.events())) == list(range(20))
            assert looking.committed(binding.topic) == before
        assert sum(before.values()) == 10
    with Consumer(connection(binding.bootstrap_servers), group="meshport-replay-own") as own:
        assert own.committed(binding.topic) == {}


def test_progress_is_told_to_the_end(ports: Mesh) -> None:
    """Progress never falls and ends with all offsets read, whether or not each held an event of the stretch."""
    binding = ports.product()
    fill(ports, binding.address, range(100))
    told: list[tuple[int, int]] = []
    with Replay(binding.address, ports.registry, end=BEGIN + timedelta(minutes=10), kafka=CONNECTIONS) as job:
        assert len(list(job.events(progress=lambda *step: told.append(step)))) == 10
    assert told == sorted(told)
    assert told[-1] == (100, 100)


@pytest.mark.kafka
def test_transaction_markers_at_the_end_do_not_hang_it(mesh: Mesh) -> None:
    """Markers take offsets that no message has; a replay over them, also of an aborted transaction, ends at once."""
    binding = mesh.product()
    with transaction(binding) as producer:
        produce(producer, mesh, binding, range(40))
        producer.commit_transaction(10)
        producer.begin_transaction()
        produce(producer, mesh, binding, range(40, 50))
        producer.abort_transaction(10)
    assert replayed(mesh, binding) == list(range(40))
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as job:
        assert job.range.total > 50, "markers are counted among the offsets"


@pytest.mark.kafka
def test_an_open_transaction_is_not_waited_for(mesh: Mesh) -> None:
    """What is not committed when a replay begins is not part of it, though it may be committed later."""
    binding = mesh.product()
    fill(mesh, binding.address, range(10))
    with transaction(binding) as producer:
        produce(producer, mesh, binding, range(10, 20))
        assert replayed(mesh, binding) == list(range(10))
        producer.commit_transaction(10)
    assert replayed(mesh, binding) == list(range(20))


@pytest.mark.kafka
def test_a_stretch_of_which_nothing_is_left_ends(mesh: Mesh) -> None:
    """Offsets without a message, at the beginning and all through to the end, are passed over; an empty log is no error."""
    binding = mesh.product()
    with transaction(binding) as producer:
        produce(producer, mesh, binding, range(10))
        producer.abort_transaction(10)
    assert replayed(mesh, binding) == []
    fill(mesh, binding.address, range(20, 25))
    assert replayed(mesh, binding) == list(range(20, 25))


def test_an_empty_port_gives_nothing(ports: Mesh) -> None:
    """A replay of a port without events, or of a stretch without any, is an empty one."""
    binding = ports.product()
    assert replayed(ports, binding) == []
    fill(ports, binding.address, range(3))
    assert replayed(ports, binding, BEGIN - HOUR, BEGIN) == []


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        (BEGIN, BEGIN, "not after it begins"),
        (BEGIN + HOUR, BEGIN, "not after it begins"),
        (datetime(2026, 3, 1), None, "without a zone"),  # noqa: DTZ001 - the point
        (None, datetime(2026, 3, 1), "without a zone"),  # noqa: DTZ001 - the point
        (Offsets(7), Offsets(5), "end at offset 5 .* not after it begins at 7"),
        (Offsets(5), Offsets(5), "end at offset 5 .* not after it begins at 5"),
        (Offsets(-1), None, "-1"),
        (Offsets(each={9: 1}), None, "no partition 9"),
        (None, Offsets(each={4: 1}), "no partition 4"),
    ],
)
def test_bounds_that_are_none_are_refused(in_memory_mesh: Mesh, begin: Bound, end: Bound, told: str) -> None:
    """An end at or before the beginning, a time without a zone, an offset or partition that cannot be: refused, not emptied."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(3))
    with pytest.raises(ReplayError, match=told):
        Replay(binding.address, in_memory_mesh.registry, begin=begin, end=end, kafka=CONNECTIONS)


def test_an_unknown_address_is_refused(in_memory_mesh: Mesh) -> None:
    """There is no replay of an address that is not registered."""
    with pytest.raises(NotRegistered):
        Replay("nobody/nothing", in_memory_mesh.registry, kafka=CONNECTIONS)


def test_what_cannot_be_read_stops_it_or_is_told(in_memory_mesh: Mesh) -> None:
    """Without `on_bad` the error names the offset; with it the replay continues after the message."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, [1])
    with Producer(connection(binding.bootstrap_servers)) as producer:
        producer.deliver([Message(binding.topic, b"s1", b"nonsense")])
    fill(in_memory_mesh, binding.address, [11])
    with (
        Replay(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as job,
        pytest.raises(EventError, match=r"events\.v1\[\d\]@1: "),
    ):
        list(job.events())
    bad: list[BadEvent] = []
    with Replay(binding.address, in_memory_mesh.registry, on_bad=bad.append, kafka=CONNECTIONS) as job:
        assert numbers(job.events()) == [1, 11]
    assert [each.message.value() for each in bad] == [b"nonsense"]


@pytest.mark.kafka
def test_compacted_history_keeps_the_last_of_each_key(mesh: Mesh) -> None:
    """Tombstones and rows of a compacted port come as they stand in the log, the gaps between them passed over."""
    binding = mesh.product(READING, key="sensor", time="at", cleanup="compact")
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(20):
            publisher.publish(reading(number, sensor="s"))
        publisher.retract({"sensor": "s"}, time=BEGIN + HOUR)
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as job:
        events = list(job.events())
    assert [event.is_tombstone for event in events] == [False] * 20 + [True]
    assert events[-1].time == BEGIN + HOUR
