"""A port of orders on a real Kafka, and the tools that are to read it.

A tool that is not there skips its tests; with MESHPORT_REQUIRE_INTEROP=1 in the environment it fails them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from meshport.ports.publisher import Publisher
from tests.connections import CONNECTIONS
from tests.interop.orders import ORDER, ORDER_PORT, Published, order, publish, publish_lines
from tests.interop.tools import do_without
from tests.mesh_session import Mesh


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Gives the path of a program, or does without."""

    def find(name: str) -> str:
        return shutil.which(name) or do_without(f"there is no {name} on the path")

    return find


@pytest.fixture(scope="session")
def orders(mesh: Mesh) -> Published:
    """Twelve orders, half published by the library, half by `meshport publish`."""
    binding = mesh.product(ORDER, name="orders", **ORDER_PORT)
    records = publish(mesh, binding.address, range(6)) | publish_lines(mesh, binding.address, range(6, 12))
    return Published(binding, mesh.url, dict(records))


@pytest.fixture(scope="session")
def ledger(mesh: Mesh) -> Published:
    """Four orders on a compacted port, the second of them retracted."""
    binding = mesh.product(ORDER, name="ledger", key="order_id", time="placed_at", cleanup="compact")
    records = publish(mesh, binding.address, range(4))
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        gone = publisher.retract({"order_id": order(1)["order_id"]})
    return Published(binding, mesh.url, {**records, gone: None})
