"""`AsyncSubscriber.run`: many events at a time in the order of their keys, and what ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from opentelemetry import trace

from meshport import AsyncSubscriber
from meshport.event import Event
from meshport.ports.publisher import Publisher
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.async_reading import QUICK, committed, in_order, run, until
from tests.ports.readings import fill, numbers, reading

EVENTS: Final = 2000  # of two members: handled at 20 a second until both have partitions


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
    fill(mesh, binding.address, range(EVENTS))
    handled: dict[str, list[Event]] = {"first": [], "second": []}

    async def read() -> None:
        async with (
            AsyncSubscriber(binding.address, mesh.registry, group=binding.topic, kafka=QUICK) as first,
            AsyncSubscriber(binding.address, mesh.registry, group=binding.topic, kafka=QUICK) as second,
        ):
            both = asyncio.Event()

            def handler(name: str) -> Callable[[Event], Awaitable[None]]:
                async def handle(event: Event) -> None:
                    # Slowly, until the second member has partitions too, so that some are revoked from the first meanwhile:
                    # there are events for 100 s, because a group on a busy machine needs more than ten to rebalance.
                    await asyncio.sleep(0.05 if not both.is_set() else 0)
                    handled[name].append(event)
                    if all(handled.values()):
                        both.set()
                    if sum(map(len, handled.values())) == EVENTS:
                        first.stop()
                        second.stop()

                return handle

            await asyncio.gather(
                first.run(handler("first"), concurrency=1), second.run(handler("second"), concurrency=1)
            )

    run(read())
    assert all(handled.values())
    assert sorted(numbers(handled["first"] + handled["second"])) == list(range(EVENTS))


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
