"""Publishing from the tasks of an event loop: outcomes, cancelled tasks, a full queue, and the end."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from meshport import AsyncPublisher, AsyncRegistry
from meshport.errors import DeliveryUnknown, EncodeError, NotRegistered, PublishError
from meshport.event import Event
from meshport.ports.delivery.wakeups import Wakeups
from meshport.ports.replay import Replay
from tests.connections import CONNECTIONS, Connections
from tests.mesh_session import READING, Mesh
from tests.ports.nowhere import Nowhere
from tests.ports.readings import reading
from tests.waiting import PATIENCE_S

SOON = {"message.timeout.ms": 300}


def to_nowhere(**properties: Any) -> AsyncPublisher:
    """A publisher whose cluster does not exist."""
    kafka = Connections({name.replace("_", "."): value for name, value in properties.items()})
    return AsyncPublisher("tests/nowhere", Nowhere(), kafka=kafka)


def stored(mesh: Mesh, address: Any) -> list[Event]:
    """The events of a port."""
    with Replay(address, mesh.registry, kafka=CONNECTIONS) as replay:
        return list(replay.history())


def test_a_task_awaits_that_its_event_is_stored(ports: Mesh) -> None:
    """A record, a tombstone and an event of the cloudevents SDK: each is stored once its id is returned."""
    binding = ports.product(READING, key="sensor", time="at", cleanup="compact")
    attributes = {"id": "mine", "source": str(binding.address), "type": binding.type}

    async def serve() -> list[str]:
        async with (
            AsyncRegistry(ports.url) as registry,
            AsyncPublisher(binding.address, registry, kafka=CONNECTIONS) as publisher,
        ):
            assert publisher.binding == binding
            return [
                *await asyncio.gather(*(publisher.publish(reading(number)) for number in range(100))),
                await publisher.publish_cloudevent(CloudEvent(attributes, reading(1))),
                await publisher.retract({"sensor": "s1"}),
                await (await publisher.submit(reading(2), id="later")),
            ]

    ids = asyncio.run(serve())
    assert ids[100::2] == ["mine", "later"]
    assert {event.id for event in stored(ports, binding.address)} == set(ids)


def test_an_event_that_is_none_of_the_port_is_refused(in_memory_mesh: Mesh) -> None:
    """A record that does not fit, and one that is larger than the client sends, raise an error; the next one is stored."""
    binding = in_memory_mesh.product()

    async def serve() -> None:
        async with AsyncPublisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
            with pytest.raises(EncodeError, match="celsius"):
                await publisher.publish(reading(1) | {"celsius": None})
            with pytest.raises(PublishError, match="MSG_SIZE_TOO_LARGE"):
                await publisher.publish(reading(1) | {"note": "x" * 1_010_000})
            await publisher.publish(reading(1))

    asyncio.run(serve())
    assert len(stored(in_memory_mesh, binding.address)) == 1


def test_an_event_without_an_answer_is_unknown() -> None:
    """A task learns that the outcome of its event is unknown, as soon as the client gives the event up."""

    async def serve() -> None:
        async with to_nowhere(**SOON) as publisher:
            with pytest.raises(DeliveryUnknown, match="MSG_TIMED_OUT"):
                await publisher.publish(reading(1))

    asyncio.run(serve())


@pytest.mark.parametrize("call", ["publish", "close"])
def test_a_publisher_is_open_within_its_block(in_memory_mesh: Mesh, call: str) -> None:
    """Before and after its block a publisher takes no event; it can be opened again, as a service that restarts does."""
    binding = in_memory_mesh.product()
    publisher = AsyncPublisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS)

    async def serve() -> None:
        for _ in range(2):
            with pytest.raises(PublishError, match="is not open"):
                await publisher.publish(reading(1))
            if call == "publish":
                async with publisher:
                    await publisher.publish(reading(1))
            else:
                await publisher.open()
                await publisher.submit(reading(1))
                await publisher.close()
                await publisher.close()

    asyncio.run(serve())
    assert len(stored(in_memory_mesh, binding.address)) == 2


def test_an_address_that_is_not_registered_is_refused_when_it_is_opened(in_memory_mesh: Mesh) -> None:
    """The start of a service fails where its port does not exist, through either kind of registry."""

    async def serve() -> None:
        async with AsyncRegistry(in_memory_mesh.url) as registry:
            for each in (registry, in_memory_mesh.registry):
                with pytest.raises(NotRegistered):
                    await AsyncPublisher("tests/unknown", each, kafka=CONNECTIONS).open()

    asyncio.run(serve())


def test_a_cancelled_task_publishes_its_event_whole_or_not_at_all(in_memory_mesh: Mesh) -> None:
    """Tasks that are cancelled after any number of steps leave nothing half done.

    An event is stored once or not at all, it is stored where its task was told so, and nothing waits afterwards.
    """
    binding = in_memory_mesh.product()
    told: set[str] = set()

    async def emit(publisher: AsyncPublisher, number: int) -> None:
        told.add(await publisher.publish(reading(number), id=str(number)))

    async def serve() -> None:
        async with AsyncPublisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
            for number in range(300):
                task = asyncio.create_task(emit(publisher, number))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                if number % 40 == 0:
                    await task
                task.cancel()
                await asyncio.wait([task])
            await publisher.publish(reading(1000), id="last")
            assert not [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]

    asyncio.run(serve())
    ids = [event.id for event in stored(in_memory_mesh, binding.address)]
    assert len(ids) == len(set(ids))
    assert told | {"last"} <= set(ids)
    assert not {str(number) for number in range(0, 300, 4) if number % 40} & set(ids)  # cancelled before the first step
    assert {str(number) for number in range(1, 300, 4)} <= set(ids)  # cancelled while they waited for the outcome


def test_a_failure_of_which_no_task_learns_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Where a task was cancelled while it waited, the failure of its event, or of its batch, is a warning."""
    caplog.set_level(logging.WARNING, logger="meshport")

    async def serve() -> None:
        async with to_nowhere(**SOON) as publisher:
            tasks = [
                asyncio.create_task(publisher.publish(reading(1), id="given-up")),
                asyncio.create_task(publisher.publish_batch([reading(2), reading(3)])),
            ]
            await asyncio.wait(tasks, timeout=0.01)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            while len(caplog.records) < 2:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
    texts = sorted(each.getMessage() for each in caplog.records)
    assert "a batch of tests/nowhere, whose task was cancelled: 0 stored, 0 refused, 2 unknown" in texts[0]
    assert "event given-up of tests/nowhere, whose task was cancelled" in texts[1]


def test_a_full_queue_keeps_tasks_waiting_and_no_other() -> None:
    """While the client's queue is full, tasks wait for room, and the event loop goes on; the end gives each an outcome."""

    async def serve() -> list[str]:
        publisher = to_nowhere(**{"queue.buffering.max.messages": 5})
        await publisher.open()
        tasks = [asyncio.create_task(publisher.publish(reading(number))) for number in range(20)]
        while publisher.waiting < 5:
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)  # a thread's answer comes, while 15 tasks wait for room
        assert not any(task.done() for task in tasks)
        tasks[-1].cancel()
        await asyncio.wait(tasks[-1:])
        await publisher.close(0.1)
        return [type(each).__name__ for each in await asyncio.gather(*tasks[:-1], return_exceptions=True)]

    kinds = asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
    assert sorted(kinds) == ["DeliveryUnknown"] * 5 + ["PublishError"] * 14


def test_closing_reports_what_nothing_asked() -> None:
    """A failed event whose receipt was never awaited is reported by the end of the block."""

    async def serve() -> str:
        publisher = to_nowhere()
        await publisher.open()
        receipt = await publisher.submit(reading(1))
        with pytest.raises(DeliveryUnknown) as unknown:
            await publisher.close(0.1)
        assert unknown.value.ids == (receipt.id,)
        return receipt.id

    asyncio.run(serve())


def test_a_cancelled_batch_is_published_whole(in_memory_mesh: Mesh) -> None:
    """A batch reports on its records; a batch whose task is cancelled once it has begun is published all the same."""
    binding = in_memory_mesh.product()
    begun = threading.Event()

    def records() -> Any:
        for number in range(500):
            begun.set()
            yield reading(number)

    async def serve() -> None:
        async with AsyncPublisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
            report = await publisher.publish_batch([reading(1), {}])
            assert (report.stored, len(report.refused), report.unknown) == (1, 1, ())
            task = asyncio.create_task(publisher.publish_batch(records()))
            await asyncio.to_thread(begun.wait, PATIENCE_S)
            task.cancel()
            await asyncio.wait([task])
            while publisher.waiting:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
    assert len(stored(in_memory_mesh, binding.address)) == 501


def test_many_tasks_are_woken_by_one_call() -> None:
    """Of a batch of delivery reports the first calls into the event loop, and that call wakes the tasks of all."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        calls: list[object] = []

        class Counting:
            """The loop, counting the calls."""

            def call_soon_threadsafe(self, call: Any) -> None:
                """As the loop does."""
                calls.append(call)
                loop.call_soon_threadsafe(call)

        wakeups = Wakeups(Counting())  # type: ignore[arg-type]  # the one method that it uses
        for _ in range(2):
            waiters = [loop.create_future() for _ in range(100)]
            waiters[50].cancel()
            for each in waiters:
                wakeups.wake(each)
            await asyncio.wait(waiters)
        assert len(calls) == 2

    asyncio.run(serve())


def test_a_loop_that_ended_wakes_nobody() -> None:
    """A receipt whose task went with its event loop gets its outcome all the same, without an error in the client's thread."""

    async def begin() -> Wakeups:
        return Wakeups(asyncio.get_running_loop())

    wakeups = asyncio.run(begin())
    wakeups.wake(asyncio.Future(loop=wakeups.loop))
