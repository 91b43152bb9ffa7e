"""Beginning at a time, seeking, and members of a group that keep what does not move."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from meshport.binding import Binding
from meshport.errors import HistoryMissing, MeshError, ReplayError
from meshport.event import Event
from meshport.kafka.producer import Message, Producer
from meshport.ports.group_start import Start
from meshport.ports.history import Missing
from meshport.ports.port_writer import PortWriter
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from meshport.ports.subscription import Subscription
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import BEGIN, cut, fill, numbers, reading, take
from tests.ports.test_subscribe import QUICK, committed
from tests.waiting import patiently, wait_for


def group() -> str:
    """The name of a group that no other test has."""
    return f"seekers-{uuid4().hex[:8]}"


def record(mesh: Mesh, binding: Binding, which: Sequence[int]) -> None:
    """Store readings as if each had been recorded at its own time: one a minute."""
    writer = PortWriter(binding)
    messages = []
    for number in which:
        _, value, key, headers = writer.message(reading(number))
        messages.append(Message(binding.topic, key, value, headers, int(reading(number)["at"].timestamp() * 1000)))
    with Producer(mesh.kafka) as producer:
        producer.deliver(messages)


@pytest.mark.kafka
@pytest.mark.parametrize("grouped", [False, True])
def test_a_start_may_be_a_time(mesh: Mesh, grouped: bool) -> None:
    """A subscriber begins with the events that were recorded at that time or later; a group keeps this place."""
    binding = mesh.product()
    record(mesh, binding, range(20))
    name = group() if grouped else None
    begin = BEGIN + timedelta(minutes=12)
    with Subscriber(binding.address, mesh.registry, group=name, start=begin, kafka=QUICK) as subscriber:
        assert sorted(numbers(take(subscriber, 8))) == list(range(12, 20))
    if name is not None:
        with Subscriber(binding.address, mesh.registry, group=name, kafka=QUICK) as subscriber:
            assert numbers(take(subscriber, 1))[0] >= 12, "what is committed counts, not the start"


@pytest.mark.kafka
def test_a_time_of_removed_history_is_an_error(mesh: Mesh) -> None:
    """A start before the first record that is left misses events; one after it misses none."""
    binding = mesh.product(partitions=1)
    record(mesh, binding, range(10))
    cut(binding, 5)
    with pytest.raises(HistoryMissing, match="removed from the log"):
        Subscriber(binding.address, mesh.registry, start=BEGIN, kafka=QUICK)
    with Subscriber(binding.address, mesh.registry, start=BEGIN, missing=Missing.ALLOW, kafka=QUICK) as subscriber:
        assert numbers(take(subscriber, 5)) == [5, 6, 7, 8, 9]
    later = BEGIN + timedelta(minutes=7)
    with Subscriber(binding.address, mesh.registry, group=group(), start=later, kafka=QUICK) as subscriber:
        assert numbers(take(subscriber, 3)) == [7, 8, 9]


def test_a_time_without_a_zone_is_refused(in_memory_mesh: Mesh) -> None:
    """It would be read in the machine's zone; so is one to seek to."""
    binding = in_memory_mesh.product()
    with pytest.raises(ReplayError, match="a time without a zone"):
        Subscriber(binding.address, in_memory_mesh.registry, start=datetime(2026, 3, 1), kafka=CONNECTIONS)  # noqa: DTZ001 - the fault
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        with pytest.raises(ReplayError, match="a time without a zone"):
            subscriber.seek(datetime(2026, 3, 1))  # noqa: DTZ001 - the fault
        with pytest.raises(ReplayError, match="counted from 0"):
            subscriber.seek({0: -1})


def test_a_seek_continues_elsewhere_after_the_present_event(in_memory_mesh: Mesh) -> None:
    """Back to the beginning, to an offset, and to the end; what was fetched and not given is dropped."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(40):
            publisher.publish(reading(number, sensor="one"))
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        (partition,) = {event.partition for event in take(subscriber, 25)}
        subscriber.seek(Start.EARLIEST)
        assert numbers(take(subscriber, 40)) == list(range(40))
        subscriber.seek({partition: 30})
        assert numbers(take(subscriber, 3)) == [30, 31, 32]
        within: list[int] = []
        for event in subscriber:
            within += numbers([event])
            if event.offset == 34:
                subscriber.seek({partition: 10})
            if event.offset == 11:
                break
        assert within == [32, 33, 34, 10, 11]
        subscriber.seek(Start.LATEST)
        assert next(subscriber.batches(10, wait_s=0.05)) == []
        fill(in_memory_mesh, binding.address, [99])
        assert numbers(take(subscriber, 1)) == [99]


@pytest.mark.parametrize("to", [{99: 0}, {0: 10_000}])
def test_a_seek_outside_of_the_log_is_an_error(in_memory_mesh: Mesh, to: Mapping[int, int]) -> None:
    """A partition that does not exist, or an offset after the end: reading raises it and goes on as before."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(5))
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        subscriber.seek(to)
        with pytest.raises(ReplayError, match=r"does not exist|ends at"):
            next(iter(subscriber))
        assert len(take(subscriber, 5)) == 5


@pytest.mark.kafka
def test_a_group_seeks_to_a_time_and_keeps_it(mesh: Mesh) -> None:
    """A member that has not joined yet seeks once it has; the offsets are committed, also where nothing is handled after it."""
    binding, name = mesh.product(), group()
    record(mesh, binding, range(20))
    with Subscriber(binding.address, mesh.registry, group=name, kafka=QUICK) as subscriber:
        subscriber.seek(BEGIN + timedelta(minutes=15))
        assert sorted(numbers(take(subscriber, 5))) == [15, 16, 17, 18, 19]
        subscriber.seek(Start.EARLIEST)
        assert len(take(subscriber, 1)) == 1
    assert sum(committed(binding, name).values()) == 0
    with Subscriber(binding.address, mesh.registry, group=name, kafka=QUICK) as subscriber:
        assert sorted(numbers(take(subscriber, 20))) == list(range(20))


@pytest.mark.kafka
def test_a_member_keeps_the_partitions_that_do_not_move(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another member joins, the first gives up its share alone, and reads the rest on; nothing is read twice."""
    binding, name = mesh.product(), group()
    fill(mesh, binding.address, range(100))
    given_up: list[set[int]] = []
    revoke = Subscription._on_revoke

    def noted(self: Subscription, partitions: Sequence[int]) -> None:
        given_up.append(set(partitions))
        revoke(self, partitions)

    monkeypatch.setattr(Subscription, "_on_revoke", noted)
    done: list[Event] = []
    one = Subscriber(binding.address, mesh.registry, group=name, kafka=QUICK)
    batches = one.batches(10, wait_s=0.1)
    for _ in patiently("the first member to read all"):
        done += next(batches)
        if len(done) == 100:
            break
    assert len(one._subscription.assigned) == 4
    two = Subscriber(binding.address, mesh.registry, group=name, kafka=QUICK)
    errors: list[MeshError] = []
    read: list[Event] = []

    def second() -> None:
        try:
            two.run(read.append)
        except MeshError as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    for _ in patiently("the second member to join"):
        done += next(batches)
        if two._subscription.assigned:
            break
    fill(mesh, binding.address, range(100, 200))
    for _ in patiently("all to be read"):
        done += next(batches)
        if len(done) + len(read) >= 200:
            break
    kept = set(one._subscription.assigned)
    two.stop()
    thread.join()
    assert errors == []
    assert given_up == [{0, 1, 2, 3} - kept], "one hand-over, of the partitions that moved alone"
    assert len(kept) == 2
    assert sorted(numbers([*done, *read])) == list(range(200))
    two.close()
    wait_for(lambda: next(batches) is not None and len(one._subscription.assigned) == 4, "the partitions to come back")
    one.close()
