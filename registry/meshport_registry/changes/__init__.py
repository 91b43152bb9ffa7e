"""The registry's own changes as the data product `mesh://mesh/changes`.

`record` adds the event of a change to the outbox in the registry's database, in the transaction of the change; a relay publishes
it after the commit. Nothing is added while the product is not registered, which `meshport registry relay` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record

__all__ = ["PROJECT", "MeshChange", "MeshChangeKind", "record"]

PROJECT: Final = Path(__file__).parent / "project"
"""The mesh project that has the product: its descriptor and its contract."""
