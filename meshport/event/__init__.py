"""CloudEvents 1.0 to Kafka messages and back, by the Kafka protocol binding.

Binary mode is written; structured JSON mode is read as well.
"""

from __future__ import annotations

from meshport.event.attributes import DATA_SCHEMA, Extension, Headers
from meshport.event.bare import reader_for, writer_for
from meshport.event.event import Envelope, Event
from meshport.event.reader import UNREADABLE, EventReader
from meshport.event.reading import ContractReader
from meshport.event.value import SchemaSource
from meshport.event.writer import EventWriter, new_id

__all__ = [
    "Event",
    "ContractReader",
    "Envelope",
    "EventReader",
    "EventWriter",
    "SchemaSource",
    "UNREADABLE",
    "new_id",
    "reader_for",
    "writer_for",
    "DATA_SCHEMA",
    "Extension",
    "Headers",
]
