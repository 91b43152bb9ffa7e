"""The metrics of the command that carries grants out at Kafka."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

CHANGED: Final = Counter(
    "meshport_access_changed_acls_total", "ACLs that were created or deleted for grants, by outcome.", ["outcome"]
)
LOOKS: Final = Counter(
    "meshport_access_looks_total",
    "Looks at the grants by outcome: done, failed (a cluster took no change), unanswered (the registry did not answer).",
    ["outcome"],
)
FAILED: Final = Gauge(
    "meshport_access_failed_clusters", "Clusters at which the last look could not carry the grants out."
)
GRANTS: Final = Gauge("meshport_access_current_grants", "Requests and grants that have not ended, at the last look.")
