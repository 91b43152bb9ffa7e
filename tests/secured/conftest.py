"""The fixtures of the tests in this folder lead to the session's secured broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshport.local.cluster import Cluster
from tests.mesh_session import Mesh, open_test_mesh


@pytest.fixture(scope="session")
def kafka(secured: Cluster) -> Cluster:
    """The secured broker."""
    return secured


@pytest.fixture(scope="session")
def mesh(secured: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh over the secured broker."""
    with open_test_mesh(tmp_path_factory.mktemp("secured"), secured.bootstrap_servers) as opened:
        yield opened


@pytest.fixture
def ports(mesh: Mesh) -> Mesh:
    """The same mesh, for tests that run in memory too elsewhere."""
    return mesh
