"""Events that a handler fails on: tried again in the order of their keys, kept through a restart, quarantined at last."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from meshport import AsyncSubscriber
from meshport.address import Address, reader_quarantine_name, retry_name, topic_name
from meshport.binding import Binding, Continuation
from meshport.errors import EventError, TopicError
from meshport.event import Event
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.kafka.received import headers_of
from meshport.ports.failed.headers import FailureHeaders, split_failure
from meshport.ports.failed.waiting import Retry
from meshport.ports.port_writer import PortWriter
from meshport.ports.scan import read_topic
from meshport.ports.subscriber import Subscriber
from meshport.seen_readers import SubscriberName
from tests.connections import CONNECTIONS, connection
from tests.mesh_session import Mesh
from tests.ports.async_reading import run
from tests.ports.readings import fill, numbers, reading
from tests.ports.test_subscribe import QUICK, committed, store

AT_ONCE = Retry(tries=3, first_s=0)
DOORS = ["thread", "loop", "tasks"]


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    """How a group reads: in a thread, in an event loop one after another, or in tasks of one."""
    return str(request.param)


def group() -> str:
    """The name of a group that no other test has."""
    return f"readers-{uuid4().hex[:8]}"


class Handled(NamedTuple):
    """What a subscriber has handled.

    Attributes:
        numbers: the readings, in the order in which they were handled.
        waiting: how many events waited at the end.
    """

    numbers: list[int]
    waiting: int


def handled(
    door: str,
    mesh: Mesh,
    binding: Binding,
    name: str,
    fails: Callable[[int, int], bool],
    until: Callable[[list[int]], bool],
    **options: object,
) -> Handled:
    """Run a subscriber until what it handled suffices.

    Args:
        door: how it reads, one of `DOORS`.
        mesh: of the port.
        binding: of the port.
        name: of the group.
        fails: takes a reading and how often it was given, this time included; returns whether its handling fails.
        until: takes the readings that were handled.
        options: of the subscriber.
    """
    done: list[int] = []
    given: dict[int, int] = {}
    made = {"on_error": AT_ONCE, "group": name, "kafka": QUICK, **options}

    def handle(event: Event, stop: Callable[[], None]) -> None:
        (number,) = numbers([event])
        given[number] = given.get(number, 0) + 1
        if fails(number, given[number]):
            raise LookupError(f"no row for {number}")
        done.append(number)
        if until(done):
            stop()

    if door == "thread":
        with Subscriber(binding.address, mesh.registry, **made) as subscriber:  # type: ignore[arg-type]
            subscriber.run(lambda event: handle(event, subscriber.stop))
            return Handled(done, subscriber.waiting)

    async def read() -> Handled:
        async with AsyncSubscriber(binding.address, mesh.registry, **made) as reader:  # type: ignore[arg-type]
            if door == "tasks":

                async def task(event: Event) -> None:
                    await asyncio.sleep(0)
                    handle(event, reader.stop)

                await reader.run(task, concurrency=7)
            else:
                async for event in reader:
                    try:
                        handle(event, reader.stop)
                    except LookupError as error:
                        reader.failed(error)
            await reader.commit()
            return Handled(done, reader.waiting)

    found: Handled = run(read())
    return found


def kept(topic: str, servers: str) -> list[tuple[bytes | None, bytes | None, FailureHeaders]]:
    """Key, value and reason of each message of a topic."""
    found = []
    for messages in read_topic(connection(servers), topic):
        found += [(each.key(), each.value(), split_failure(headers_of(each) or ())[0]) for each in messages]
    return found


def test_a_failed_event_is_handled_again_in_the_order_of_its_key(ports: Mesh, door: str) -> None:
    """Later events of its key wait for it, those of other keys do not, and the group's offset does not either."""
    binding, name = ports.product(), group()
    fill(ports, binding.address, range(40))  # ten sensors: the key of 3 is that of 13, 23 and 33
    done, _ = handled(
        door, ports, binding, name, lambda number, tries: number == 3 and tries == 1, lambda done: len(done) == 40
    )
    assert sorted(done) == list(range(40))
    for sensor in range(10):
        own = [number for number in done if number % 10 == sensor]
        assert own == sorted(own)
    assert sum(committed(binding, name).values()) == 40
    rows = kept(retry_name(name, topic_name(binding.address)), binding.bootstrap_servers)
    assert {key for key, value, _ in rows if value is not None} == {key for key, value, _ in rows if value is None}, (
        "each row is removed when its event is handled"
    )


@pytest.mark.kafka
def test_an_event_is_quarantined_after_its_last_try(mesh: Mesh, door: str) -> None:
    """It has its original bytes, the reason, and how often it was tried; the next event of its key is handled after it."""
    binding, name = mesh.product(), group()
    fill(mesh, binding.address, [3, 13, 4])
    tries: list[int] = []

    def fails(number: int, given: int) -> bool:
        if number == 3:
            tries.append(given)
        return number == 3

    done, waiting = handled(door, mesh, binding, name, fails, lambda done: len(done) == 2)
    assert sorted(done) == [4, 13]
    assert tries == [1, 2, 3]
    assert waiting == 0
    ((key, value, why),) = kept(reader_quarantine_name(name, topic_name(binding.address)), binding.bootstrap_servers)
    assert key == b"s3"
    assert value is not None
    assert (why.reason, why.error, why.topic, why.tries) == (
        "LookupError: no row for 3",
        "LookupError",
        binding.topic,
        3,
    )
    original = [
        each
        for messages in read_topic(connection(binding.bootstrap_servers), binding.topic)
        for each in messages
        if (each.partition(), each.offset()) == (why.partition, why.offset)
    ]
    assert [each.value() for each in original] == [value]


@pytest.mark.kafka
def test_a_restart_continues_with_the_events_that_wait(mesh: Mesh, door: str) -> None:
    """What waits is restored from the retry topic with its tries, before later events of its key."""
    binding, name = mesh.product(), group()
    fill(mesh, binding.address, range(20))
    first, _ = handled(
        door,
        mesh,
        binding,
        name,
        lambda number, _: number == 5,
        lambda done: len(done) == 18,
        on_error=Retry(first_s=3600),
    )
    assert set(range(20)) - set(first) == {5, 15}
    rows = kept(retry_name(name, topic_name(binding.address)), binding.bootstrap_servers)
    # The later event of its key has a row too, unless the run ended before it came to that event.
    assert sorted(why.tries for _, _, why in rows) in ([0, 1], [1])
    fill(mesh, binding.address, [25, 6])
    later = handled(door, mesh, binding, name, lambda *_: False, lambda done: 6 in done)
    assert not {5, 15, 25} & set(later.numbers), "the pause is that of the failure, not of the present policy"
    # Tasks handle events in any order: those after one that was not begun are handled again.
    assert door == "tasks" or later.numbers == [6]
    assert later.waiting >= 2


@pytest.mark.kafka
def test_no_further_event_is_given_while_too_many_wait(mesh: Mesh, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything fails, the subscriber tries what waits, and reads on once it is handled."""
    monkeypatch.setattr("meshport.ports.failed.retries._MOST_WAITING", 5)
    binding = mesh.product()
    fill(mesh, binding.address, range(30))
    repaired: list[int] = []
    most = 0

    def fails(number: int, tries: int) -> bool:
        nonlocal most
        if not repaired:
            most = max(most, number)
            if tries == 3:
                repaired.append(number)
        return not repaired

    done, _ = handled(
        door, mesh, binding, group(), fails, lambda done: len(done) == 30, on_error=Retry(tries=5, first_s=0)
    )
    assert sorted(done) == list(range(30))


@pytest.mark.kafka
def test_a_message_that_cannot_be_read_is_quarantined_at_once(mesh: Mesh, door: str) -> None:
    """No further try would read it; its own bytes are kept."""
    binding, name = mesh.product(), group()
    place = store(binding, b"\x00\xff{")
    fill(mesh, binding.address, [1])
    done, _ = handled(door, mesh, binding, name, lambda *_: False, lambda done: len(done) == 1)
    assert done == [1]
    ((_, value, why),) = kept(reader_quarantine_name(name, topic_name(binding.address)), binding.bootstrap_servers)
    assert (value, why.partition, why.offset, why.error) == (b"\x00\xff{", *place, EventError.__name__)


@pytest.mark.kafka
def test_failures_may_be_reported_in_a_loop(mesh: Mesh) -> None:
    """`failed` within the loop does what `run` does; without `on_error` it raises the error."""
    binding = mesh.product()
    fill(mesh, binding.address, [1, 2])
    seen: list[int] = []
    with Subscriber(binding.address, mesh.registry, group=group(), on_error=AT_ONCE, kafka=CONNECTIONS) as subscriber:
        for event in subscriber:
            seen += numbers([event])
            if seen.count(1) == 1 and seen[-1] == 1:
                subscriber.failed(LookupError("not yet"))
            if sorted(seen) == [1, 1, 2]:
                break
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as plain:
        next(iter(plain))
        with pytest.raises(LookupError):
            plain.failed(LookupError("no policy"))
        with pytest.raises(LookupError):
            plain.run(lambda _: (_ for _ in ()).throw(LookupError("no policy")))
        assert plain.waiting == 0


@pytest.mark.kafka
def test_what_cannot_be_kept_is_refused(mesh: Mesh) -> None:
    """Events wait for a group, one by one; a group whose name no topic can have is refused before anything is handled."""
    binding = mesh.product()
    with pytest.raises(ValueError, match="needs a group"):
        Subscriber(binding.address, mesh.registry, on_error=AT_ONCE, kafka=CONNECTIONS)
    with Subscriber(binding.address, mesh.registry, group="g", on_error=AT_ONCE, kafka=CONNECTIONS) as subscriber:
        for batches in (subscriber.batches(), subscriber.arrow_batches()):
            with pytest.raises(ValueError, match="one by one"):
                next(iter(batches))
    with (
        Subscriber(
            binding.address, mesh.registry, group="my group!", on_error=AT_ONCE, kafka=CONNECTIONS
        ) as subscriber,
        pytest.raises(TopicError, match="no name of a topic"),
    ):
        next(iter(subscriber))


@pytest.mark.kafka
@pytest.mark.parametrize("policy", [None, AT_ONCE])
def test_sigterm_ends_a_run_with_its_place_committed(mesh: Mesh, policy: Retry | None) -> None:
    """The present event is handled to its end, its offset is committed, and the handler of the signal is as before."""
    binding, name = mesh.product(), group()
    fill(mesh, binding.address, range(10))
    before = signal.getsignal(signal.SIGTERM)
    done: list[int] = []

    def handle(event: Event) -> None:
        done.extend(numbers([event]))
        if len(done) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    subscriber = Subscriber(binding.address, mesh.registry, group=name, on_error=policy, kafka=QUICK)
    subscriber.run(handle)
    assert len(done) == 4
    assert sum(committed(binding, name).values()) == 4
    assert signal.getsignal(signal.SIGTERM) is before
    subscriber.close()


class Rebound:
    """A registry whose one port is bound to another generation while it is read.

    Attributes:
        binding: the present one.
    """

    def __init__(self, mesh: Mesh, binding: Binding) -> None:
        self._registry = mesh.registry
        self.binding = binding

    def resolve(self, address: Address) -> Binding:  # noqa: ARG002 - there is one port
        """Return the present binding, whatever the address."""
        return self.binding

    def resolve_as(self, address: Address, reader: SubscriberName) -> Binding:  # noqa: ARG002 - as above
        """Return the present binding, whatever the address and the subscriber."""
        return self.binding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)


@pytest.mark.kafka
def test_what_waits_is_kept_when_the_port_is_bound_to_another_generation(mesh: Mesh) -> None:
    """A reader of the next generation, which has fewer partitions, restores it, and handles it before later events of its key."""
    binding, name = mesh.product(partitions=4), group()
    fill(mesh, binding.address, range(10))
    registry = Rebound(mesh, binding)
    retry = Retry(tries=9, first_s=0.02)
    with Subscriber(binding.address, registry, group=name, on_error=retry, kafka=QUICK) as subscriber:
        first: list[int] = []

        def fail(event: Event) -> None:
            (number,) = numbers([event])
            first.append(number)
            if len(set(first)) == 10:
                subscriber.stop()
            raise LookupError("not yet")

        subscriber.run(fail)
    second = f"{binding.topic}.g2"
    Admin(mesh.kafka).ensure_topic(second, 1)
    writer = PortWriter(binding)
    with Producer(mesh.kafka) as producer:
        for number in range(10, 20):
            _, value, key, headers = writer.message(reading(number))
            producer.deliver([Message(second, key, value, headers)])
    with Consumer(mesh.kafka) as consumer:
        passed = Continuation(
            generation=1, topic=binding.topic, ends=consumer.end_offsets(binding.topic), begins={0: 0}
        )
    registry.binding = binding.model_copy(
        update={"topic": second, "topic_id": None, "partitions": 1, "generation": 2, "continues": (passed,)}
    )
    done: list[int] = []
    with Subscriber(binding.address, registry, group=name, on_error=retry, kafka=QUICK) as subscriber:

        def handle(event: Event) -> None:
            done.extend(numbers([event]))
            if len(done) == 20:
                subscriber.stop()

        subscriber.run(handle)
        assert subscriber.waiting == 0
    assert sorted(done) == list(range(20))
    for number in range(10):
        assert done.index(number) < done.index(number + 10)
