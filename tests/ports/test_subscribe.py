"""Subscribing: order, offsets, groups, and messages that cannot be read."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from itertools import islice

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from meshport.binding import Binding
from meshport.errors import DecodeError, EventError, HistoryMissing, MeshError
from meshport.event import Event
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.ports.group_start import Start
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import BadEvent, Subscriber
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS, Connections, client_settings, connection
from tests.mesh_session import READING, Mesh
from tests.ports.readings import fill, numbers, reading, take
from tests.waiting import PATIENCE_S, patiently, wait_for

GROUP = "readers"
# Short timeouts: a test need not wait half a minute until a dead member is removed.
QUICK = Connections({"session.timeout.ms": 6000, "heartbeat.interval.ms": 500})


def committed(binding: Binding, group: str) -> dict[int, int]:
    """The offsets that the group has committed."""
    with Consumer(connection(binding.bootstrap_servers), group=group) as consumer:
        return consumer.committed(binding.topic)


def store(binding: Binding, value: bytes, *, headers: list[tuple[str, bytes]] | None = None) -> tuple[int, int]:
    """Put bytes of somebody else's on a port's topic; where they lie."""
    with Producer(connection(binding.bootstrap_servers)) as producer:
        ((partition, offset),) = producer.deliver([Message(binding.topic, b"s1", value, headers or ())])
    return partition, offset


def test_events_of_a_key_come_in_order(ports: Mesh) -> None:
    """Without a group a subscriber reads all partitions; events of one key come in the order of publishing."""
    binding = ports.product()
    ids = fill(ports, binding.address, range(300))
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        events = take(subscriber, 300)
    assert {event.id for event in events} == set(ids)
    for key in {event.key for event in events}:
        ordered = numbers(event for event in events if event.key == key)
        assert ordered == sorted(ordered)
    first = events[0]
    assert (first.topic, first.source, first.data["celsius"]) == (
        binding.topic,
        str(binding.address),
        first.data["celsius"],
    )


def test_a_group_keeps_its_place(ports: Mesh) -> None:
    """A group that comes back continues after the last batch that was handled; no event is repeated or skipped."""
    binding = ports.product()
    fill(ports, binding.address, range(100))
    with Subscriber(binding.address, ports.registry, group=GROUP, kafka=QUICK) as subscriber:
        first: list[Event] = []
        for batch in subscriber.batches(40):
            first += batch
            if len(first) >= 40:
                subscriber.stop()  # the loop asks for one more batch, so that this one counts as handled
    with Subscriber(binding.address, ports.registry, group=GROUP, kafka=QUICK) as subscriber:
        rest = take(subscriber, 100 - len(first))
    assert sorted(numbers(first) + numbers(rest)) == list(range(100))
    assert sum(committed(binding, GROUP).values()) == 99  # the last of `rest` was never done with


@pytest.mark.kafka
def test_a_crash_repeats_the_event_in_hand(mesh: Mesh) -> None:
    """A subscriber that ends while an event is being handled gives that event again, and none before it (at least once)."""
    binding = mesh.product(partitions=4)
    fill(mesh, binding.address, range(50))
    crashed = Subscriber(binding.address, mesh.registry, group=GROUP, kafka=QUICK)
    seen = take(crashed, 20)
    crashed.close()
    with Subscriber(binding.address, mesh.registry, group=GROUP, kafka=QUICK) as subscriber:
        again = take(subscriber, 31)
    repeated = set(numbers(seen)) & set(numbers(again))
    assert repeated == {numbers(seen)[-1]}
    assert set(numbers(seen)) | set(numbers(again)) == set(range(50))


def test_a_loop_that_was_left_goes_on_with_the_event_in_hand(in_memory_mesh: Mesh) -> None:
    """Leaving the loop, by `break` or by a handler's error, and entering it again skips nothing of what was fetched."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(100))
    handled: list[int] = []
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        failures = iter(range(5))
        while len(handled) < 100:
            for event in subscriber:
                if len(handled) % 20 == 10 and next(failures, None) is not None:
                    break  # not handled
                handled += numbers([event])
                if len(handled) == 100:
                    break
    assert sorted(handled) == list(range(100))


def test_batches_and_events_may_be_mixed(in_memory_mesh: Mesh) -> None:
    """What one loop fetched is given by the next, whichever kind it is, within the limit of a batch."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(60))
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        first = take(subscriber, 10)
        batches = list(islice((batch for batch in subscriber.batches(7, wait_s=0.2) if batch), 3))
    assert all(len(batch) <= 7 for batch in batches)
    assert numbers(batches[0])[0] == numbers(first)[-1]  # not handled yet when the first loop was left
    assert len({*numbers(first), *numbers(event for batch in batches for event in batch)}) == 10 + 21 - 1


def test_an_empty_batch_tells_that_nothing_came(ports: Mesh) -> None:
    """`batches` gives an empty one after `wait_s` seconds without an event, so that a loop can do its own work."""
    binding = ports.product()
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        assert next(subscriber.batches(10, wait_s=0.05)) == []


@pytest.mark.kafka
@pytest.mark.parametrize("group", [None, GROUP])
def test_a_start_is_earliest_or_latest(mesh: Mesh, group: str | None) -> None:
    """Without committed offsets, `earliest` begins with the oldest event and `latest` with the next one."""
    binding = mesh.product()
    fill(mesh, binding.address, range(5))
    with Subscriber(binding.address, mesh.registry, group=group, kafka=QUICK) as subscriber:
        assert sorted(numbers(take(subscriber, 5))) == list(range(5))
    late = group and f"{group}-late"
    with Subscriber(binding.address, mesh.registry, group=late, start=Start.LATEST, kafka=QUICK) as subscriber:
        batches = subscriber.batches(10, wait_s=0.1)
        # A group has joined once its position is recorded.
        wait_for(lambda: next(batches) or not late or subscriber._subscription.committed)
        fill(mesh, binding.address, range(5, 8))
        found: list[Event] = []
        for _ in patiently("three events"):
            found += next(batches)
            if len(found) >= 3:
                break
    assert sorted(numbers(found)) == [5, 6, 7]


@pytest.mark.kafka
def test_a_group_that_began_with_the_latest_skips_nothing_when_it_comes_back(mesh: Mesh) -> None:
    """Its first offset is committed at once: events that come while it is away are read, though it has read none before."""
    binding = mesh.product()
    fill(mesh, binding.address, range(3))
    first = Subscriber(binding.address, mesh.registry, group=GROUP, start=Start.LATEST, kafka=QUICK)
    batches = first.batches(10, wait_s=0.1)
    for _ in patiently("the group to join"):
        if first._subscription.committed:
            break
        assert next(batches) == []
    first.close()
    fill(mesh, binding.address, range(3, 6))
    with Subscriber(binding.address, mesh.registry, group=GROUP, start=Start.LATEST, kafka=QUICK) as back:
        assert sorted(numbers(take(back, 3))) == [3, 4, 5]


class Member(threading.Thread):
    """One member of a group, in a thread of its own; `handled` grows as events are done with."""

    def __init__(self, mesh: Mesh, binding: Binding) -> None:
        super().__init__()
        self.subscriber = Subscriber(binding.address, mesh.registry, group=GROUP, kafka=QUICK)
        self.handled: list[Event] = []
        self.error: MeshError | None = None

    def run(self) -> None:
        """Read until it is stopped."""
        try:
            for event in self.subscriber:
                self.handled.append(event)
                time.sleep(0.001)  # so that a batch is being handled whenever partitions move
        except MeshError as error:
            self.error = error

    def end(self) -> None:
        """Stop and leave the group."""
        self.subscriber.stop()
        self.join()
        self.subscriber.close()


@pytest.mark.kafka
def test_members_share_partitions_and_lose_nothing_when_they_move(mesh: Mesh) -> None:
    """Two members share the partitions; when one joins and one leaves in mid-stream, every event is handled by somebody."""
    binding = mesh.product()
    fill(mesh, binding.address, range(1000))
    one = Member(mesh, binding)
    one.start()
    wait_for(lambda: len(one.handled) > 100, "the first member reads")
    two = Member(mesh, binding)
    two.start()
    wait_for(lambda: bool(two.subscriber._subscription.committed), "the second member has partitions")
    fill(mesh, binding.address, range(1000, 2000))
    wait_for(lambda: len(two.handled) > 50, "the second member reads")
    one.end()
    fill(mesh, binding.address, range(2000, 2500))
    everything = set(range(2500))
    wait_for(lambda: {*numbers(one.handled), *numbers(two.handled)} >= everything, "every event is handled")
    two.end()
    assert (one.error, two.error) == (None, None)
    shared = {event.partition for event in one.handled} & {event.partition for event in two.handled}
    assert shared, "a partition moved"
    times = Counter(numbers(one.handled) + numbers(two.handled))
    # Revoked partitions are committed before they move: only the event that is being handled may come twice.
    assert sum(count - 1 for count in times.values()) <= 2 * 4
    assert sum(committed(binding, GROUP).values()) >= 2499


@pytest.mark.kafka
def test_a_member_that_was_put_out_goes_on(mesh: Mesh) -> None:
    """A handler slower than the group's patience loses its partitions, joins again and repeats; nothing is skipped or raised."""
    binding = mesh.product()
    fill(mesh, binding.address, range(20))
    impatient = Connections({"session.timeout.ms": 2000, "max.poll.interval.ms": 2000, "heartbeat.interval.ms": 300})
    handled: list[int] = []
    with Subscriber(binding.address, mesh.registry, group=GROUP, kafka=impatient) as subscriber:
        for event in subscriber:
            handled += numbers([event])
            if len(handled) == 5:
                time.sleep(2.5)  # no event can be awaited here: the group's patience is a span of time
            if set(handled) == set(range(20)):
                break
    assert len(handled) >= 20


@pytest.mark.kafka
def test_a_slow_handler_stays_in_its_group(mesh: Mesh) -> None:
    """A batch whose events take longer than max.poll.interval.ms together costs no membership and repeats no event."""
    binding = mesh.product()
    fill(mesh, binding.address, range(12))
    impatient = Connections({"session.timeout.ms": 2000, "max.poll.interval.ms": 2000, "heartbeat.interval.ms": 300})
    handled: list[int] = []
    places: list[int] = []
    with Subscriber(binding.address, mesh.registry, group=GROUP, kafka=impatient) as subscriber:
        for event in subscriber:
            handled += numbers([event])
            places.append(sum(subscriber._subscription.committed.values()))
            time.sleep(0.25)  # twelve of them are longer than the group's patience
            if set(handled) == set(range(12)):
                break
        subscriber.commit()
        assert sum(committed(binding, GROUP).values()) == 11, (
            "all but the event that is being handled: it is still a member"
        )
    assert sorted(handled) == list(range(12))
    assert len(set(places)) > 2, "offsets are committed while the batch is being handled"


def test_a_partition_that_left_is_read_no_further(in_memory_mesh: Mesh) -> None:
    """Messages of a partition that another member has by now are dropped with the next poll."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(100))
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        subscription = subscriber._subscription
        while len({message.partition() for message in subscription.buffer}) < 2:
            subscription._take(subscription._consumer.read(1000, 1))
        here = {message.partition() for message in subscription.buffer}
        gone = subscription.buffer[0].partition()
        subscription._on_lost([gone])
        subscription._take([])
        assert {message.partition() for message in subscription.buffer} == here - {gone}


def test_events_seen_before_are_left_out_on_request(ports: Mesh) -> None:
    """With `remember`, an event whose source and id were seen before is left out; the offset advances past it all the same."""
    binding = ports.product()
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        for number in (1, 2, 1, 3, 2, 1):
            publisher.publish(reading(number, sensor="s"), id=f"id-{number}")
        publisher.publish(reading(9, sensor="s"), id="id-9")
    with Subscriber(binding.address, ports.registry, remember=100, kafka=CONNECTIONS) as subscriber:
        assert numbers(take(subscriber, 4)) == [1, 2, 3, 9]
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        assert numbers(take(subscriber, 7)) == [1, 2, 1, 3, 2, 1, 9]
    with Subscriber(binding.address, ports.registry, remember=1, kafka=CONNECTIONS) as subscriber:
        assert numbers(take(subscriber, 7)) == [1, 2, 1, 3, 2, 1, 9], "only the last one is remembered"


@pytest.mark.kafka
def test_what_cannot_be_read_is_an_error_that_names_its_place_once(mesh: Mesh) -> None:
    """Without `on_bad` an unreadable message is raised with topic, partition and offset; the committed offset stays before it."""
    binding = mesh.product()
    fill(mesh, binding.address, [1])
    partition, offset = store(binding, b"\x00\x00")
    fill(mesh, binding.address, [11])
    with Subscriber(binding.address, mesh.registry, group=GROUP, kafka=QUICK) as subscriber:
        (good,) = take(subscriber, 1)
        for _ in range(2):  # entering the loop again changes nothing: the message is still there
            with pytest.raises(EventError) as refused:
                list(subscriber)
            at = f"{binding.topic}[{partition}]@{offset}"
            assert str(refused.value).count(at) == 1
            assert refused.value.message.startswith(at)
    assert (good.partition, good.offset) == (partition, offset - 1)
    assert committed(binding, GROUP)[partition] == offset


def test_a_batch_before_what_cannot_be_read_is_given_first(in_memory_mesh: Mesh) -> None:
    """Events that stand before an unreadable message are handed out and done with; the error comes with the next batch."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, [1, 11])
    store(binding, b"nonsense")
    with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
        batches = subscriber.batches(10, wait_s=5)
        assert numbers(next(batches)) == [1, 11]
        with pytest.raises(EventError):
            next(batches)
        assert subscriber._subscription.next_offsets == {subscriber._subscription.buffer[0].partition(): 2}


@pytest.mark.parametrize("kind", ["events", "batches"])
def test_what_cannot_be_read_is_told_and_passed_over(ports: Mesh, kind: str) -> None:
    """`on_bad` is called with the message as it was received and the reason; reading continues after it."""
    binding = ports.product()
    good = Publisher(binding.address, ports.registry, kafka=CONNECTIONS)
    good.publish(reading(1))
    good.flush()
    header = dict(good._writer.message(reading(1), id="x", time=reading(1)["at"])[1])
    value = good._writer.message(reading(1), id="x", time=reading(1)["at"])[0]
    truncated = value[:-3]
    places = [store(binding, b"\x00\xff{"), store(binding, truncated, headers=list(header.items()))]
    good.publish(reading(11))
    good.flush()
    bad: list[BadEvent] = []
    with Subscriber(binding.address, ports.registry, on_bad=bad.append, kafka=CONNECTIONS) as subscriber:
        if kind == "events":
            found = take(subscriber, 2)
        else:
            found = []
            for batch in subscriber.batches(100, wait_s=0.2):
                found += batch
                if len(found) == 2:
                    break
    assert numbers(found) == [1, 11]
    first, second = bad[0], bad[1]
    assert [(each.message.partition(), each.message.offset()) for each in (first, second)] == places
    assert (first.message.value(), second.message.value()) == (b"\x00\xff{", truncated)
    assert (type(first.error), type(second.error)) == (EventError, DecodeError)
    for each, (partition, offset) in zip((first, second), places, strict=True):
        assert str(each).count(f"{binding.topic}[{partition}]@{offset}") == 1


def test_records_come_in_the_readers_schema(ports: Mesh) -> None:
    """With a reader schema, events have its fields, renamed and defaulted by Avro's schema resolution."""
    binding = ports.product()
    fill(ports, binding.address, [3])
    fields = [
        {"name": "celsius", "type": "double"},
        {"name": "probe", "aliases": ["sensor"], "type": "string"},
        {"name": "room", "type": "string", "default": "unknown"},
    ]
    reader = parse_schema(json.dumps(READING | {"fields": fields}))
    with Subscriber(binding.address, ports.registry, reader=reader, kafka=CONNECTIONS) as subscriber:
        (event,) = take(subscriber, 1)
    assert event.data == {"celsius": 3.0, "probe": "s3", "room": "unknown"}


@pytest.mark.kafka
def test_a_place_that_retention_has_taken_is_an_error(mesh: Mesh) -> None:
    """A group whose next event is past retention gets an error that names the offsets; its committed offset stays."""
    binding = mesh.product()
    fill(mesh, binding.address, [1, 11, 21, 31])
    with Subscriber(binding.address, mesh.registry, group=GROUP, kafka=QUICK) as subscriber:
        (event, *_) = take(subscriber, 2)
    before = committed(binding, GROUP)
    admin = AdminClient({**client_settings(binding.bootstrap_servers), "log_level": 0})
    cut = TopicPartition(binding.topic, event.partition, 3)
    admin.delete_records([cut])[cut].result(timeout=PATIENCE_S)
    with (
        Subscriber(binding.address, mesh.registry, group=GROUP, kafka=QUICK) as subscriber,
        pytest.raises(
            HistoryMissing, match=r"the offsets 1 to 2 of .*: removed from the log, which begins at offset 3"
        ),
    ):
        list(subscriber)
    assert committed(binding, GROUP) == before


def test_stop_ends_the_loop_after_the_event_in_hand(ports: Mesh) -> None:
    """`stop`, called while an event is handled or from another thread, ends the loop, and that event is done with."""
    binding = ports.product()
    fill(ports, binding.address, [1, 11, 21])
    with Subscriber(binding.address, ports.registry, kafka=CONNECTIONS) as subscriber:
        found = []
        for event in subscriber:
            found += numbers([event])
            subscriber.stop()
        assert list(subscriber._subscription.next_offsets.values()) == [1]
    assert found == [1]
    waiting = Subscriber(ports.product().address, ports.registry, kafka=CONNECTIONS)
    threading.Timer(0.1, waiting.stop).start()
    assert list(waiting) == []
    waiting.close()
