"""De-duplication: which records were let through, and when."""

from __future__ import annotations

from meshport.process.logic import lossless_json
from meshport.process.logic.event_time import duration_micros
from meshport.process.logic.operators import Deduplicate
from meshport.process.logic.records import EventRecord, key_values
from meshport.process.state.expiry import Expiry
from meshport.process.state.keys import DEDUPLICATION, deduplication_prefix, parse
from meshport.process.state.rows import KeyValueStore, StateRows


class Deduplication:
    """One de-duplication over one partition.

    A record is a duplicate if one of the same identity was let through whose event time is at most `within` away. A state row
    holds the event times of an identity; each is deleted once every event that could match it would be late.

    Args:
        operator: the declaration.
        number: of this de-duplication among the pipeline's; None for the only one. The only one uses the rows of whatever
            number are stored: operators of other kinds were counted too once, so that another filter changed the number.
    """

    def __init__(self, operator: Deduplicate, number: int | None) -> None:
        self.by = operator.by
        """The fields that identify a record; empty for the source and id of the event."""
        self._within = duration_micros(operator.within)
        self._only = number is None
        self._prefix = deduplication_prefix(number or 0)
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """Load the rows of a restored state."""
        if self._only:
            stored = ((max(times), key) for key, times in rows.items() if key.startswith(DEDUPLICATION))
            newest = max(stored, default=None)
            if newest is not None:
                self._prefix = deduplication_prefix(parse(newest[1]).number or 0)
        for key, times in rows.items():
            if key.startswith(self._prefix):
                self._expiry.watch(key, self._due(times))

    def admit(self, record: EventRecord, rows: StateRows) -> bool:
        """Return whether a record is let through, and note it if so."""
        identity = key_values(record.record, self.by) if self.by else [record.source, record.id, record.number]
        return self.admit_identity(lossless_json.dumps(identity), record.time, rows)

    def admit_identity(self, identity: str, time: int, store: KeyValueStore) -> bool:
        """Return what `admit` does, of a record's identity as JSON text and its event time."""
        key = self._prefix + identity
        times: list[int] = store.get(key) or []
        if any(abs(time - known) <= self._within for known in times):
            return False
        times = [*times, time]
        store.put(key, times)
        self._expiry.watch(key, self._due(times))
        return True

    def advance(self, horizon: int | None, rows: StateRows) -> None:
        """Delete the times that no event from `horizon` on can match."""
        for key in self._expiry.due(horizon):
            times: list[int] = rows.get(key) or []
            left = [time for time in times if horizon is None or time + self._within >= horizon]
            if left:
                self._expiry.watch(key, self._due(left))
            if left != times:
                rows.put(key, left or None)

    def _due(self, times: list[int]) -> int:
        return min(times) + self._within + 1
