"""The records of the bench: an order of ten fields, a customer's row, and what each job makes of them."""

from __future__ import annotations

from typing import Any, Final, Literal

Job = Literal["transform", "window", "window update", "join", "function"]
JOBS: Final[tuple[Job, ...]] = ("transform", "window", "window update", "join", "function")

PARTITIONS: Final = 4
WINDOW_MS: Final = 10_000
LARGE_CENTS: Final = 50_000

_INSTANT: Final[dict[str, Any]] = {"type": "long", "logicalType": "timestamp-millis"}
_CURRENCY: Final[dict[str, Any]] = {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD", "GBP"]}
_NOTE: Final[dict[str, Any]] = {"name": "note", "type": ["null", "string"], "default": None}


def _record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "shop", "fields": list(fields)}


def _field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind}


ORDER: Final = _record(
    "Order",
    _field("order_id", "string"),
    _field("customer_id", "string"),
    _field("amount_cents", "long"),
    _field("currency", _CURRENCY),
    _field("quantity", "int"),
    _field("price", "double"),
    _NOTE,
    _field("placed_at", _INSTANT),
    _field("tags", {"type": "array", "items": "string"}),
    _field("gift", "boolean"),
)
CUSTOMER: Final = _record(
    "Customer",
    _field("customer_id", "string"),
    _field("tier", "string"),
    _field("credit", "long"),
    _field("since", _INSTANT),
)
LINE: Final = _record(
    "OrderLine",
    _field("order_id", "string"),
    _field("customer", "string"),
    _field("currency", _CURRENCY),
    _NOTE,
    _field("placed_at", _INSTANT),
    _field("total_cents", "long"),
    _field("large", "boolean"),
)
CUSTOMER_WINDOW: Final = _record(
    "CustomerWindow",
    _field("customer_id", "string"),
    _field("window_start", _INSTANT),
    _field("window_end", _INSTANT),
    _field("orders", "long"),
    _field("cents", "long"),
    _field("largest", "long"),
)
ENRICHED: Final = _record("EnrichedOrder", *ORDER["fields"], _field("tier", "string"), _field("credit", "long"))
RUNNING: Final = _record(
    "RunningTotal",
    _field("customer_id", "string"),
    _field("placed_at", _INSTANT),
    _field("orders", "long"),
    _field("cents", "long"),
)

OUTPUTS: Final[dict[Job, dict[str, Any]]] = {
    "transform": LINE,
    "window": CUSTOMER_WINDOW,
    "window update": CUSTOMER_WINDOW,
    "join": ENRICHED,
    "function": RUNNING,
}
SUMMED: Final[dict[Job, str]] = {
    "transform": "total_cents",
    "window": "cents",
    "window update": "cents",
    "join": "credit",
    "function": "cents",
}
"""The field of a job's output whose sum is compared with a recount."""
KEYS: Final[dict[Job, str]] = {
    "transform": "customer",
    "window": "customer_id",
    "window update": "customer_id",
    "join": "customer_id",
    "function": "customer_id",
}
"""The field of a job's output that is its record key."""
