"""What publishers and subscribers count, as metrics show it."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from meshport.errors import MeshError
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import BadEvent, Subscriber
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.metrics.samples import sample
from tests.ports.nowhere import nowhere
from tests.ports.readings import fill, numbers, reading, take
from tests.waiting import PATIENCE_S, wait_for


def test_a_publisher_counts_events_by_what_became_of_them(in_memory_mesh: Mesh) -> None:
    """Stored events are counted without a flush, refused ones at once, whichever method was called."""
    binding = in_memory_mesh.product()
    name = str(binding.address)

    def count(outcome: str) -> float | None:
        return sample("meshport_publisher_events_total", address=name, outcome=outcome)

    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(3):
            publisher.publish(reading(number))
        for refused in (publisher.publish, publisher.submit):
            with pytest.raises(MeshError):
                refused({"sensor": 1})
        with pytest.raises(MeshError):
            publisher.publish({"sensor": 1}, id="given")
        publisher.submit(reading(4)).result(30)
        publisher.publish_batch([reading(5), {"sensor": 2}])
        assert (count("refused"), count("unknown")) == (4, 0)
        publisher.flush()
        assert count("stored") == 5
        assert sample("meshport_publisher_waiting_events", address=name) == 0
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as another:
        another.publish(reading(6))
    assert count("stored") == 6


def test_events_that_wait_are_shown_and_given_up_ones_are_unknown() -> None:
    """What the broker has not answered waits; what is given up counts as unknown, once."""
    name = "mesh://tests/measured/events@1"
    before = sample("meshport_publisher_events_total", address=name, outcome="unknown") or 0
    publisher = nowhere("measured")
    publisher.publish(reading(1))
    assert (sample("meshport_publisher_waiting_events", address=name) or 0) > 0
    assert len(publisher.settle(0)) == 1
    publisher.settle(0)
    assert sample("meshport_publisher_events_total", address=name, outcome="unknown") == before + 1
    publisher._deliveries.close(0)
    publisher._measures.close()
    assert sample("meshport_publisher_waiting_events", address=name) == 0


def test_a_publisher_that_is_not_closed_is_collected_at_once() -> None:
    """Metrics keep no publisher alive, and put none into a cycle of references."""
    publisher = nowhere()
    gone = weakref.ref(publisher)
    gc.disable()
    try:
        del publisher
        assert gone() is None
    finally:
        gc.enable()


def test_a_subscriber_counts_messages_and_shows_its_lag(ports: Mesh) -> None:
    """The lag of each partition falls to 0 as events are handled, and is gone once the subscriber is closed."""
    binding = ports.product()
    name, group = str(binding.address), "measured"
    fill(ports, binding.address, range(40))

    def lag() -> float:
        found = [
            sample("meshport_subscriber_lag_events", address=name, group=group, partition=str(each))
            for each in range(binding.partitions)
        ]
        return sum(each for each in found if each is not None)

    bad: list[BadEvent] = []
    with Subscriber(binding.address, ports.registry, group=group, kafka=CONNECTIONS, on_bad=bad.append) as subscriber:
        take(subscriber, 10)
        assert sample("meshport_subscriber_messages_total", address=name, group=group) is not None
        assert lag() > 0
        take(subscriber, 31 - 1)
        for _ in subscriber.batches(wait_s=0.1):
            if not lag():
                break
        subscriber.commit()
        assert sample("meshport_subscriber_messages_total", address=name, group=group) == 40
        assert (sample("meshport_subscriber_commit_seconds_count", address=name, group=group) or 0) > 0
    assert lag() == 0
    assert sample("meshport_subscriber_lag_events", address=name, group=group, partition="0") is None
    wait_for(lambda: bad == [])


@pytest.mark.kafka
def test_the_lag_is_shown_while_a_subscriber_waits_for_events(mesh: Mesh) -> None:
    """A scrape in another thread does not wait until an event arrives."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(3))
    group = binding.topic
    with (
        Subscriber(binding.address, mesh.registry, group=group, kafka=CONNECTIONS) as subscriber,
        ThreadPoolExecutor(1) as thread,
    ):
        events = iter(subscriber)
        assert numbers([next(events) for _ in range(3)]) == [0, 1, 2]
        waits = thread.submit(next, events)
        shown = {"address": str(binding.address), "group": group, "partition": "0"}
        try:
            wait_for(lambda: sample("meshport_subscriber_lag_events", **shown) == 0, "the lag to fall")
            for _ in range(20):
                assert sample("meshport_subscriber_lag_events", **shown) == 0
            assert not waits.done()
        finally:
            fill(mesh, binding.address, [3])
        assert numbers([waits.result(PATIENCE_S)]) == [3]


def test_repeated_and_unreadable_messages_are_counted(in_memory_mesh: Mesh) -> None:
    """An event whose id came before is counted where it is left out; a message that is no event where it is passed on."""
    binding = in_memory_mesh.product()
    name = str(binding.address)
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(1), id="one")
        publisher.publish(reading(1), id="one")
        publisher.publish(reading(1), id="two")
    labels = {"address": name, "group": ""}
    with Subscriber(binding.address, in_memory_mesh.registry, remember=10, kafka=CONNECTIONS) as subscriber:
        assert [each.id for each in take(subscriber, 2)] == ["one", "two"]
    assert sample("meshport_subscriber_repeated_events_total", **labels) == 1
    assert sample("meshport_subscriber_unreadable_messages_total", **labels) == 0
