"""The mesh of a session: its ports, its topics, and our own logic for each job."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from meshport.address import Address
from meshport.event.attributes import DATA_SCHEMA
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.ports.publisher import Publisher
from meshport.process import (
    Aggregate,
    Apply,
    Derive,
    Join,
    Occurrence,
    Operator,
    Pipeline,
    Plan,
    Rename,
    Select,
    Tumbling,
    make_plan,
)
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.wire.partitioner import partition_of
from tests.bench.processors import orders
from tests.bench.processors.orders import Totals
from tests.bench.processors.schemas import (
    CUSTOMER,
    KEYS,
    LARGE_CENTS,
    LINE,
    ORDER,
    OUTPUTS,
    PARTITIONS,
    WINDOW_MS,
    Job,
)
from tests.bench.processors.spec import Spec

CUSTOMERS: Final = Address.parse("shop/customers")

_WINDOW: Final = Tumbling(timedelta(milliseconds=WINDOW_MS))
_VALUES: Final = {"orders": "count()", "cents": "sum(amount_cents)", "largest": "max(amount_cents)"}
_KEEP: Final = {"retention.ms": "-1"}


def running_total(state: Any, order: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """The Python function of (state, event): orders and cents of each customer so far."""
    data = order.data
    count, cents = (state["orders"], state["cents"]) if state else (0, 0)
    count, cents = count + 1, cents + data["amount_cents"]
    row = {"customer_id": order.key[0], "placed_at": data["placed_at"], "orders": count, "cents": cents}
    return {"orders": count, "cents": cents}, [row]


OPERATORS: Final[dict[Job, tuple[Operator, ...]]] = {
    "transform": (
        Rename({"customer_id": "customer"}),
        Derive({"total_cents": "amount_cents * quantity", "large": f"amount_cents >= {LARGE_CENTS}"}),
        Select(tuple(each["name"] for each in LINE["fields"])),
    ),
    "window": (Aggregate(("customer_id",), _VALUES, _WINDOW, emit="close"),),
    "window update": (Aggregate(("customer_id",), _VALUES, _WINDOW),),
    "join": (Join(CUSTOMERS, "customer_id", {"tier": "tier", "credit": "credit"}),),
    "function": (Apply(running_total, ("customer_id",)),),
}


def orders_port(events: int) -> Address:
    """The address of an input of that many orders."""
    return Address.parse(f"shop/orders-{events}")


def output_port(run: str) -> Address:
    """The address of what a run builds."""
    return Address.parse(f"shop/out-{run}")


def ports(spec: Spec) -> Ports:
    """The ports that a run reads and the one that it writes. Ids of schemas follow from their order."""
    return _ports(spec.job, spec.events, spec.run, spec.bootstrap_servers, spec.prefix)


def plan(spec: Spec, bound: Ports) -> Plan:
    """Our own plan for a run."""
    pipeline = Pipeline(orders_port(spec.events), OPERATORS[spec.job], lateness=timedelta(0))
    return make_plan(pipeline, output_port(spec.run), bound)


class Session:
    """Topics of one session on one broker.

    Args:
        bootstrap_servers: of the broker.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.prefix = f"b{uuid4().hex[:8]}."
        self._admin = Admin(KafkaConfig(bootstrap_servers))
        self.start = self.today()
        self._runs = 0
        self._expected: dict[tuple[Job, int], Totals] = {}

    @staticmethod
    def today() -> datetime:
        """The beginning of a window a few hours ago.

        Brokers delete by the time of records, and some peers write event time there.
        """
        return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)

    def publish_customers(self) -> None:
        """Make and fill the table that `join` reads."""
        bound = _ports("join", 0, "none", self.bootstrap_servers, self.prefix)
        binding = bound.resolve(CUSTOMERS)
        self._admin.ensure_topic(binding.topic, PARTITIONS, {"cleanup.policy": "compact"})
        with Publisher(CUSTOMERS, bound) as publisher:
            for row in orders.customers(self.start - timedelta(days=1)):
                publisher.publish(row)

    def publish_orders(self, events: int) -> None:
        """Make and fill an input; an order a partition closes the windows."""
        publisher = self.orders_publisher(events)
        with publisher:
            for order in self.orders(events):
                publisher.publish(order)

    def orders_publisher(self, events: int) -> Publisher:
        """A publisher on an input that is made if it is not there."""
        bound = _ports("transform", events, "none", self.bootstrap_servers, self.prefix)
        self._admin.ensure_topic(bound.resolve(orders_port(events)).topic, PARTITIONS, _KEEP)
        return Publisher(orders_port(events), bound)

    def orders(self, events: int) -> Iterable[dict[str, Any]]:
        """The orders of an input, those that close the windows last."""
        yield from orders.orders(events - PARTITIONS, self.start)
        yield from orders.closing(events, self.start, _one_a_partition())

    def expected(self, job: Job, events: int) -> Totals:
        """What a job has to make of an input."""
        if (job, events) not in self._expected:
            self._expected[job, events] = orders.expected(job, self.orders(events))
        return self._expected[job, events]

    def spec(self, job: Job, events: int, folder: Path, *, until_end: bool = False) -> Spec:
        """A run, with an output topic of its own, which is made."""
        self._runs += 1
        run = f"{self._runs}"
        bound = _ports(job, events, run, self.bootstrap_servers, self.prefix)
        source, customers, out = (bound.resolve(each) for each in (orders_port(events), CUSTOMERS, output_port(run)))
        self._admin.ensure_topic(out.topic, PARTITIONS, _KEEP)
        return Spec(
            job=job,
            bootstrap_servers=self.bootstrap_servers,
            prefix=self.prefix,
            events=events,
            run=run,
            input=source.topic,
            customers=customers.topic,
            output=out.topic,
            schema_id=out.schema_id,
            source=str(out.address),
            type=out.type,
            dataschema=f"{DATA_SCHEMA}{out.fingerprint}",
            folder=str(folder),
            until_end=until_end,
        )


def _ports(job: Job, events: int, run: str, bootstrap_servers: str, prefix: str) -> Ports:
    made = {
        str(orders_port(events)): Port(ORDER, key=("customer_id",), time="placed_at", partitions=PARTITIONS),
        str(CUSTOMERS): Port(CUSTOMER, key=("customer_id",), time="since", partitions=PARTITIONS, cleanup="compact"),
        str(output_port(run)): Port(OUTPUTS[job], key=(KEYS[job],), partitions=PARTITIONS),
    }
    return Ports(made, bootstrap_servers=bootstrap_servers, prefix=prefix)


def _one_a_partition() -> list[str]:
    found: dict[int, str] = {}
    for number in range(orders.CUSTOMERS):
        found.setdefault(partition_of(orders.name(number).encode(), PARTITIONS), orders.name(number))
    return [found[each] for each in sorted(found)]
