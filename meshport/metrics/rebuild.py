"""The metrics of a rebuild; `address` is that of the port that is built again."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

READ: Final = Counter(
    "meshport_rebuild_read_offsets_total",
    "Offsets that a rebuild read: of the inputs, and of both generations where they are compared.",
    ["address"],
)
WAITING: Final = Gauge(
    "meshport_rebuild_waiting_offsets", "Offsets that are left of what a rebuild reads now.", ["address"]
)
