"""What is measured of publishers and subscribers: figures that are counted anyway, copied when metrics are read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, ParamSpec, TypeVar

from meshport.address import Address
from meshport.errors import MeshError
from meshport.ports.delivery.outcome import Totals

__all__ = ["PublisherMeasures", "SubscriberMeasures", "before_scrape"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def before_scrape(method: Callable[[], None]) -> None:
    """See `meshport.metrics.refresh.before_scrape`."""
    from meshport.metrics import refresh  # noqa: PLC0415 - slow to import

    refresh.before_scrape(method)


class PublisherMeasures:
    """Copies the outcomes of a publisher's events into the metrics, whenever these are read and when the publisher closes.

    Args:
        address: of the port.
        totals: counts the events whose outcome is known, and returns their totals.
        waiting: returns how many events have no outcome.
    """

    def __init__(self, address: Address, totals: Callable[[], Totals], waiting: Callable[[], int]) -> None:
        from meshport.metrics import ports as metrics  # noqa: PLC0415 - slow to import

        name = str(address)
        self._stored = metrics.PUBLISHED.labels(name, "stored")
        self._refused = metrics.PUBLISHED.labels(name, "refused")
        self._unknown = metrics.PUBLISHED.labels(name, "unknown")
        self._gauge = metrics.PUBLISHER_WAITING.labels(name)
        self._totals = totals
        self._waiting = waiting
        self._lock = threading.Lock()
        self._copied = Totals()
        self._shown = 0
        before_scrape(self.update)

    def refuse(self) -> None:
        """Count an event that never reached the client: it does not fit its schema, or has no key."""
        self._refused.inc()

    def counting(self, make: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return a function that makes messages, and counts an event that it refuses."""
        refuse = self.refuse

        def made(*arguments: _P.args, **options: _P.kwargs) -> _R:
            try:
                return make(*arguments, **options)
            except MeshError:
                refuse()
                raise

        return made

    def update(self) -> None:
        """Copy what has changed since the last call."""
        self._copy(self._waiting())

    def close(self) -> None:
        """Copy the last outcomes; nothing waits any more."""
        self._waiting = lambda: 0
        self.update()

    def _copy(self, waiting: int) -> None:
        with self._lock:
            now, before = self._totals(), self._copied
            self._copied = now
            self._stored.inc(now.stored - before.stored)
            self._refused.inc(now.refused - before.refused)
            self._unknown.inc(now.unknown - before.unknown)
            # Several publishers of one port add up.
            self._gauge.inc(waiting - self._shown)
            self._shown = waiting


class SubscriberMeasures:
    """Counts what a subscriber receives, and shows its lag.

    Args:
        address: of the port.
        group: the consumer group; None without one.

    Attributes:
        received: counts messages as they come, many at a time.
        unreadable: counts messages that are no readable event.
        repeated: counts events that were left out, since they came before.
        committed: observes the seconds that a commit took.
        retried: counts events that are given again, since their handling failed.
        quarantined: counts events that the group could not handle.
    """

    def __init__(self, address: Address, group: str | None) -> None:
        from meshport.metrics import ports as metrics  # noqa: PLC0415 - slow to import

        labels = (str(address), group or "")
        self.received: Final = metrics.RECEIVED.labels(*labels).inc
        self.unreadable: Final = metrics.UNREADABLE.labels(*labels).inc
        self.repeated: Final = metrics.REPEATED.labels(*labels).inc
        self.committed: Final = metrics.SUBSCRIBER_COMMIT.labels(*labels).observe
        self.retried: Final = metrics.RETRIED.labels(*labels).inc
        self.quarantined: Final = metrics.QUARANTINED.labels(*labels).inc
        self._labels = labels
        self._gauge = metrics.SUBSCRIBER_LAG
        self._shown: set[int] = set()

    def show(self, lag: Mapping[int, int]) -> None:
        """Show how many offsets wait, by partition, and no lag of other partitions any more."""
        for partition, waiting in lag.items():
            self._gauge.labels(*self._labels, str(partition)).set(waiting)
        for gone in self._shown - lag.keys():
            self._gauge.remove(*self._labels, str(gone))
        self._shown = set(lag)
