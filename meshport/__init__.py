"""Meshport: an event-streaming data mesh with Kafka-backed output ports."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from meshport.version import __version__ as __version__

if TYPE_CHECKING:
    from meshport.address import Address
    from meshport.errors import MeshError
    from meshport.event import Event
    from meshport.outbox.outbox import Outbox
    from meshport.outbox.relay import Relay
    from meshport.ports.async_publisher import AsyncPublisher
    from meshport.ports.async_subscriber import AsyncSubscriber
    from meshport.ports.delivery.receipt import Receipt
    from meshport.ports.failed.waiting import Retry
    from meshport.ports.group_start import Start
    from meshport.ports.history import Missing
    from meshport.ports.lifespan import SubscriberTask, lifespan
    from meshport.ports.port_writer import EventAttributes
    from meshport.ports.publisher import Publisher
    from meshport.ports.replay import Offsets, Replay
    from meshport.ports.required_levels import Require
    from meshport.ports.snapshot import Snapshot
    from meshport.ports.subscriber import Subscriber
    from meshport.project.clusters import kafka_clusters
    from meshport.query import Moment, Table
    from meshport.registry import AsyncRegistry, Registry


__all__ = [
    "Address",
    "AsyncPublisher",
    "AsyncRegistry",
    "AsyncSubscriber",
    "Event",
    "EventAttributes",
    "MeshError",
    "Missing",
    "Moment",
    "Offsets",
    "Outbox",
    "Publisher",
    "Receipt",
    "Registry",
    "Relay",
    "Replay",
    "Require",
    "Retry",
    "Snapshot",
    "Start",
    "Subscriber",
    "SubscriberTask",
    "Table",
    "kafka_clusters",
    "lifespan",
]

# Imported on first use: the command line and the pytest plugin start without the Kafka client and the HTTP client.
_MODULES: Final = {
    "Address": "meshport.address",
    "AsyncPublisher": "meshport.ports.async_publisher",
    "AsyncRegistry": "meshport.registry",
    "AsyncSubscriber": "meshport.ports.async_subscriber",
    "MeshError": "meshport.errors",
    "Event": "meshport.event",
    "EventAttributes": "meshport.ports.port_writer",
    "Missing": "meshport.ports.history",
    "Moment": "meshport.query",
    "Outbox": "meshport.outbox.outbox",
    "Publisher": "meshport.ports.publisher",
    "Receipt": "meshport.ports.delivery.receipt",
    "Offsets": "meshport.ports.replay",
    "Relay": "meshport.outbox.relay",
    "Replay": "meshport.ports.replay",
    "Require": "meshport.ports.required_levels",
    "Retry": "meshport.ports.failed.waiting",
    "Snapshot": "meshport.ports.snapshot",
    "Start": "meshport.ports.group_start",
    "Subscriber": "meshport.ports.subscriber",
    "SubscriberTask": "meshport.ports.lifespan",
    "Table": "meshport.query",
    "Registry": "meshport.registry",
    "kafka_clusters": "meshport.project.clusters",
    "lifespan": "meshport.ports.lifespan",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
