"""What the tests of an `AsyncSubscriber` share: reading in a loop of its own, and the order of what was read."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from meshport import AsyncSubscriber
from meshport.binding import Binding
from meshport.event import Event
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from tests.connections import Connections, connection
from tests.ports.readings import numbers
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
