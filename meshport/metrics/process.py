"""The metrics of stream processors; `processor` is the address of the product."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

_COMMIT_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_EVENTS: Final = (1, 10, 100, 1_000, 2_000, 5_000, 10_000, 20_000)

READ: Final = Counter(
    "meshport_processor_read_events_total", "Events of the inputs that were new and are processed.", ["processor"]
)
WRITTEN: Final = Counter(
    "meshport_processor_written_records_total", "Records that were written to the output port.", ["processor"]
)
LATE: Final = Counter(
    "meshport_processor_late_events_total", "Events that came too late for their window.", ["processor"]
)
QUARANTINED: Final = Counter(
    "meshport_processor_quarantined_events_total", "Events that were quarantined, by reason.", ["processor", "reason"]
)
REDRIVEN: Final = Counter(
    "meshport_processor_redriven_events_total", "Quarantined events that were redriven and processed.", ["processor"]
)
LAG: Final = Gauge(
    "meshport_processor_lag_events",
    "Offsets that wait on an assigned partition; markers of transactions take offsets too.",
    ["processor", "topic", "partition"],
)
LAG_SECONDS: Final = Gauge(
    "meshport_processor_lag_seconds",
    "How long the oldest event that waits on an assigned partition has been in the log; 0 where none waits.",
    ["processor", "topic", "partition"],
)
WATERMARK: Final = Gauge(
    "meshport_processor_watermark_timestamp_seconds",
    "The least watermark of the assigned partitions, event time in seconds since 1970.",
    ["processor"],
)
BATCH: Final = Histogram(
    "meshport_processor_batch_events", "Messages of the inputs in a batch.", ["processor"], buckets=_EVENTS
)
COMPUTED: Final = Histogram(
    "meshport_processor_batch_compute_seconds",
    "Duration of the computation of a batch.",
    ["processor"],
    buckets=_COMMIT_S,
)
COMMIT: Final = Histogram(
    "meshport_processor_commit_seconds",
    "Duration of the commit of a batch's transaction, with the offsets of the inputs.",
    ["processor"],
    buckets=_COMMIT_S,
)
ABORTED: Final = Counter(
    "meshport_processor_aborted_transactions_total", "Transactions that were aborted and done again.", ["processor"]
)
PURGES: Final = Counter(
    "meshport_processor_repartition_purges_total",
    "Requests to delete processed records of the repartition topic, by outcome: done, refused or failed.",
    ["processor", "outcome"],
)
STATE_ROWS: Final = Gauge(
    "meshport_processor_state_rows", "Rows of the state of an assigned partition.", ["processor", "topic", "partition"]
)
STATE_BYTES: Final = Gauge(
    "meshport_processor_state_bytes",
    "Bytes of keys and values of the state rows of an assigned partition, as its changelog has them.",
    ["processor", "topic", "partition"],
)
RESTORED: Final = Counter("meshport_processor_restores_total", "Partitions whose state was restored.", ["processor"])
RESTORED_RECORDS: Final = Counter(
    "meshport_processor_restored_records_total",
    "Records of changelogs that were read to restore state.",
    ["processor"],
)
RESTORE: Final = Histogram(
    "meshport_processor_restore_seconds",
    "Duration of the restore of a partition's state.",
    ["processor"],
    buckets=(0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
)
