"""The metrics of the outbox and its relay; `outbox` is the name of the relay's database, without a login."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

ADDED: Final = Counter("meshport_outbox_added_events_total", "Events that were added to an outbox.", ["address"])
RELAYED: Final = Counter(
    "meshport_relay_events_total",
    "Rows by what became of them: stored (marked after the broker's acknowledgement), refused (their aggregate is blocked).",
    ["address", "outcome"],
)
BATCH: Final = Histogram(
    "meshport_relay_batch_events",
    "Rows that a relay took at once.",
    buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000),
)
MARKED: Final = Histogram("meshport_relay_mark_seconds", "Duration of marking the rows of a batch as published.")
REMOVED: Final = Counter("meshport_relay_removed_rows_total", "Published rows that were removed from the table.")
PRODUCERS: Final = Counter(
    "meshport_relay_failed_producers_total", "Producers that failed for good and were replaced by a new one."
)
DEPTH: Final = Gauge("meshport_outbox_waiting_events", "Rows that are not published yet, blocked ones included.")
AGE: Final = Gauge(
    "meshport_outbox_oldest_waiting_seconds", "Age of the oldest row that waits and is not blocked; 0 where none does."
)
BLOCKED: Final = Gauge("meshport_outbox_blocked_events", "Rows that cannot be sent, and those that wait after them.")
BLOCKED_AGGREGATES: Final = Gauge("meshport_outbox_blocked_aggregates", "Aggregates with a row that cannot be sent.")
OLDEST_TRANSACTION: Final = Gauge(
    "meshport_outbox_oldest_transaction_seconds",
    "Age of the oldest open transaction of the database, whose rows are not visible yet (PostgreSQL).",
)
SHARDS: Final = Gauge("meshport_relay_held_shards", "Shards of the outbox that this relay publishes.")
