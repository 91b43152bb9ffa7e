"""`on_error` among many tasks: what fails at random, what is cancelled, and what another member takes over."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from meshport import AsyncSubscriber, Retry
from meshport.event import Event
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.async_reading import QUICK, in_order, run
from tests.ports.readings import fill, numbers
from tests.ports.test_retries import group

AGAIN = Retry(tries=1000, first_s=0)


def test_whatever_fails_at_random_each_event_is_handled_once_and_in_order(in_memory_mesh: Mesh) -> None:
    """A third of all tries fails; tasks of one key never overlap, and what waits is empty at the end."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(150))
    dice = random.Random(20260401)
    handled: list[Event] = []
    present: set[bytes | None] = set()

    async def read() -> int:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, group=group(), on_error=AGAIN, kafka=CONNECTIONS
        ) as subscriber:

            async def handle(event: Event) -> None:
                assert event.key not in present
                present.add(event.key)
                try:
                    await asyncio.sleep(0)
                    if dice.random() < 0.33:
                        raise LookupError("not yet")
                finally:
                    present.remove(event.key)
                handled.append(event)
                if len(handled) == 150:
                    subscriber.stop()

            await subscriber.run(handle, concurrency=20)
            return subscriber.waiting

    assert run(read()) == 0
    assert sorted(numbers(handled)) == list(range(150))
    assert in_order(handled)


def test_a_run_that_is_cancelled_loses_no_event_that_waits(in_memory_mesh: Mesh) -> None:
    """What a cancelled run had kept or begun is handled by the next one, of the same subscriber and of another."""
    binding, name = in_memory_mesh.product(), group()
    fill(in_memory_mesh, binding.address, range(40))
    handled: list[Event] = []

    async def read(*, cancelled: int, all_of_them: int) -> None:
        async with AsyncSubscriber(
            binding.address, in_memory_mesh.registry, group=name, on_error=AGAIN, kafka=QUICK
        ) as subscriber:
            tries: Counter[int] = Counter()
            enough = asyncio.Event()

            async def handle(event: Event) -> None:
                (number,) = numbers([event])
                tries[number] += 1
                await asyncio.sleep(0)
                if sum(tries.values()) >= cancelled and not enough.is_set():  # several may have begun since
                    enough.set()
                    await asyncio.Event().wait()  # until it is cancelled
                if number % 4 == 3 and tries[number] < 4:
                    raise LookupError("not yet")
                handled.append(event)
                if len({each.id for each in handled}) == all_of_them:
                    subscriber.stop()

            first = asyncio.create_task(subscriber.run(handle, concurrency=5))
            await enough.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            await subscriber.run(handle, concurrency=5)

    run(read(cancelled=8, all_of_them=20))
    run(read(cancelled=5, all_of_them=40))
    assert {*numbers(handled)} == set(range(40))


@pytest.mark.kafka
def test_another_member_takes_over_what_waits(mesh: Mesh) -> None:
    """A member that leaves hands its partitions over with what waits in them: it is handled before later events of its key."""
    binding, name = mesh.product(), group()
    fill(mesh, binding.address, range(40))
    later = Retry(tries=1000, first_s=0.2, longest_s=0.2)
    handled: list[Event] = []
    broken = True

    async def read() -> None:
        nonlocal broken
        options = {"group": name, "on_error": later, "kafka": QUICK}
        first = AsyncSubscriber(binding.address, mesh.registry, **options)  # type: ignore[arg-type]
        second = AsyncSubscriber(binding.address, mesh.registry, **options)  # type: ignore[arg-type]
        enough = asyncio.Event()

        async def handle(event: Event) -> None:
            await asyncio.sleep(0)
            if broken and numbers([event])[0] % 10 in {3, 7}:
                raise LookupError("not yet")
            handled.append(event)
            if len({each.id for each in handled}) == 32:
                first.stop()
                enough.set()
            if len({each.id for each in handled}) == 40:
                second.stop()

        async with second:
            async with first:
                both = asyncio.gather(first.run(handle, concurrency=9), second.run(handle, concurrency=9))
                await enough.wait()
            broken = False
            await both

    run(read())
    assert {*numbers(handled)} == set(range(40))
    seen: dict[bytes | None, list[int]] = {}
    for event in handled:
        own = seen.setdefault(event.key, [])
        own += [number for number in numbers([event]) if number not in own]
    assert all(each == sorted(each) for each in seen.values())
