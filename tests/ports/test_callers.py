"""Callers that share a publisher: what `flush` and `close` report to which of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from meshport.errors import DeliveryUnknown, EncodeError, MeshError, PublishError
from meshport.kafka.undelivered import Undelivered
from meshport.ports.delivery.chunk import Chunk, mark
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.nowhere import nowhere
from tests.ports.readings import reading
from tests.waiting import PATIENCE_S

SOON = {"message_timeout_ms": 300}


def failed(wait: Callable[[], object]) -> tuple[str, ...]:
    """The ids that the error of a `flush` names."""
    with pytest.raises(DeliveryUnknown) as unknown:
        wait()
    return unknown.value.ids


def in_thread(do: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own and return its result."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result(PATIENCE_S)


def test_each_thread_is_told_of_its_own_failures() -> None:
    """A flush takes no failure from another thread, whichever comes first; each error counts its own events."""
    publisher = nowhere(**SOON)
    published, flushed = threading.Barrier(5), threading.Barrier(5)

    def handle(number: int) -> None:
        ids = {publisher.publish(reading(each)) for each in range(number + 1)}
        published.wait(PATIENCE_S)
        with pytest.raises(DeliveryUnknown, match=f"{number + 1} of {number + 1} events") as unknown:
            publisher.flush(PATIENCE_S)
        assert set(unknown.value.ids) == ids
        flushed.wait(PATIENCE_S)
        assert publisher.settle() == []

    with ThreadPoolExecutor(5) as pool:
        for each in [pool.submit(handle, number) for number in range(5)]:
            each.result(PATIENCE_S)
    assert publisher.close() == 0


def test_a_thread_flushes_for_the_task_that_awaits_it() -> None:
    """A task publishes and has `asyncio.to_thread` flush: it is told of its own events, though the loop shares one thread."""
    publisher = nowhere(**SOON)

    async def handle(number: int) -> None:
        id = publisher.publish(reading(number))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(failed, publisher.flush) == (id,)

    async def serve() -> None:
        await asyncio.gather(*(handle(number) for number in range(20)))

    publisher.publish(reading(99))  # the tasks inherit a context in which another caller has published
    asyncio.run(serve())
    assert len(failed(publisher.flush)) == 1


def test_a_call_of_to_thread_is_a_caller_of_its_own() -> None:
    """A whole handler runs in a thread: it is told of its own events, whatever the context that it inherits."""
    publisher = nowhere(**SOON)

    def handle(number: int) -> None:
        id = publisher.publish(reading(number))
        assert failed(publisher.flush) == (id,)

    async def serve() -> None:
        publisher.publish(reading(99))
        await asyncio.gather(*(asyncio.to_thread(handle, number) for number in range(20)))

    asyncio.run(serve())
    assert len(publisher.settle()) == 1


def test_a_flush_that_cannot_know_its_events_reports_every_failure() -> None:
    """Published in one call of `to_thread` and flushed in another: each flush names the event, even after another has."""
    publisher = nowhere(**SOON)

    async def handle(number: int) -> None:
        id = await asyncio.to_thread(publisher.publish, reading(number))
        assert id in await asyncio.to_thread(failed, publisher.flush)

    async def serve() -> None:
        await asyncio.gather(*(handle(number) for number in range(20)))

    asyncio.run(serve())


def test_a_caller_without_events_waits_for_those_of_all(in_memory_mesh: Mesh) -> None:
    """The thread that made others publish counts their events once, whether or not they have ended."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(0))
        assert publisher.flush() == 1
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: publisher.publish(reading(number)), range(1, 101)))
            assert publisher.flush() == 100
            assert publisher.flush() == 0
        in_thread(lambda: publisher.publish(reading(101)))
        publisher.publish(reading(102))
        assert publisher.flush() == 2
        in_thread(lambda: publisher.publish(reading(103)))
        assert publisher.close() == 1


def test_a_batch_reports_on_its_own_records() -> None:
    """What other events wait for an outcome changes no batch's report, and the batch takes nothing of theirs."""
    publisher = nowhere(**SOON)
    id = publisher.publish(reading(0))
    report = publisher.publish_batch([reading(1), reading(2) | {"celsius": None}, reading(3)])
    assert (report.stored, [each.index for each in report.refused]) == (0, [1])
    assert sorted(each.index for each in report.unknown) == [0, 2]
    assert failed(publisher.flush) == (id,)


def test_a_closed_publisher_takes_no_more_events(in_memory_mesh: Mesh) -> None:
    """`close` counts what nothing reported; after it every way of publishing raises, and `close` again returns 0."""
    binding = in_memory_mesh.product()
    publisher = Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS)
    publisher.publish(reading(1))
    assert (publisher.close(), publisher.close()) == (1, 0)
    for publish in (
        lambda: publisher.publish(reading(2)),
        lambda: publisher.publish(reading(2), id="given"),
        lambda: publisher.submit(reading(2)),
        lambda: publisher.retract({"sensor": "s1"}),
        lambda: publisher.publish_batch([]),
        publisher.flush,
        lambda: in_thread(lambda: publisher.publish(reading(2))),
    ):
        with pytest.raises(PublishError, match="is closed"):
            publish()


def test_closing_while_others_publish_loses_nothing(ports: Mesh) -> None:
    """Threads publish until `close` refuses them: what `publish` accepted is in the topic, and counted."""
    binding = ports.product()
    publisher = Publisher(binding.address, ports.registry, kafka=CONNECTIONS)
    begun = threading.Barrier(9)

    def work() -> list[str]:
        ids: list[str] = []
        begun.wait(PATIENCE_S)
        try:
            while True:
                ids.append(publisher.publish(reading(len(ids))))
        except PublishError:
            return ids

    with ThreadPoolExecutor(8) as pool:
        working = [pool.submit(work) for _ in range(8)]
        begun.wait(PATIENCE_S)
        stored = publisher.close()
        ids = [id for each in working for id in each.result(PATIENCE_S)]
    with Replay(binding.address, ports.registry, kafka=CONNECTIONS) as replay:
        there = [event.id for event in replay.history()]
    assert stored == len(ids) == len(there)
    assert set(ids) == set(there)


def test_an_error_that_is_kept_delays_no_outcome(in_memory_mesh: Mesh) -> None:
    """The traceback of a refused event's error keeps frames of the publisher; other events of its chunk still get an outcome."""
    binding = in_memory_mesh.product()
    kept: list[MeshError] = []
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for record in (
            reading(0),
            reading(1) | {"celsius": None},
            reading(2),
            reading(3) | {"note": "x" * 1_010_000},
            reading(4),
        ):
            try:
                publisher.publish(record)
            except MeshError as error:
                kept.append(error)
        assert publisher.flush(PATIENCE_S) == 3
    assert [type(each) for each in kept] == [EncodeError, PublishError]


def test_callers_that_have_ended_leave_no_trace(in_memory_mesh: Mesh) -> None:
    """A service of many tasks, each of which publishes and ends, keeps the count of their events and little else."""
    binding = in_memory_mesh.product()

    async def serve(publisher: Publisher) -> None:
        async def handle(number: int) -> None:
            publisher.publish(reading(number))

        for number in range(2000):
            await asyncio.create_task(handle(number))
            if number % 100 == 0:
                await publisher.submit(reading(number))

    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        asyncio.run(serve(publisher))
        assert len(publisher._deliveries._accounts) < 300
        assert publisher.flush() == 2020


def test_events_with_equal_bytes_are_unknown_where_some_of_them_failed() -> None:
    """The client does not report which of two equal events failed; a tombstone is told from others by its key."""
    chunk = Chunk("id-", lambda error, _: Undelivered(PublishError(error.str())))
    for value, key in ((b"a", b"k"), (b"b", b"k"), (b"a", b"k"), (None, b"x"), (None, b"y")):
        chunk.add(chunk.id(len(chunk.values)), mark(value, key))
    chunk.failed(mark(b"a", b"k"), Undelivered(PublishError("refused")))
    chunk.failed(mark(None, b"y"), Undelivered(PublishError("refused")))
    chunk.complete()
    assert [(each.id, each.unknown) for each in chunk.failures()] == [
        ("id-000", True),
        ("id-002", True),
        ("id-004", False),
    ]


def test_an_interrupted_event_is_unknown() -> None:
    """A signal may interrupt `publish` before or after the client has the event; it is neither stored nor lost for certain."""
    publisher = nowhere(**SOON)
    produce = publisher._deliveries._produce

    def interrupted(*message: Any) -> None:
        produce(*message)
        raise KeyboardInterrupt

    publisher._deliveries._produce = interrupted
    publisher._publish_plain = publisher._plain_publisher()
    with pytest.raises(KeyboardInterrupt):
        publisher.publish(reading(1))
    with pytest.raises(KeyboardInterrupt):
        publisher.publish(reading(2), id="given")
    with pytest.raises(KeyboardInterrupt):
        publisher.submit(reading(3), id="with a receipt")
    assert len(failed(publisher.flush)) == 3


FORK = """
import os, sys
from meshport.errors import PublishError
from tests.ports.nowhere import nowhere
from tests.ports.readings import reading

publisher = nowhere()
publisher.publish(reading(1))
receipt = publisher.submit(reading(1))
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for do in (lambda: publisher.publish(reading(2)), publisher.flush, lambda: receipt.result()):
    try:
        do()
    except Exception as error:
        print(type(error).__name__, str(error).replace(str(os.getppid()), "PARENT").splitlines()[0], flush=True)
print(publisher.close())
"""


def test_a_fork_publishes_with_a_publisher_of_its_own() -> None:
    """A process that a fork made has no threads of the client: publishing in it is refused, and nothing waits."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    refused = "PublishError nothing more goes to nowhere: its publisher was created by the process PARENT"
    first, second, third, last = done.stdout.splitlines()
    assert first.startswith(refused)
    assert second.startswith(refused)
    assert third.startswith("DeliveryUnknown event ")
    assert last == "0"
