"""What is measured of the command that carries grants out: the ACLs that it changes, and whether it can."""

from __future__ import annotations

from typing import Final

from meshport.access.reconciler import Reconciled
from meshport.errors import RegistryUnavailable
from meshport.metrics.readiness import Readiness

__all__ = ["CONNECTED", "ENFORCED", "EnforcementMeasures"]

CONNECTED: Final = "connected"
"""What it needs first: an answer of the registry."""
ENFORCED: Final = "carrying grants out"
"""What it needs also: every cluster takes the changes."""


class EnforcementMeasures:
    """Counts the looks at the grants and what they changed.

    Args:
        readiness: needs `CONNECTED` and `ENFORCED`.
    """

    def __init__(self, readiness: Readiness) -> None:
        from meshport.metrics import access as metrics  # noqa: PLC0415 - slow to import

        self._metrics: Final = metrics
        self._readiness: Final = readiness

    def looked(self, done: Reconciled, grants: int) -> None:
        """Note what a look has changed, and how many grants have not ended."""
        metrics, readiness = self._metrics, self._readiness
        metrics.CHANGED.labels("created").inc(sum(map(len, done.created.values())))
        metrics.CHANGED.labels("deleted").inc(sum(map(len, done.deleted.values())))
        metrics.FAILED.set(len(done.failed))
        metrics.GRANTS.set(grants)
        metrics.LOOKS.labels("failed" if done.failed else "done").inc()
        readiness.meet(CONNECTED)
        if done.failed:
            readiness.lack(ENFORCED, "; ".join(each.message for each in done.failed.values()))
        else:
            readiness.meet(ENFORCED)
        readiness.progress()

    def unanswered(self, error: RegistryUnavailable) -> None:
        """Note that the registry did not answer."""
        self._metrics.LOOKS.labels("unanswered").inc()
        self._readiness.lack(CONNECTED, f"the registry does not answer: {error.message}")
