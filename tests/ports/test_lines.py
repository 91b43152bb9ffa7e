"""Two major lines of one port: where a producer, a source and a reader are, before the day and after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from uuid import uuid4

import pytest

from meshport.address import Address, topic_name
from meshport.event import Event
from meshport.kafka.admin import Admin
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.product import Product
from meshport.product.lines import utc_today
from meshport.project.project import ProjectProduct
from meshport.project.sources import ProductSource, SourceEvent, run_sources, stored
from meshport.registry import Registry
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.readings import BEGIN, reading

LATER = utc_today() + timedelta(days=30)
KELVIN = READING | {"fields": [*READING["fields"][:2], {"name": "kelvin", "type": "double"}]}


@pytest.fixture
def registry(ports: Mesh) -> Iterator[Registry]:
    """A client that asks again every time."""
    with Registry(ports.url, keep=0) as client:
        yield client


@pytest.fixture
def product(ports: Mesh) -> Product:
    """A product of one line; a draft, since the day of a second one is brought forward only while nobody relies on it."""
    product = Product.model_validate(
        {
            "address": f"mesh://tests/lines-{uuid4().hex[:8]}",
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "status": "draft",
            "outputPorts": [{"key": "sensor", "time": "at"}],
        }
    )
    ports.apply(ProjectProduct(product, ports.folder, {("events", 1): parse_schema(json.dumps(READING))}))
    return product


def beside(mesh: Mesh, product: Product, live_from: date) -> None:
    """Give the product a second line, which measures in kelvin."""
    old = product.default_port
    new = old.model_copy(update={"major": 2, "live_from": live_from})
    schemas = {"events@1": parse_schema(json.dumps(READING)), "events@2": parse_schema(json.dumps(KELVIN))}
    # Not `mesh.apply`: it also looks after the first topic's settings, which the in-memory cluster cannot take.
    Admin(mesh.kafka).ensure_topic(topic_name(product.port_address(new)), new.partitions)
    mesh.registry.register(
        product.model_copy(update={"output_ports": (old, new)}), schemas, bootstrap_servers=mesh.bootstrap_servers
    )


def events(registry: Registry, address: Address) -> list[Event]:
    """Every event of a line."""
    with Replay(address, registry, kafka=CONNECTIONS) as replay:
        return list(replay.history())


def in_kelvin(number: int) -> dict[str, object]:
    """The same reading by the second line's contract."""
    old = reading(number)
    return {"sensor": old["sensor"], "at": old["at"], "kelvin": old["celsius"] + 273.15}


def test_a_producer_publishes_one_fact_to_both_lines(ports: Mesh, registry: Registry, product: Product) -> None:
    """Each line has its own topic, contract and type; the fact has one id, and the bare address is the first line."""
    beside(ports, product, LATER)
    first, second = (product.address.at("events", major) for major in (1, 2))
    with (
        Publisher(product.address, registry, kafka=CONNECTIONS) as bare,
        Publisher(first, registry, kafka=CONNECTIONS) as old,
        Publisher(second, registry, kafka=CONNECTIONS) as new,
    ):
        assert bare.binding == old.binding
        old.publish(reading(1), id="fact")
        new.publish(in_kelvin(1), id="fact")
    ((one,), (other,)) = (events(registry, each) for each in (first, second))
    assert (one.id, one.source, one.data["celsius"]) == ("fact", str(first), 1.0)
    assert (other.id, other.source, other.data["kelvin"]) == ("fact", str(second), 274.15)
    assert (one.type[-3:], other.type[-3:]) == (".v1", ".v2")
    with Replay(product.address, registry, kafka=CONNECTIONS) as replay:
        assert [each.source for each in replay.history()] == [str(first)]


def test_a_source_stays_on_its_line_until_the_day(ports: Mesh, registry: Registry, product: Product) -> None:
    """A second line does not move the source that the mesh runs; on its day the next run tells the new one."""
    address = product.address

    def run(*records: dict[str, object]) -> int:
        told = [SourceEvent(each, f"{number}", BEGIN) for number, each in enumerate(records)]
        skip = stored([address], registry, kafka=CONNECTIONS)
        return run_sources([ProductSource(address, told)], registry, skip=skip, kafka=CONNECTIONS).total

    assert run(reading(0)) == 1
    beside(ports, product, LATER)
    assert run(reading(0), reading(1)) == 1
    assert sorted(each.data["celsius"] for each in events(registry, address.at("events", 1))) == [0.0, 1.0]
    assert events(registry, address.at("events", 2)) == []
    beside(ports, product, utc_today())
    assert run(in_kelvin(0), in_kelvin(1)) == 2
    assert sorted(each.data["kelvin"] for each in events(registry, address.at("events", 2))) == [273.15, 274.15]
    assert len(events(registry, address.at("events", 1))) == 2
