"""A service on FastAPI that publishes, reads and ends as its server tells it to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request

from meshport import AsyncPublisher, AsyncRegistry, AsyncSubscriber, SubscriberTask, lifespan
from meshport.errors import NotRegistered
from meshport.event import Event
from meshport.kafka.consumer import Consumer
from tests.connections import CONNECTIONS, connection
from tests.mesh_session import Mesh
from tests.ports.readings import numbers, reading
from tests.served import served
from tests.waiting import PATIENCE_S


@pytest.mark.kafka
def test_a_service_publishes_and_reads_for_as_long_as_it_runs(mesh: Mesh) -> None:
    """Requests share one publisher of the application's state, its own events come back, and the end commits them."""
    binding = mesh.product()
    handled: list[Event] = []

    async def handle(event: Event) -> None:
        handled.append(event)

    registry = AsyncRegistry(mesh.url)
    own = lifespan(
        registry=registry,
        readings=AsyncPublisher(binding.address, registry, kafka=CONNECTIONS),
        reading=SubscriberTask(
            AsyncSubscriber(binding.address, registry, group=binding.topic, kafka=CONNECTIONS), handle
        ),
    )
    app = FastAPI(lifespan=own)

    @app.post("/readings/{number}")
    async def measured(number: int, request: Request) -> str:
        published: str = await request.state.readings.publish(reading(number))
        return published

    async def serve() -> list[str]:
        async with served(app) as client:
            answers = await asyncio.gather(*(client.post(f"/readings/{number}") for number in range(20)))
            while len(handled) < 20:
                await asyncio.sleep(0.01)
            return [each.json() for each in answers]

    for _ in range(2):  # a lifespan can be entered again
        handled.clear()
        ids = asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
        assert {event.id for event in handled} == set(ids)
        assert sorted(numbers(handled)) == list(range(20))
    with Consumer(connection(binding.bootstrap_servers), group=binding.topic) as consumer:
        assert sum(consumer.committed(binding.topic).values()) == 40


def test_a_part_that_cannot_be_opened_keeps_the_service_from_starting(in_memory_mesh: Mesh) -> None:
    """The error of a part is the error of the start, and the parts before it are closed."""
    closed = False

    @asynccontextmanager
    async def before() -> AsyncIterator[str]:
        nonlocal closed
        try:
            yield "before"
        finally:
            closed = True

    opened = lifespan(
        before=before(), readings=AsyncPublisher("tests/unknown", in_memory_mesh.registry, kafka=CONNECTIONS)
    )

    async def start() -> None:
        async with opened(FastAPI()):
            pass

    with pytest.raises(NotRegistered):
        asyncio.run(start())
    assert closed


def test_a_reading_that_fails_is_logged_and_raised_at_the_end(
    in_memory_mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """`failed` is the handler's error as soon as it ended the reading; the end of the service raises it."""
    binding = in_memory_mesh.product()

    async def handle(_: Event) -> None:
        raise ZeroDivisionError

    async def serve() -> None:
        subscriber = AsyncSubscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS)
        opened: Any = lifespan(
            readings=AsyncPublisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS),
            reading=SubscriberTask(subscriber, handle),
        )
        async with opened(None) as state:
            assert state["reading"].failed is None
            await state["readings"].publish(reading(1))
            while state["reading"].failed is None:
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR, logger="meshport"), pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
    assert f"{binding.address} is not read any more" in caplog.text


def test_handlers_that_do_not_end_are_cancelled_after_a_while(in_memory_mesh: Mesh) -> None:
    """At the end a handler is waited for, and cancelled after `grace_s`; its event is not handled."""
    binding = in_memory_mesh.product()
    begun: list[Event] = []
    cancelled: list[Event] = []

    async def handle(event: Event) -> None:
        begun.append(event)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event)
            raise

    async def serve() -> None:
        subscriber = AsyncSubscriber(binding.address, in_memory_mesh.registry, group=binding.topic, kafka=CONNECTIONS)
        async with (
            AsyncPublisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher,
            SubscriberTask(subscriber, handle, grace_s=0),
        ):
            await publisher.publish(reading(1))
            while not begun:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
    assert numbers(cancelled) == [1]
    with Consumer(connection(binding.bootstrap_servers), group=binding.topic) as consumer:
        assert not any(consumer.committed(binding.topic).values())
