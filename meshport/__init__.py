"""Meshport: an event-streaming data mesh with Kafka-backed output ports."""

__version__ = "0.1.0"
