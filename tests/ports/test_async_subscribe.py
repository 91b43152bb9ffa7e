"""Subscribing from the tasks of an event loop, event by event: order, offsets, groups, and unreadable messages."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from meshport import AsyncRegistry, AsyncSubscriber
from meshport.errors import EventError, KafkaError, NotRegistered
from meshport.event import Event
from meshport.ports.group_start import Start
from meshport.ports.subscriber import BadEvent
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.async_reading import QUICK, committed, each_until, in_order, run, store, take, until
from tests.ports.readings import fill, numbers


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
