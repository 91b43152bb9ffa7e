"""Meshport: an event-streaming data mesh with Kafka-backed output ports."""

from meshport.address import Address
from meshport.errors import MeshError
from meshport.event import Event
from meshport.publish import Publisher
from meshport.registry import Registry
from meshport.replay import Offsets, Replay
from meshport.subscribe import Start, Subscriber

__version__ = "0.1.0"

__all__ = ["Address", "Event", "MeshError", "Offsets", "Publisher", "Registry", "Replay", "Start", "Subscriber"]
