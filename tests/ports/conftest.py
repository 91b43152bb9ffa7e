"""One mesh for the behaviour of ports: every test that asks for it runs in memory and on a real Kafka."""

from __future__ import annotations

import pytest

from tests.mesh_session import Mesh


@pytest.fixture(params=["in-memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def ports(request: pytest.FixtureRequest) -> Mesh:
    """The session's mesh over one of the two."""
    name = "mesh" if request.param == "kafka" else "in_memory_mesh"
    found: Mesh = request.getfixturevalue(name)
    return found
