"""A shop for rebuilds: orders, and the products that are built from them, on a mesh of the session."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from meshport.address import Address
from meshport.kafka.consumer import Consumer
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from meshport.process import load_pipeline, make_plan
from meshport.process.engines import batch
from meshport.process.wire.plan import Plan
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.rebuild.live import LivePlan, run_live
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS, client_settings
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def record(name: str, **fields: Any) -> str:
    """An Avro record's JSON."""
    return json.dumps({"type": "record", "name": name, "fields": [{"name": k, "type": v} for k, v in fields.items()]})


ORDER = record("Order", customer="string", cents="long", at=INSTANT)
TOTAL = record("Total", customer="string", orders="long", cents="long", window_start=INSTANT, window_end=INSTANT)
LARGE = record("Large", customer="string", euros="double", at=INSTANT)
TOTALS = [
    {
        "aggregate": {
            "by": ["customer"],
            "window": {"tumbling": "1h"},
            "values": {"orders": "count()", "cents": "sum(cents)"},
            "emit": "update",
        }
    }
]
LARGER = [{"filter": "cents >= 500"}, {"derive": {"euros": "cents / 100"}}, {"select": ["customer", "euros", "at"]}]


@dataclass
class Shop:
    """Orders and the products built from them.

    Attributes:
        mesh: the mesh of both.
        orders: the address of the orders.
    """

    mesh: Mesh
    orders: Address
    _sold: int = 0

    def derived(self, steps: Any, schema: str, folder: Path, **port: Any) -> ProjectProduct:
        """Register a product that is built from the orders, or from `source`, and `joined`; its topic is created."""
        source = port.pop("source", self.orders)
        joined = port.pop("joined", ())
        declared = {
            "address": f"mesh://tests/built-{uuid4().hex[:8]}",
            "id": str(uuid4()),
            "archetype": "aggregate",
            "description": "made by a test",
            "owner": "tests",
            "inputPorts": [{"address": str(each)} for each in (source, *joined)],
            "outputPorts": [{"name": "events", "partitions": 2} | port],
            "process": {"engine": "batch", "lateness": "1d", "steps": steps},
        }
        return self.register(declared, schema, folder)

    def register(self, declared: Mapping[str, Any], schema: str, folder: Path) -> ProjectProduct:
        """Register a product with one contract."""
        made = product_of(declared, schema, folder)
        self.mesh.apply(made)
        return made

    def totals(self, folder: Path, **more: Any) -> ProjectProduct:
        """Totals by customer and hour, compacted."""
        port = {"cleanup": "compact", "key": ["customer", "window_start"], "time": "window_start"}
        return self.derived(TOTALS, TOTAL, folder, **port | more)

    def larger(self, folder: Path, **more: Any) -> ProjectProduct:
        """The larger orders, a stream."""
        return self.derived(LARGER, LARGE, folder, key="customer", time="at", **more)

    def sell(self, count: int) -> None:
        """Publish so many more orders."""
        with Publisher(self.orders, self.mesh.registry, kafka=CONNECTIONS) as publisher:
            for number in range(self._sold, self._sold + count):
                at = BEGIN + timedelta(seconds=number)
                publisher.publish(
                    {"customer": f"c{number % 17}", "cents": number * 37 % 1000, "at": at}, id=f"o{number}"
                )
        self._sold += count

    @property
    def sold(self) -> int:
        """How many orders were published."""
        return self._sold

    def plan(self, product: ProjectProduct) -> Plan:
        """Return the plan of a product over the present bindings."""
        self.mesh.registry.refresh(product.product.address)
        return make_plan(
            load_pipeline(product.product, product.folder),
            product.product.address,
            self.mesh.registry,
            kafka=CONNECTIONS,
        )

    def build(self, product: ProjectProduct) -> None:
        """Process all orders into the bound generation."""
        batch.run_processor(self.plan(product), self.mesh.registry, until_end=True)

    @contextmanager
    def live(self, product: ProjectProduct, lines: list[str]) -> Iterator[None]:
        """Run the processor of a product live in a thread, as `meshport run` does."""
        stop = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                run_live(
                    LivePlan(lambda: product, self.mesh.registry, kafka=CONNECTIONS),
                    self.mesh.registry,
                    batch.run_processor,
                    say=lines.append,
                    stop=stop,
                    look_s=0.2,
                )
            except BaseException as error:  # noqa: BLE001 - asserted by the test
                lines.append(f"failed: {error!r}")
                failed.append(error)

        thread = threading.Thread(target=work, name="live", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_S)
        assert failed == []
        assert not thread.is_alive()

    def latest(self, address: Address) -> dict[bytes | None, Any]:
        """Return the latest record of each key of the bound generation."""
        self.mesh.registry.refresh(address)
        with Replay(address, self.mesh.registry, kafka=CONNECTIONS) as replay:
            return {event.key: event.data for event in replay.history()}


def cut(shop: Shop, topic: str, part: float = 0.5) -> dict[int, int]:
    """Remove the first part of what each partition holds, as retention does; return the first offsets that are left."""
    with Consumer(shop.mesh.kafka) as looking:
        bounds = looking.bounds(topic)
    begins = {number: first + round((end - first) * part) for number, (first, end) in bounds.items()}
    admin = AdminClient({**client_settings(shop.mesh.bootstrap_servers), "log_level": 0})
    wanted = [ClientPartition(topic, number, offset) for number, offset in begins.items()]
    for each in admin.delete_records(wanted).values():
        each.result(timeout=PATIENCE_S)
    return begins


def product_of(declared: Mapping[str, Any], schema: str, folder: Path) -> ProjectProduct:
    """Return a product with one contract, and save it in the folder for another process."""
    product = Product.model_validate(declared)
    kept = folder / f"{product.address.product}.json"
    kept.write_text(json.dumps({"declared": declared, "schema": schema}), encoding="utf-8")
    contract = parse_schema(schema)
    return ProjectProduct(product, folder, {(each.name, each.major): contract for each in product.output_ports})


def changed(product: ProjectProduct, steps: Any, source: Address | None = None) -> ProjectProduct:
    """The same product with other steps, or another input, as after an edit of its file."""
    kept = json.loads((product.folder / f"{product.product.address.product}.json").read_text(encoding="utf-8"))
    kept["declared"]["process"]["steps"] = steps
    if source is not None:
        kept["declared"]["inputPorts"] = [{"address": str(source)}]
    return product_of(kept["declared"], kept["schema"], product.folder)


def product_in(folder: Path, name: str) -> ProjectProduct:
    """Load a product that `product_of` saved in another process."""
    kept = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return product_of(kept["declared"], kept["schema"], folder)


class Readers:
    """Live readers of a port, each in a thread: a group of two members, and one without a group.

    Attributes:
        seen: the ids that each has seen, in order; of the group together.
    """

    def __init__(self, shop: Shop, address: Address) -> None:
        self.seen: dict[str, list[str]] = {"group": [], "alone": []}
        self.failed: list[BaseException] = []
        group = f"g{uuid4().hex[:8]}"
        mesh = shop.mesh.registry
        self._subscribers = [
            ("group", Subscriber(address, mesh, group=group, look_s=0.2, kafka=CONNECTIONS)),
            ("group", Subscriber(address, mesh, group=group, look_s=0.2, kafka=CONNECTIONS)),
            ("alone", Subscriber(address, mesh, look_s=0.2, kafka=CONNECTIONS)),
        ]
        self._threads = [
            threading.Thread(target=self._read, args=(name, each), name=f"reader {name}", daemon=True)
            for name, each in self._subscribers
        ]

    def _read(self, name: str, subscriber: Subscriber) -> None:
        try:
            for event in subscriber:
                self.seen[name].append(event.id)
        except BaseException as error:  # noqa: BLE001 - asserted by the test
            self.failed.append(error)

    @property
    def least(self) -> int:
        """The number of events that the slowest reader has seen."""
        return min(map(len, self.seen.values()))

    def have_moved(self, topic: str) -> bool:
        """Return whether all readers read this topic."""
        return all(subscriber._subscription.topic == topic for _, subscriber in self._subscribers)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_how: object) -> None:
        for _, subscriber in self._subscribers:
            subscriber.stop()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for _, subscriber in self._subscribers:
            subscriber.close()
        assert self.failed == []


def open_shop(mesh: Mesh, folder: Path, **port: Any) -> Shop:
    """Register a new shop on a mesh, without orders; their port has these keys as well."""
    declared = {
        "address": f"mesh://tests/orders-{uuid4().hex[:8]}",
        "id": str(uuid4()),
        "archetype": "source-aligned",
        "description": "made by a test",
        "owner": "tests",
        "outputPorts": [{"name": "events", "key": "customer", "time": "at", "partitions": 2} | port],
    }
    shop = Shop(mesh, Address.parse(str(declared["address"])))
    shop.register(declared, ORDER, folder)
    return shop
