"""The metrics of an observer: how the promises of ports are kept, and what it reads."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

LEVEL: Final = Gauge(
    "meshport_service_level_state",
    "How a port's promise is kept, as measured: 0 met, 1 at risk, 2 broken, -1 unknown.",
    ["address", "promise"],
)
BUDGET: Final = Gauge(
    "meshport_service_level_budget_ratio", "The part of a promise's error budget that is left.", ["address", "promise"]
)
OBSERVED_EVENTS: Final = Counter("meshport_observer_read_events_total", "Events that the observer read.", ["address"])
OBSERVER_LOOKS: Final = Counter(
    "meshport_observer_looks_total",
    "Looks at the ports of the mesh by outcome: done, unanswered (the registry or a cluster did not answer).",
    ["outcome"],
)
LAST_LOOK: Final = Gauge("meshport_observer_last_look_timestamp_seconds", "When the last look at the ports ended.")
