"""A mesh for tests: a real registry over a Kafka, real or in memory, and products made in a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.binding import Binding
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.kafka.in_memory import in_memory_cluster
from meshport.product import Product
from meshport.project.apply import carry_out, plan
from meshport.project.project import ProjectProduct
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema
from meshport_registry import Settings, running
from tests.connections import connection
from tests.waiting import PATIENCE_S

READING: dict[str, Any] = {
    "type": "record",
    "name": "Reading",
    "namespace": "tests",
    "fields": [
        {"name": "sensor", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "celsius", "type": "double"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


@dataclass
class Mesh:
    """A registry over one cluster.

    Attributes:
        registry: a client of it.
        url: of the registry.
        kafka: the connection to the cluster.
    """

    registry: Registry
    url: str
    kafka: KafkaConfig
    folder: Path
    _admins: ClusterAdmins = field(init=False, repr=False)
    _applied: dict[Address, ProjectProduct] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._admins = ClusterAdmins(self.kafka)

    @property
    def bootstrap_servers(self) -> str:
        """The cluster's bootstrap servers."""
        return self.kafka.bootstrap_servers

    def product(self, schema: dict[str, Any] | None = None, *, name: str | None = None, **port: Any) -> Binding:
        """Register a source-aligned product of a name that no other test has, with one port."""
        form = schema or READING
        port = {"name": "events"} | ({"key": "sensor", "time": "at"} if schema is None else {}) | port
        product = Product.model_validate(
            {
                "address": f"mesh://tests/{name or 'product'}-{uuid4().hex[:8]}",
                "id": str(uuid4()),
                "archetype": "source-aligned",
                "description": "made by a test",
                "owner": "tests",
                "outputPorts": [port],
            }
        )
        contract: Schema = parse_schema(json.dumps(form))
        one = ProjectProduct(product, self.folder, {(each.name, each.major): contract for each in product.output_ports})
        return self.apply(one)

    def apply(self, one: ProjectProduct) -> Binding:
        """Register a product and make its topics; the binding of its default port."""
        (planned,) = plan([one], self.registry, self._admins)
        carry_out(planned, self.registry, self._admins)
        self._applied[one.product.address] = one
        return self.registry.resolve(Address.parse(str(one.product.address)))

    def evolve(self, binding: Binding, schema: dict[str, Any]) -> Binding:
        """Apply the product of a port with another contract of it."""
        one, line = self._applied[binding.address.of_product], (binding.address.port or "", binding.address.major or 1)
        return self.apply(replace(one, schemas={**one.schemas, line: parse_schema(json.dumps(schema))}))

    def apply_again(self, address: Address) -> Binding:
        """Apply the product of a port once more, as it was applied last."""
        return self.apply(self._applied[address.of_product])


@contextmanager
def open_test_mesh(folder: Path, bootstrap_servers: str) -> Iterator[Mesh]:
    """A registry on SQLite in `folder`, over a cluster that runs."""
    settings = Settings(database=f"sqlite:///{folder / 'registry.db'}", port=0, bootstrap_servers=bootstrap_servers)
    with running(settings) as url, Registry(url, timeout=PATIENCE_S) as registry:
        yield Mesh(registry, url, connection(bootstrap_servers), folder)


@pytest.fixture(scope="session")
def mesh(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The session's mesh over the real Kafka."""
    with open_test_mesh(tmp_path_factory.mktemp("mesh"), kafka.bootstrap_servers) as opened:
        yield opened


@pytest.fixture
def mesh_alone(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of one test over the real Kafka: in the session's, tests register clusters that are away."""
    with open_test_mesh(tmp_path_factory.mktemp("alone"), kafka.bootstrap_servers) as opened:
        yield opened


@pytest.fixture(scope="session")
def in_memory_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh over librdkafka's in-memory cluster, which lives as long as its producer."""
    with (
        in_memory_cluster() as kafka,
        open_test_mesh(tmp_path_factory.mktemp("in-memory"), kafka.bootstrap_servers) as opened,
    ):
        yield opened


@pytest.fixture(params=["in-memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def ports(request: pytest.FixtureRequest) -> Mesh:
    """The session's mesh over one of the two: every test that asks for it runs in memory and on a real Kafka."""
    found: Mesh = request.getfixturevalue("mesh" if request.param == "kafka" else "in_memory_mesh")
    return found
