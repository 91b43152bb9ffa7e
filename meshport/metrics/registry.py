"""The metrics of the registry service; `route` is the template of a route, never the path of a request."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

REQUESTS: Final = Counter(
    "meshport_registry_requests_total", "Requests by route, method and status.", ["route", "method", "status"]
)
CACHED: Final = Counter(
    "meshport_registry_cached_answers_total",
    "Answers of the two hot routes from memory, not in requests_total.",
    ["route"],
)
DURATION: Final = Histogram(
    "meshport_registry_request_seconds", "Duration of requests that memory did not answer.", ["route", "method"]
)
WRITES_WAITING: Final = Gauge("meshport_registry_waiting_writes", "Writing transactions that wait for their turn.")
