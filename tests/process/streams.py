"""Orders and payments, two streams that are joined, for the tests of joins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from meshport.address import Address
from meshport.process import JoinStream, Operator, Pipeline, Select
from meshport.process.harness import Port
from tests.process.plays import INSTANT, at, field, record

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
