"""The pytest plugin: a mesh in memory with the project of the test, as fixtures.

It is loaded by pytest in every environment that has Meshport, so it imports nothing before a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from meshport.project.project import Project
    from meshport.testing.mesh import MemoryMesh


@pytest.fixture(scope="module")
def meshport_project(request: pytest.FixtureRequest) -> Project:
    """Return the mesh project around the test's file; define a fixture of this name to take another one."""
    from meshport.project.project import Project  # noqa: PLC0415 - see above

    return Project.find(request.path.parent)


@pytest.fixture
def meshport_mesh(meshport_project: Project) -> MemoryMesh:
    """Return a mesh in memory of its own for each test, to which the project was applied; see `MemoryMesh`."""
    from meshport.testing.mesh import MemoryMesh  # noqa: PLC0415 - see above

    return MemoryMesh(meshport_project)
