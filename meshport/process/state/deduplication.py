"""Remembering what was seen."""

from __future__ import annotations

import re
from typing import Final

from meshport.process.logic import lossless_json
from meshport.process.logic.event_time import duration_micros
from meshport.process.logic.pipeline import Deduplicate
from meshport.process.logic.records import EventRecord, key_values
from meshport.process.state.expiry import Expiry
from meshport.process.state.function_state import KeyValueStore
from meshport.process.state.rows import StateRows

_NUMBERED: Final = re.compile(r"d[0-9]+:")


class Deduplication:
    """One de-duplication over one partition.

    A record is a duplicate if one with the same identity was let through whose event time is no further than `within`
    away. Each row holds the event times of those let through, and goes once no event that is not late could match.

    Args:
        operator: the declaration.
        number: of this one among the pipeline's; None for the only one, which takes rows of any number for its own. StateRows
            were numbered by the steps around once, so that a filter more would have made it forget all.
    """

    def __init__(self, operator: Deduplicate, number: int | None) -> None:
        self.by = operator.by
        """The fields that tell records apart; none for the event's own source and id."""
        self._within = duration_micros(operator.within)
        self._only = number is None
        self._prefix = f"d{number or 0}:"
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """Take up the rows of a restored state."""
        if self._only:
            stored = ((max(times), key) for key, times in rows.items() if _NUMBERED.match(key))
            _, newest = max(stored, default=(0, self._prefix))
            self._prefix = newest.partition(":")[0] + ":"
        for key, times in rows.items():
            if key.startswith(self._prefix):
                self._expiry.watch(key, self._due(times))

    def is_new(self, item: EventRecord, rows: StateRows) -> bool:
        """Whether the record is let through; remembers it then."""
        identity = key_values(item.record, self.by) if self.by else [item.source, item.id, item.number]
        return self.lets_through(lossless_json.dumps(identity), item.time, rows)

    def lets_through(self, identity: str, time: int, store: KeyValueStore) -> bool:
        """As `is_new`, of an identity as plain text."""
        key = self._prefix + identity
        times: list[int] = store.get(key) or []
        if any(abs(time - known) <= self._within for known in times):
            return False
        times = [*times, time]
        store.put(key, times)
        self._expiry.watch(key, self._due(times))
        return True

    def advance(self, horizon: int | None, rows: StateRows) -> None:
        """Forget what nothing can match any more."""
        for key in self._expiry.due(horizon):
            times: list[int] = rows.get(key) or []
            left = [time for time in times if horizon is None or time + self._within >= horizon]
            if left:
                self._expiry.watch(key, self._due(left))
            if left != times:
                rows.put(key, left or None)

    def _due(self, times: list[int]) -> int:
        return min(times) + self._within + 1
