"""Meshport: an event-streaming data mesh with Kafka-backed output ports."""

from meshport.address import Address
from meshport.errors import MeshError
from meshport.event import Event
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Offsets, Replay
from meshport.ports.subscriber import Start, Subscriber
from meshport.registry import Registry

__version__ = "0.1.0"

__all__ = ["Address", "Event", "MeshError", "Offsets", "Publisher", "Registry", "Replay", "Start", "Subscriber"]
