"""A mesh of its own for each test, because these commands look at every consumer group of a cluster."""

from __future__ import annotations

import pytest

from meshport.binding import Binding
from tests.mesh_session import Mesh
from tests.ports.readings import fill


@pytest.fixture
def mesh(mesh_alone: Mesh) -> Mesh:
    """A mesh that can be looked at as a whole."""
    return mesh_alone


@pytest.fixture
def port(mesh: Mesh) -> Binding:
    """A port with one partition and ten events."""
    made = mesh.product(partitions=1)
    fill(mesh, made.address, range(10))
    return made
