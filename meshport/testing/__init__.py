"""A project's own tests: the whole mesh in memory, or one of its processors; no Kafka, no registry service.

`MemoryMesh` is also the fixture `meshport_mesh` of the pytest plugin (`meshport.testing.plugin`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from meshport.testing.mesh import MemoryMesh
    from meshport.testing.processor import ProcessorTest

__all__ = ["MemoryMesh", "ProcessorTest"]

# Imported on first use, since pytest imports this package for its plugin in every session.
_MODULES: Final = {"MemoryMesh": "meshport.testing.mesh", "ProcessorTest": "meshport.testing.processor"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
