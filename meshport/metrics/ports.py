"""The metrics of publishers and subscribers."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

import meshport.metrics.refresh  # noqa: F401 - comes before the metrics that it refreshes

PUBLISHED: Final = Counter(
    "meshport_publisher_events_total",
    "Events by what became of them: stored, refused (not in the log), unknown (the broker did not answer).",
    ["address", "outcome"],
)
PUBLISHER_WAITING: Final = Gauge(
    "meshport_publisher_waiting_events",
    "Events that were handed to the client and have no outcome yet.",
    ["address"],
)
RECEIVED: Final = Counter(
    "meshport_subscriber_messages_total",
    "Messages that subscribers took from their topics.",
    ["address", "group"],
)
UNREADABLE: Final = Counter(
    "meshport_subscriber_unreadable_messages_total",
    "Messages that are no readable event.",
    ["address", "group"],
)
REPEATED: Final = Counter(
    "meshport_subscriber_repeated_events_total",
    "Events that were left out because an event with their source and id came before.",
    ["address", "group"],
)
RETRIED: Final = Counter(
    "meshport_subscriber_retried_events_total",
    "Events that were given to a subscriber's handler again, after it had failed on them.",
    ["address", "group"],
)
QUARANTINED: Final = Counter(
    "meshport_subscriber_quarantined_events_total",
    "Events that a group of readers could not handle, and messages that it could not read, in its quarantine topic.",
    ["address", "group"],
)
SUBSCRIBER_LAG: Final = Gauge(
    "meshport_subscriber_lag_events",
    "Offsets between the next event that is handed out and the end of the partition, as the client last saw it.",
    ["address", "group", "partition"],
)
SUBSCRIBER_COMMIT: Final = Histogram(
    "meshport_subscriber_commit_seconds",
    "Duration of a commit of a group's offsets.",
    ["address", "group"],
)
