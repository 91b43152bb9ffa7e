"""Receipts: the outcome of one event, waited for in a thread, awaited in a task, called back."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from meshport.errors import DeliveryUnknown, EncodeError, PublishError
from meshport.ports.publisher import Publisher, Receipt
from meshport.ports.replay import Replay
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.nowhere import nowhere
from tests.ports.readings import reading
from tests.waiting import PATIENCE_S, wait_for

SOON = {"message_timeout_ms": 300}


def client_threads() -> set[str]:
    """The ids of this process' threads that librdkafka started."""
    found = set()
    for each in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            if (each / "comm").read_text(encoding="utf-8").startswith("rdk:"):
                found.add(each.name)
    return found


def ids(mesh: Mesh, publisher: Publisher) -> set[str]:
    """The ids of a port's events."""
    with Replay(publisher.binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
        return {event.id for event in replay.history()}


def test_a_receipt_says_that_its_event_is_stored(ports: Mesh) -> None:
    """`result` returns the id once the event is in the topic: of a record, a tombstone and an event with an id of its own."""
    binding = ports.product(READING, key="sensor", time="at", cleanup="compact")
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        receipts = [
            publisher.submit(reading(1)),
            publisher.submit(reading(2), id="mine"),
            publisher.submit_retraction({"sensor": "s1"}),
        ]
        assert [each.result(PATIENCE_S) for each in receipts] == [each.id for each in receipts]
        assert all(each.done() for each in receipts)
        assert ids(ports, publisher) == {each.id for each in receipts}
        assert repr(receipts[1]) == "Receipt('mine', stored)"


def test_a_task_awaits_a_receipt(in_memory_mesh: Mesh) -> None:
    """Tasks of one loop share a publisher, and each awaits its own event."""
    binding = in_memory_mesh.product()

    async def handle(publisher: Publisher, number: int) -> str:
        return await publisher.submit(reading(number))

    async def serve(publisher: Publisher) -> list[str]:
        return await asyncio.gather(*(handle(publisher, number) for number in range(100)))

    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        assert set(asyncio.run(serve(publisher))) == ids(in_memory_mesh, publisher)


def test_an_event_that_the_broker_does_not_answer_is_unknown() -> None:
    """A wait that ends early raises DeliveryUnknown with the id; so does the outcome, when the client gives the event up."""
    publisher = nowhere(**SOON)
    receipt = publisher.submit(reading(1))
    with pytest.raises(DeliveryUnknown, match=r"within 0 s") as early:
        receipt.result(0)
    assert early.value.ids == (receipt.id,)
    assert not receipt.done()
    with pytest.raises(DeliveryUnknown, match="MSG_TIMED_OUT"):
        receipt.result(PATIENCE_S)
    assert receipt.done()
    assert "MSG_TIMED_OUT" in repr(receipt)


def test_a_task_that_gives_up_does_not_change_the_outcome() -> None:
    """`asyncio.wait_for` ends the waiting of one task; the receipt still has its outcome for others."""
    publisher = nowhere(**SOON)

    async def give_up() -> Receipt:
        receipt = publisher.submit(reading(1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receipt, 0)
        with pytest.raises(DeliveryUnknown):
            await receipt
        return receipt

    with pytest.raises(DeliveryUnknown):
        asyncio.run(give_up()).result(0)


def test_a_receipt_calls_back(in_memory_mesh: Mesh) -> None:
    """A function that was added before the outcome is called with the receipt; one that is added after it, at once."""
    binding = in_memory_mesh.product()
    called: list[Receipt] = []
    there = threading.Event()

    def call(receipt: Receipt) -> None:
        called.append(receipt)
        there.set()

    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        receipt = publisher.submit(reading(1))
        receipt.add_done_callback(call)
        assert there.wait(PATIENCE_S)
        receipt.add_done_callback(call)
    assert called == [receipt, receipt]


def test_what_is_refused_at_once_has_no_receipt(in_memory_mesh: Mesh) -> None:
    """A record that does not fit, or is larger than the client sends, raises as in `publish`, and is not counted."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises(EncodeError, match="celsius"):
            publisher.submit(reading(1) | {"celsius": None})
        with pytest.raises(PublishError, match="MSG_SIZE_TOO_LARGE"):
            publisher.submit(reading(1) | {"note": "x" * 1_010_000})
        assert publisher.flush() == 0


def test_a_failure_is_the_receipts_once_it_was_asked() -> None:
    """`flush` counts events with receipts, and raises for those that failed while nothing asked their receipts."""
    publisher = nowhere(**SOON)
    asked, other = publisher.submit(reading(1)), publisher.submit(reading(2))
    with pytest.raises(DeliveryUnknown):
        asked.result(PATIENCE_S)
    with pytest.raises(DeliveryUnknown, match=r"1 of 2 events .* 0 refused, 1 unknown") as unknown:
        publisher.flush(PATIENCE_S)
    assert unknown.value.ids == (other.id,)
    assert publisher.flush() == 0


def test_closing_gives_every_receipt_an_outcome() -> None:
    """When a publisher closes without an answer, each receipt is unknown, so that nothing waits for it for ever."""
    publisher = nowhere()
    receipts = [publisher.submit(reading(number)) for number in range(10)]
    with pytest.raises(DeliveryUnknown, match="10 of 10 events"):
        publisher.close(0.1)
    for receipt in receipts:
        with pytest.raises(DeliveryUnknown):
            receipt.result(0)
        assert receipt.done()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads by name are those of Linux")
def test_closing_ends_the_connection() -> None:
    """A closed publisher keeps no thread of its client, whatever still refers to the publisher; later calls are refused."""
    before = client_threads()
    publisher = nowhere()
    own = client_threads() - before
    assert own
    publisher.close()
    wait_for(lambda: not own & client_threads(), lambda: f"the threads end; there are {own & client_threads()}")
    for call in (lambda: publisher.publish(reading(1)), lambda: publisher.submit(reading(1)), publisher.flush):
        with pytest.raises(PublishError, match="nothing more goes to nowhere: the publisher is closed"):
            call()
    with pytest.raises(PublishError, match="is closed"):
        publisher.publish_batch([reading(1)])
    assert publisher.close() == 0


def test_the_thread_of_receipts_ends_with_the_publisher(in_memory_mesh: Mesh) -> None:
    """Receipts are served by one thread, which a closed publisher does not keep."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(3):
            publisher.submit(reading(number)).result(PATIENCE_S)
        (thread,) = [each for each in threading.enumerate() if each.name == f"receipts of {binding.topic}"]
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
