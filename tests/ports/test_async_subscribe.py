"""Subscribing from the tasks of an event loop: order, offsets, many events at a time, groups, and unreadable messages."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace

from meshport import AsyncRegistry, AsyncSubscriber
from meshport.binding import Binding
from meshport.errors import EventError, KafkaError, NotRegistered
from meshport.event import Event
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.ports.group_start import Start
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import BadEvent
from tests.connections import CONNECTIONS, Connections, connection
from tests.mesh_session import READING, Mesh
from tests.ports.readings import fill, numbers, reading
from tests.waiting import PATIENCE_S

# Short timeouts: a test need not wait half a minute until a dead member is removed.
QUICK = Connections({"session.timeout.ms": 6000, "heartbeat.interval.ms": 500})


def committed(binding: Binding) -> dict[int, int]:
    """The offsets that the group of the topic's name has committed."""
    with Consumer(connection(binding.bootstrap_servers), group=binding.topic) as consumer:
        return consumer.committed(binding.topic)


def run(work: Awaitable[Any]) -> Any:
    """Run a coroutine in an event loop of its own, which ends after `PATIENCE_S` at the latest."""
    return asyncio.run(asyncio.wait_for(work, PATIENCE_S))


async def take(subscriber: AsyncSubscriber, count: int) -> list[Event]:
    """The next events; the last counts as not handled."""
    found: list[Event] = []
    async for event in subscriber:
        found.append(event)
        if len(found) == count:
            break
    return found


def by_key(events: Iterable[Event]) -> dict[bytes | None, list[int]]:
    """Which readings these are, in their order, by key."""
    found: dict[bytes | None, list[int]] = defaultdict(list)
    for event in events:
        found[event.key] += numbers([event])
    return found


def in_order(events: Iterable[Event]) -> bool:
    """Whether the readings of each key are in the order in which they were published."""
    return all(each == sorted(each) for each in by_key(events).values())


def until(subscriber: AsyncSubscriber, count: int, handled: list[Event]) -> Callable[[Event], Awaitable[None]]:
    """A handler that notes events, and stops the subscriber after so many different ones."""

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        handled.append(event)
        if len({each.id for each in handled}) == count:
            subscriber.stop()

    return handle


def test_events_of_a_key_come_in_order(ports: Mesh) -> None:
    """`async for` yields all events of a port, those of one key in the order of publishing, through an `AsyncRegistry`."""
    binding = ports.product()
    ids = fill(ports, binding.address, range(300))

    async def read() -> list[Event]:
        async with (
            AsyncRegistry(ports.url) as registry,
            AsyncSubscriber(binding.address, registry, kafka=CONNECTIONS) as subscriber,
        ):
            assert subscriber.binding == binding
            return await take(subscriber, 300)

    events = run(read())
    assert {event.id for event in events} == set(ids)
    assert in_order(events)


def test_a_loop_that_was_left_goes_on_with_its_event(in_memory_mesh: Mesh) -> None:
    """Leaving the loop, by `break` or by an error, and entering it again skips nothing; so does leaving it for `run`."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(100))
    handled: list[Event] = []

    async def read() -> None:
        async with AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
            for stop_at in range(10, 50, 10):
                with suppress(ZeroDivisionError):
                    async for event in subscriber:
                        if len(handled) == stop_at:
                            _ = 1 / (stop_at % 20)  # an error, or
                            break
                        handled.append(event)
            await subscriber.run(until(subscriber, 100, handled), concurrency=1)

    run(read())
    assert sorted(numbers(handled)) == list(range(100))
    assert in_order(handled)


def test_a_cancelled_wait_for_an_event_loses_none(in_memory_mesh: Mesh) -> None:
    """A task that gives up waiting for the next event leaves it to the next wait."""
    binding = in_memory_mesh.product()
    found: list[Event] = []

    async def read() -> None:
        async with AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(subscriber), 0.01)
            await asyncio.to_thread(fill, in_memory_mesh, binding.address, range(50))
            while len(found) < 50:
                with suppress(TimeoutError):
                    found.append(await asyncio.wait_for(anext(subscriber), 0.0001))

    run(read())
    assert sorted(numbers(found)) == list(range(50))


@pytest.mark.kafka
def test_a_group_continues_after_what_was_handled(mesh: Mesh) -> None:
    """A group that comes back repeats the event that was not handled and none before it, whichever way it reads."""
    binding = mesh.product()
    fill(mesh, binding.address, range(100))
    rest: list[Event] = []

    async def read() -> list[Event]:
        async with AsyncSubscriber(binding.address, mesh.registry, group=binding.topic, kafka=QUICK) as subscriber:
            first = await take(subscriber, 41)
            await subscriber.commit()
            assert sum((await asyncio.to_thread(committed, binding)).values()) == 40
        async with AsyncSubscriber(binding.address, mesh.registry, group=binding.topic, kafka=QUICK) as subscriber:
            await subscriber.run(until(subscriber, 60, rest))
        return first[:-1]

    first = run(read())
    assert sorted(numbers(first + rest)) == list(range(100))
    assert in_order(first + rest)
    assert sum(committed(binding).values()) == 100


def test_many_events_are_handled_at_a_time_and_those_of_a_key_in_order(in_memory_mesh: Mesh) -> None:
    """As many events are handled at a time as may be, of ten keys one each; every event once, in order for each key."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(200))
    handled: list[Event] = []
    present: set[bytes | None] = set()
    most = begun = 0

    async def read(concurrency: int) -> None:
        all_there = asyncio.Barrier(concurrency)
        async with AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
            note = until(subscriber, 200, handled)

            async def handle(event: Event) -> None:
                nonlocal most, begun
                assert event.key not in present
                present.add(event.key)
                most = max(most, len(present))
                begun += 1
                if begun <= concurrency:
                    await all_there.wait()
                await asyncio.sleep(0)
                present.remove(event.key)
                await note(event)

            await subscriber.run(handle, concurrency=concurrency)

    run(read(5))
    assert sorted(numbers(handled)) == list(range(200))
    assert in_order(handled)
    assert most == 5


def test_events_without_a_key_have_no_order(in_memory_mesh: Mesh) -> None:
    """Events without a key are handled at the same time."""
    binding = in_memory_mesh.product(READING)
    fill(in_memory_mesh, binding.address, range(20))
    handled: list[Event] = []

    async def read() -> None:
        together = asyncio.Barrier(20)
        async with AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
            note = until(subscriber, 20, handled)

            async def handle(event: Event) -> None:
                await together.wait()
                await note(event)

            await subscriber.run(handle, concurrency=20)

    run(read())
    assert sorted(numbers(handled)) == list(range(20))


def test_a_handler_that_fails_ends_the_run_without_a_gap(in_memory_mesh: Mesh) -> None:
    """The error names the event, nothing after it counts as handled, and a further run continues with it."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(100))
    handled: list[Event] = []
    failed: list[Event] = []

    async def read() -> None:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, group=binding.topic, kafka=CONNECTIONS
        ) as subscriber:
            note = until(subscriber, 100, handled)

            async def fail(event: Event) -> None:
                if numbers([event]) == [40]:
                    failed.append(event)
                    raise ZeroDivisionError
                await note(event)

            with pytest.raises(ZeroDivisionError) as error:
                await subscriber.run(fail, concurrency=4)
            (event,) = failed
            assert error.value.__notes__ == [
                f"while handling the event at {binding.topic}[{event.partition}]@{event.offset}"
            ]
            await subscriber.commit()
            assert (await asyncio.to_thread(committed, binding)).get(event.partition, 0) <= event.offset
            assert 40 not in numbers(handled)
            await subscriber.run(note, concurrency=4)

    run(read())
    assert sorted(numbers(handled)) == list(range(100))
    assert in_order(handled)


def test_a_cancelled_run_cancels_its_handlers_and_skips_nothing(in_memory_mesh: Mesh) -> None:
    """Events whose handlers were cancelled are not handled: no offset passes them, and a further run handles them."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(60))
    handled: list[Event] = []
    cancelled: list[Event] = []

    async def read() -> None:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, group=binding.topic, kafka=CONNECTIONS
        ) as subscriber:
            stuck = asyncio.Event()

            async def handle(event: Event) -> None:
                if len(handled) < 20:
                    handled.append(event)
                    return
                stuck.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.append(event)

            task = asyncio.create_task(subscriber.run(handle, concurrency=4))
            await stuck.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await subscriber.commit()
            offsets = await asyncio.to_thread(committed, binding)
            assert all(offsets.get(event.partition, 0) <= event.offset for event in cancelled)
            await subscriber.run(until(subscriber, 60, handled))

    run(read())
    assert cancelled
    assert sorted(numbers(handled)) == list(range(60))


@pytest.mark.kafka
def test_a_revoked_partition_waits_for_its_handlers(mesh: Mesh) -> None:
    """A second member is assigned partitions once the events of them that are being handled are done: none is handled twice."""
    binding = mesh.product(partitions=2)
    fill(mesh, binding.address, range(200))
    handled: dict[str, list[Event]] = {"first": [], "second": []}

    async def read() -> None:
        async with (
            AsyncSubscriber(binding.address, mesh.registry, group=binding.topic, kafka=QUICK) as first,
            AsyncSubscriber(binding.address, mesh.registry, group=binding.topic, kafka=QUICK) as second,
        ):
            both = asyncio.Event()

            def handler(name: str) -> Callable[[Event], Awaitable[None]]:
                async def handle(event: Event) -> None:
                    # Slowly, until the second member has partitions too, so that some are revoked from the first meanwhile.
                    await asyncio.sleep(0.05 if not both.is_set() else 0)
                    handled[name].append(event)
                    if all(handled.values()):
                        both.set()
                    if sum(map(len, handled.values())) == 200:
                        first.stop()
                        second.stop()

                return handle

            await asyncio.gather(
                first.run(handler("first"), concurrency=1), second.run(handler("second"), concurrency=1)
            )

    run(read())
    assert all(handled.values())
    assert sorted(numbers(handled["first"] + handled["second"])) == list(range(200))


@pytest.mark.parametrize("awaited", [True, False])
def test_a_message_that_cannot_be_read_goes_to_on_bad(in_memory_mesh: Mesh, awaited: bool) -> None:
    """`on_bad` gets the message in its place, and may be a coroutine function; reading continues after it."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(3))
    position = store(binding, b"no event")
    fill(in_memory_mesh, binding.address, range(3, 6))
    handled: list[Event] = []
    bad: list[tuple[int, BadEvent]] = []

    def note(each: BadEvent) -> None:
        bad.append((threading.get_ident(), each))

    async def note_later(each: BadEvent) -> None:
        await asyncio.sleep(0)
        note(each)

    async def read() -> None:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, on_bad=note_later if awaited else note, kafka=CONNECTIONS
        ) as subscriber:
            await subscriber.run(until(subscriber, 6, handled))

    run(read())
    assert sorted(numbers(handled)) == list(range(6))
    assert [(thread, each.message.partition(), each.message.offset()) for thread, each in bad] == [
        (threading.get_ident(), *position)
    ]


def test_a_message_that_cannot_be_read_is_an_error_without_on_bad(in_memory_mesh: Mesh) -> None:
    """The error is raised at each attempt to read on, and the offset does not advance past the message."""
    binding = in_memory_mesh.product()
    partition, offset = store(binding, b"no event")
    handled: list[Event] = []

    async def read() -> None:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, group=binding.topic, kafka=CONNECTIONS
        ) as subscriber:
            for _ in range(2):
                with pytest.raises(EventError):
                    await subscriber.run(until(subscriber, 1, handled))
            with pytest.raises(EventError):
                await take(subscriber, 1)

    run(read())
    assert not handled
    assert committed(binding).get(partition, 0) == offset


def test_a_subscriber_is_open_within_its_block(in_memory_mesh: Mesh) -> None:
    """Outside of its block it reads nothing; an address that is not registered is refused when it is opened."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(3))
    subscriber = AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS)

    async def read() -> None:
        for _ in range(2):
            with pytest.raises(KafkaError, match="is not open"):
                await anext(subscriber)
            async with subscriber:
                assert len(await take(subscriber, 3)) == 3
        with pytest.raises(NotRegistered):
            await AsyncSubscriber("tests/unknown", in_memory_mesh.registry, kafka=CONNECTIONS).open()

    run(read())


def test_closing_ends_a_run_of_another_task(in_memory_mesh: Mesh) -> None:
    """A subscriber that closes while a task runs it begins no further event, and `run` returns."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(20))
    handled: list[Event] = []

    async def read() -> None:
        begun, closed = asyncio.Event(), asyncio.Event()

        async def handle(event: Event) -> None:
            handled.append(event)
            begun.set()
            await closed.wait()

        subscriber = AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS)
        await subscriber.open()
        task = asyncio.create_task(subscriber.run(handle, concurrency=1))
        await begun.wait()
        await subscriber.close()
        closed.set()
        await task

    run(read())
    assert len(handled) == 1


def test_stopping_from_another_thread_ends_a_wait(in_memory_mesh: Mesh) -> None:
    """`stop` ends `async for` and `run` while nothing arrives, whichever thread calls it."""
    binding = in_memory_mesh.product()

    async def read() -> None:
        for way in ("run", "for"):
            async with AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
                work = subscriber.run(until(subscriber, 1, [])) if way == "run" else take(subscriber, 1)
                task = asyncio.create_task(work)
                await asyncio.sleep(0)
                await asyncio.to_thread(subscriber.stop)
                await task

    run(read())


def test_sigterm_ends_every_reader_of_a_loop(in_memory_mesh: Mesh) -> None:
    """Where nothing else handles the signal, it ends `run` of each subscriber after what is being handled."""
    assert threading.current_thread() is threading.main_thread()
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(2))
    handled: list[Event] = []

    async def handle(event: Event) -> None:
        if len(handled) == 2:
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.to_thread(lambda: None)
        handled.append(event)

    async def read() -> None:
        async with (
            AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as first,
            AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as second,
        ):
            await asyncio.gather(first.run(handle), second.run(handle))

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a command that ran in this process has left its own
    try:
        run(read())
        assert len(handled) in {3, 4}
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_continues_the_trace_of_its_event(in_memory_mesh: Mesh) -> None:
    """What a handler publishes belongs to the trace of the event that it handles, whatever is handled at the same time."""
    binding = in_memory_mesh.product()
    traces = [f"{number + 1:032x}" for number in range(10)]
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for number, each in enumerate(traces):
            publisher.publish(reading(number), extensions={"traceparent": f"00-{each}-00000000000000aa-01"})
    found: dict[int, str] = {}

    async def read() -> None:
        together = asyncio.Barrier(10)
        async with AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:

            async def handle(event: Event) -> None:
                await together.wait()
                within = trace.get_current_span().get_span_context()
                found[numbers([event])[0]] = trace.format_trace_id(within.trace_id)
                if len(found) == 10:
                    subscriber.stop()

            await subscriber.run(handle, concurrency=10)

    run(read())
    assert [found[number] for number in range(10)] == traces


def test_seeking_moves_the_offsets(in_memory_mesh: Mesh) -> None:
    """After `seek` each event from there on is given once, and what was received before it counts for no offset."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(40))

    async def read() -> list[int]:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, group=binding.topic, kafka=CONNECTIONS
        ) as subscriber:
            await take(subscriber, 20)
            await subscriber.seek(Start.EARLIEST)
            again = [event async for event in each_until(subscriber, 40)]
            await subscriber.commit()
            return numbers(again)

    assert sorted(run(read())) == list(range(40))
    assert sum(committed(binding).values()) == 40


async def each_until(subscriber: AsyncSubscriber, count: int) -> AsyncIterator[Event]:
    """The events of a subscriber until it has given so many different ones and each counts as handled."""
    seen: set[str] = set()
    async for event in subscriber:
        yield event
        seen.add(event.id)
        if len(seen) == count:
            subscriber.stop()


def store(binding: Binding, value: bytes) -> tuple[int, int]:
    """Put bytes that are no event on a port's topic; their partition and offset."""
    with Producer(connection(binding.bootstrap_servers)) as producer:
        (position,) = producer.deliver([Message(binding.topic, b"s1", value)])
    return position
