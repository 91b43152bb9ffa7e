"""What a shell completes besides commands and options: addresses of the project and of the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from meshport.address import SCHEME
from meshport.cli.session import open_registry
from meshport.errors import MeshError
from meshport.project.project import Project

_REGISTRY_S: Final = 1.0  # a shell waits for its completions


def addresses(incomplete: str) -> list[str]:
    """Return the addresses of products that begin with what was typed, with the scheme where it was typed."""
    scheme = SCHEME if incomplete.startswith(SCHEME) else ""
    found = sorted({scheme + each for each in (*_of_project(), *_of_registry())})
    return [each for each in found if each.startswith(incomplete)]


def _of_project() -> list[str]:
    try:
        return [*Project.find(Path.cwd()).descriptors]
    except MeshError:
        return []


def _of_registry() -> list[str]:
    try:
        with open_registry(os.environ.get("MESHPORT_REGISTRY"), timeout_s=_REGISTRY_S) as mesh:
            return [each.address.key for each in mesh.search(limit=1000).items]
    except MeshError:
        return []
