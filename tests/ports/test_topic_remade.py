"""A port's topic is deleted and made again, or gets more partitions, under its readers: no event is skipped in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import TopicError, TopicRemade
from meshport.event import Event
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import Consumer
from meshport.ports.group_start import CommitNote, Start
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS, Connections
from tests.mesh_session import Mesh
from tests.ports.readings import fill, numbers, take
from tests.remade import remake, topic_id
from tests.waiting import patiently, wait_for

QUICK = Connections({"session.timeout.ms": 6000, "heartbeat.interval.ms": 500})
BEFORE = 50


def events(subscriber: Subscriber) -> Iterator[list[Event]]:
    """Read one event after another."""
    return ([each] for each in subscriber)


def batches(subscriber: Subscriber) -> Iterator[list[Event]]:
    """Read in batches."""
    return subscriber.batches(20, wait_s=0.2)


def batches_despite_errors(subscriber: Subscriber) -> Iterator[list[Event]]:
    """Read in batches, and go on after an error of a topic that is missing."""
    while True:
        try:
            yield from batches(subscriber)
        except TopicError as error:
            if isinstance(error, TopicRemade):
                raise
            yield []


def columns(subscriber: Subscriber) -> Iterator[list[float]]:
    """Read in batches of columns."""
    return (batch.data.column("celsius").to_pylist() for batch in subscriber.arrow_batches(20, wait_s=0.2))


def read_on(reading: Iterator[object]) -> None:
    """Read until reading raises."""
    for _ in patiently("the reader to notice"):
        next(reading)


def committed_note(mesh: Mesh, binding: Binding, group: str) -> CommitNote | None:
    """Return the note beside the group's first offset; None where there is none."""
    with Consumer(mesh.kafka, group=group) as consumer:
        commits = consumer.commits(binding.topic)
    return CommitNote.parse(commits[0][1]) if 0 in commits else None


@pytest.mark.kafka
@pytest.mark.parametrize("after", [10, 50, 80], ids=["shorter", "as long", "longer"])
@pytest.mark.parametrize("read", [events, batches, columns])
@pytest.mark.parametrize("group", [True, False], ids=["group", "alone"])
def test_a_running_reader_ends_when_its_topic_is_made_again(
    mesh: Mesh, group: bool, read: Callable[[Subscriber], Iterator[list[object]]], after: int
) -> None:
    """A reader ends with an error that names both logs, whether the new log has reached its position or not."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(BEFORE))
    name = f"g{uuid4().hex[:8]}" if group else None
    subscriber = Subscriber(binding.address, mesh.registry, group=name, kafka=QUICK)
    seen = 0
    with closing(subscriber):
        reading = read(subscriber)
        while seen < BEFORE:
            seen += len(next(reading))
        ids = remake(mesh.kafka, binding.topic)
        fill(mesh, binding.address, range(100, 100 + after))
        with pytest.raises(TopicRemade, match="deleted and made again") as found:
            read_on(reading)
    assert (found.value.topic, found.value.group) == (binding.topic, name)
    assert (found.value.expected_id, found.value.found_id) == ids
    assert found.value.hint


@pytest.mark.kafka
def test_a_group_that_committed_in_the_new_log_is_refused(mesh: Mesh) -> None:
    """A member that did not notice commits an offset into the new log; the next start knows it by the note beside it."""
    binding, group = mesh.product(partitions=1), f"g{uuid4().hex[:8]}"
    fill(mesh, binding.address, range(BEFORE))
    with Subscriber(binding.address, mesh.registry, group=group, kafka=QUICK) as subscriber:
        take(subscriber, 10)
    note = committed_note(mesh, binding, group)
    assert note == CommitNote(topic_id(mesh.kafka, binding.topic), 1)
    before, after = remake(mesh.kafka, binding.topic)
    mesh.apply_again(binding.address)
    fill(mesh, binding.address, range(100, 180))
    with Consumer(mesh.kafka, group=group) as late:
        assert late.commit(binding.topic, {0: 60}, str(note))
    with (
        Subscriber(binding.address, mesh.registry, group=group, kafka=QUICK) as subscriber,
        pytest.raises(TopicRemade, match=f"group '{group}' has read another log up to offset 60") as found,
    ):
        take(subscriber, 1)
    facts = found.value
    assert (facts.partition, facts.offset, facts.expected_id, facts.found_id) == (0, 60, before, after)
    with Consumer(mesh.kafka, group=group) as moved:  # as the hint says, with Kafka's own tools
        moved.commit(binding.topic, {0: 0})
    with Subscriber(binding.address, mesh.registry, group=group, kafka=QUICK) as subscriber:
        assert numbers(take(subscriber, 80)) == [*range(100, 180)]


@pytest.mark.kafka
def test_a_group_beyond_the_end_of_the_log_is_refused(mesh: Mesh) -> None:
    """An offset beyond the end belongs to another log, whoever committed it."""
    binding, group = mesh.product(partitions=1), f"g{uuid4().hex[:8]}"
    fill(mesh, binding.address, range(10))
    with Consumer(mesh.kafka, group=group) as other:
        other.commit(binding.topic, {0: 11})
    with (
        Subscriber(binding.address, mesh.registry, group=group, kafka=QUICK) as subscriber,
        pytest.raises(TopicRemade, match="this one ends at 10"),
    ):
        take(subscriber, 1)


@pytest.mark.kafka
@pytest.mark.parametrize("how", ["group", "group at the latest", "alone", "replay"])
def test_a_reader_that_was_stopped_is_refused_until_the_product_is_applied(mesh: Mesh, how: str) -> None:
    """Kafka deletes a group's offsets with the topic; the binding still names the id of the earlier one."""
    binding, group = mesh.product(partitions=1), f"g{uuid4().hex[:8]}" if how.startswith("group") else None
    start = Start.LATEST if "latest" in how else Start.EARLIEST

    def read(count: int) -> list[int]:
        if how == "replay":
            with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
                return numbers([*replay.events()])
        with Subscriber(binding.address, mesh.registry, group=group, start=start, kafka=QUICK) as subscriber:
            return numbers(take(subscriber, count))

    fill(mesh, binding.address, range(BEFORE))
    if start is Start.EARLIEST:
        assert read(BEFORE) == [*range(BEFORE)]
    before, after = remake(mesh.kafka, binding.topic)
    assert binding.topic_id == before
    fill(mesh, binding.address, range(100, 180))
    with pytest.raises(TopicRemade, match=f"{binding.address} is bound to the earlier one") as found:
        read(1)
    facts = found.value
    assert (facts.topic, facts.group, facts.expected_id, facts.found_id) == (binding.topic, group, before, after)
    assert "`meshport apply`, in the project of tests/product-" in str(facts.hint)
    assert mesh.apply_again(binding.address).topic_id == after
    if start is Start.EARLIEST:
        assert read(80) == [*range(100, 180)]


@pytest.mark.kafka
def test_a_group_that_began_while_its_topic_was_missing_is_told(mesh: Mesh) -> None:
    """The topic that is made later is another one than the binding names, and the group has no offset that could tell."""
    binding, admin = mesh.product(partitions=1), Admin(mesh.kafka)
    admin.delete_topic(binding.topic)
    wait_for(lambda: admin.topic(binding.topic) is None, f"{binding.topic} to be deleted")
    with Subscriber(binding.address, mesh.registry, group=f"g{uuid4().hex[:8]}", kafka=QUICK) as subscriber:
        admin.ensure_topic(binding.topic, 1)
        fill(mesh, binding.address, range(5))
        with pytest.raises(TopicRemade, match=f"{binding.address} is bound to the earlier one"):
            read_on(batches_despite_errors(subscriber))


@pytest.mark.kafka
@pytest.mark.parametrize("after", [10, 8000], ids=["shorter", "longer"])
def test_a_replay_in_progress_ends_when_its_topic_is_made_again(mesh: Mesh, after: int) -> None:
    """A replay whose topic is made again meanwhile gives no event of the new log for one of the old without an error."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(7000))
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
        reading = replay.events()
        next(reading)
        remake(mesh.kafka, binding.topic)
        fill(mesh, binding.address, range(after))
        with pytest.raises(TopicRemade, match=replay.id):
            list(reading)


def publish_into(mesh: Mesh, address: Address, which: range) -> None:
    """Publish by a new publisher, which knows the partitions that there are now."""
    fill(mesh, address, which)


@pytest.mark.kafka
@pytest.mark.parametrize("start", [Start.EARLIEST, Start.LATEST])
@pytest.mark.parametrize("group", [True, False], ids=["group", "alone"])
def test_added_partitions_are_read_from_their_beginning(mesh: Mesh, group: bool, start: Start) -> None:
    """A running reader reads partitions that are added from their first event on, also one that began at the latest."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(20))
    name = f"g{uuid4().hex[:8]}" if group else None
    with Subscriber(binding.address, mesh.registry, group=name, start=start, kafka=QUICK) as subscriber:
        reading = subscriber.batches(wait_s=0.2)
        next(reading)
        if group:  # it has begun once it has committed
            for _ in patiently("the group to begin"):
                next(reading)
                if committed_note(mesh, binding, str(name)):
                    break
        Admin(mesh.kafka).add_partitions(binding.topic, 4)
        publish_into(mesh, binding.address, range(100, 200))
        seen: list[int] = []
        for batch in reading:
            seen += numbers(batch)
            if {*range(100, 200)} <= {*seen}:
                break
    assert [each for each in sorted(seen) if each >= 100] == [*range(100, 200)]


@pytest.mark.kafka
def test_a_group_that_began_at_the_latest_reads_partitions_that_were_added_while_it_was_stopped(mesh: Mesh) -> None:
    """The note beside its offsets says with how many partitions a group began, so that it knows which are new."""
    binding, group = mesh.product(partitions=2), f"g{uuid4().hex[:8]}"
    fill(mesh, binding.address, range(20))
    start = partial(Subscriber, binding.address, mesh.registry, group=group, start=Start.LATEST, kafka=QUICK)
    with start() as subscriber:
        for _ in subscriber.batches(wait_s=0.2):
            if committed_note(mesh, binding, group):
                break
    Admin(mesh.kafka).add_partitions(binding.topic, 4)
    publish_into(mesh, binding.address, range(100, 200))
    for _ in range(2):  # the second start finds commits in all partitions
        with start() as subscriber:
            seen = numbers(take(subscriber, 100))
        assert sorted(seen) == [*range(100, 200)]
        assert committed_note(mesh, binding, group) == CommitNote(topic_id(mesh.kafka, binding.topic), 2)
        publish_into(mesh, binding.address, range(100, 200))
        break


def test_a_note_that_another_tool_wrote_is_passed_over() -> None:
    """Other software keeps its own text beside an offset."""
    for text in ("", "anything", "partitions=", "topic-id= partitions=4", "partitions=4 more"):
        assert CommitNote.parse(text) is None
    for note in (CommitNote("abc_-+/1", 4), CommitNote(None, 12)):
        assert CommitNote.parse(str(note)) == note
