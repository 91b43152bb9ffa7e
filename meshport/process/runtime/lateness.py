"""What a processor says where most of what it reads is late, as when a file with history was published unsorted."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from meshport.process.stages.partition import Counts
from meshport.process.wire.plan import Plan
from meshport.product.duration import format_duration

_log: Final = logging.getLogger(__name__)
# A few events that are late are no sign of anything.
_FEWEST: Final = 5
# The events to come may be later than those that have come.
_MARGIN: Final = 9 / 8


def mostly_late(read: int, late: int) -> bool:
    """Return whether so many of the events that were read are late that their order, or `lateness`, must be wrong."""
    return late >= _FEWEST and 2 * late >= read


class LatenessNotice:
    """Logs that most of what a processor has read is late, and what to do.

    It is logged once; again only where twice as many events are late and some need a longer `lateness` than was named.

    Args:
        plan: what the processor runs.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._named = timedelta()
        self._due = _FEWEST

    def look(self, counts: Counts) -> None:
        """Log it where it is so.

        Args:
            counts: what became of the events since the processor started.
        """
        behind = timedelta(microseconds=counts.late_by)
        needed = rounded_up(behind * _MARGIN)
        if counts.late < self._due or needed <= self._named or not mostly_late(counts.read, counts.late):
            return
        self._named, self._due = needed, 2 * counts.late
        address = self._plan.output.address.of_product
        _log.warning(
            "%d of the %d events that %s has read so far are late and in no result: their times are up to %s before the newest "
            "one that their partition had before them, and `lateness` is %s. Were they published in another order than that of "
            "their times? Sort a file by its time before you publish it, or write `lateness: %s` (with `emit: update` no result "
            "waits for it); then `meshport rebuild %s --swap always` computes and binds the results anew. `meshport "
            "quarantine %s --late` shows the events.",
            counts.late,
            counts.read,
            address,
            format_duration(rounded_up(behind)),
            format_duration(self._plan.pipeline.lateness),
            format_duration(needed),
            address.key,
            address.key,
        )


def rounded_up(length: timedelta) -> timedelta:
    """Return the next whole number of days, hours, minutes or seconds, in the largest unit of which it has two."""
    unit = next(
        (each for each in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)) if length >= 2 * each),
        timedelta(seconds=1),
    )
    return -(-length // unit) * unit
