"""Orders and payments, two streams that are joined, for the tests of joins.

As a process of its own, to be killed: `python -m tests.process.streams HOST:PORT PREFIX ENGINE`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal

from meshport.address import Address
from meshport.errors import NotRegistered
from meshport.event import Event
from meshport.process import JoinStream, Operator, Pipeline, Plan, Select, make_plan
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.schema import Schema
from tests.connections import CONNECTIONS
from tests.process.plays import INSTANT, at, field, record
from tests.process.recount import on_time

ORDERS = Address.parse("shop/orders")
PAYMENTS = Address.parse("shop/payments")
SETTLED = Address.parse("shop/settled")
LATENESS = timedelta(minutes=10)
WITHIN = timedelta(minutes=6)

ORDER = record(
    "Order",
    field("customer", "string"),
    field("order_id", ["null", "string"]),
    field("cents", "long"),
    field("at", INSTANT),
)
PAYMENT = record("Payment", field("order_id", "string"), field("cents", "long"), field("paid_at", INSTANT))
PAID = record(
    "Paid", field("order_id", ["null", "string"]), field("cents", "long"), field("paid_cents", ["null", "long"])
)


def order(order_id: str | None = "o1", minutes: float = 0, cents: int = 100, customer: str = "") -> dict[str, Any]:
    """An order; its customer is its key."""
    return {"customer": customer or f"c{cents % 7}", "order_id": order_id, "cents": cents, "at": at(minutes)}


def payment(order_id: str = "o1", minutes: float = 0, cents: int = 100) -> dict[str, Any]:
    """A payment, by the number of its order."""
    return {"order_id": order_id, "cents": cents, "paid_at": at(minutes)}


def ports(*, orders: int = 2, payments: int = 2, settled: int = 2) -> dict[str, Port]:
    """The ports, with so many partitions each."""
    return {
        ORDERS.key: Port(ORDER, key=("customer",), time="at", partitions=orders),
        PAYMENTS.key: Port(PAYMENT, key=("order_id",), time="paid_at", partitions=payments),
        SETTLED.key: Port(PAID, partitions=settled),
    }


def joined(missing: Literal["drop", "keep"] = "drop", *before: Operator, after: tuple[Operator, ...] = ()) -> Pipeline:
    """Orders with their payments."""
    join = JoinStream(PAYMENTS, "order_id", WITHIN, {"paid_cents": "cents"}, missing)
    shape = (Select(("order_id", "cents", "paid_cents")),)
    return Pipeline(ORDERS, (*before, join, *after, *shape), LATENESS)


def recount(
    orders: Sequence[Event], payments: Sequence[Event], missing: str, partitions: int, lateness: timedelta = LATENESS
) -> dict[str, tuple[datetime, Mapping[str, Any]]]:
    """Return the results of the join by id, from two nested loops over the events that were not late.

    Args:
        orders: each partition in its order.
        payments: as `orders`.
        missing: as of the join.
        partitions: how many both have together.
        lateness: of the pipeline.
    """
    orders, payments = list(on_time(orders, lateness)), list(on_time(payments, lateness))
    made: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    newest: dict[tuple[str, int], datetime] = {}
    for event in (*orders, *payments):
        place = (event.topic, event.partition)
        newest[place] = max(event.time, newest.get(place, event.time))
    for one in orders:
        data, alone = one.data, True
        for other in payments:
            if data["order_id"] == other.data["order_id"] and abs(one.time - other.time) <= WITHIN:
                alone = False
                places = "+".join(f"{each.topic}-{each.partition}-{each.offset}-0" for each in (one, other))
                paid = {"order_id": data["order_id"], "cents": data["cents"], "paid_cents": other.data["cents"]}
                made[f"{places}-0"] = max(one.time, other.time), paid
        told = len(newest) == partitions and one.time + WITHIN < min(newest.values()) - lateness
        if missing == "keep" and alone and (data["order_id"] is None or told):
            unpaid = {"order_id": data["order_id"], "cents": data["cents"], "paid_cents": None}
            made[f"{one.topic}-{one.partition}-{one.offset}-0-0"] = one.time, unpaid
    return made


UNKNOWN: Final = {98: ORDERS, 99: PAYMENTS}
"""Numbers of schemas that are told late, and the port whose schema each is."""
DAY = timedelta(days=1)
ENGINES: Final[Mapping[str, Callable[..., ProcessorProgress]]] = {
    "batch": partial(batch.run_processor, member="one"),
    "faust": engine.run_processor,
}


class Untold(Ports):
    """Ports on a real Kafka, of which some events name schemas that are not known until it is `mended`."""

    mended = False

    def by_id(self, schema_id: int) -> Schema:
        """The schema of a numeric id."""
        if schema_id not in UNKNOWN:
            return super().by_id(schema_id)
        if not self.mended:
            raise NotRegistered(f"the test has no schema {schema_id} yet")
        return super().by_id(self.resolve(UNKNOWN[schema_id]).schema_id)


def mesh(bootstrap_servers: str, prefix: str) -> tuple[Plan, Untold]:
    """The plan of the join over topics with this prefix; nothing is late for a day."""
    bound = Untold(ports(payments=3), bootstrap_servers=bootstrap_servers, prefix=prefix)
    return make_plan(Pipeline(ORDERS, joined("keep").operators, DAY), SETTLED, bound, kafka=CONNECTIONS), bound


if __name__ == "__main__":
    plan_, bound_ = mesh(*sys.argv[1:3])
    ENGINES[sys.argv[3]](plan_, bound_)
