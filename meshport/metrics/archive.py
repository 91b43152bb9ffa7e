"""The metrics of archives: what was committed, and what waits."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

ARCHIVED: Final = Counter(
    "meshport_archive_rows_total", "Rows that were committed to the archive of a port.", ["address"]
)
WAITING: Final = Gauge("meshport_archive_waiting_rows", "Rows that were read and are not committed yet.", ["address"])
LAST_COMMIT: Final = Gauge(
    "meshport_archive_last_commit_timestamp_seconds",
    "When rows were committed to the archive of a port last.",
    ["address"],
)
