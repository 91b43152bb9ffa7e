"""Readings of sensors: the events that the suites of the ports publish and read."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from meshport.address import Address
from meshport.binding import Binding
from meshport.event import Event
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS, client_settings
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def reading(number: int, *, sensor: str | None = None, at: datetime | None = None) -> dict[str, Any]:
    """The reading of that number: one a minute, of ten sensors in turn."""
    return {
        "sensor": sensor or f"s{number % 10}",
        "at": at or BEGIN + timedelta(minutes=number),
        "celsius": float(number),
        "note": None,
    }


def fill(mesh: Mesh, address: Address, which: Iterable[int]) -> list[str]:
    """Publish the readings of these numbers; their ids."""
    with Publisher(address, mesh.registry, kafka=CONNECTIONS) as publisher:
        return [publisher.publish(reading(number)) for number in which]


def cut(binding: Binding, offset: int) -> None:
    """Remove the records of partition 0 before this offset, as retention does; -1 removes all."""
    admin = AdminClient({**client_settings(binding.bootstrap_servers), "log_level": 0})
    at = ClientPartition(binding.topic, 0, offset)
    admin.delete_records([at])[at].result(timeout=PATIENCE_S)


def take(subscriber: Subscriber, count: int) -> list[Event]:
    """Return the next `count` events; the last counts as not handled, as when a handler fails. Fails if they do not come."""
    found: list[Event] = []
    watchdog = threading.Timer(PATIENCE_S, subscriber.stop)
    watchdog.start()
    try:
        for event in subscriber:
            found.append(event)
            if len(found) == count:
                break
    finally:
        watchdog.cancel()
        watchdog.join()
    assert len(found) == count, f"{len(found)} of {count} events came within {PATIENCE_S} s"
    return found


def numbers(events: Iterable[Event]) -> list[int]:
    """Which readings these are."""
    return [int(event.data["celsius"]) for event in events]
