"""What each row of a compacted input port contributes to the groups of an aggregate.

An update of the row replaces its contributions, and a tombstone withdraws them. The row with the higher offset replaces the one
before it, whatever its time, since that is the row which compaction keeps; one that is older is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from meshport.process.logic.counted_warning import CountedWarning
from meshport.process.logic.event_time import to_datetime
from meshport.process.logic.operators import Aggregate, Hopping, Tumbling
from meshport.process.logic.records import EventRecord, key_values
from meshport.process.state.keys import contributions_key
from meshport.process.state.rows import StateRows

_log: Final = logging.getLogger(__name__)

_OUT_OF_ORDER: Final = (
    "partition %d offset %d: the row with the key %r is of %s and replaces a row of %s; it counts, as the one that compaction "
    "keeps"
)


class Contributions:
    """The contributions of the rows of one partition, a state row for each record key.

    Args:
        aggregate: the grouping.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        self._by = aggregate.by
        self._window = aggregate.window if isinstance(aggregate.window, Tumbling | Hopping) else None
        self._out_of_order = CountedWarning(_log, _OUT_OF_ORDER)

    def replace(
        self, key: bytes, records: Sequence[EventRecord], event: EventRecord, rows: StateRows
    ) -> list[EventRecord]:
        """Replace what a row contributes, and return the changes of its groups.

        Args:
            key: the record key.
            records: what the row became; none for a tombstone, or a row that is filtered out.
            event: any record of the event, for what all changes have in common.
            rows: the state.

        Returns:
            Contributions to withdraw, then contributions to add, numbered from 0.
        """
        name = key.hex()
        row = contributions_key(name)
        before: list[Any] = rows.get(row) or []
        if (replaced := max((time for _, time in before), default=event.time)) > event.time:
            times = to_datetime(event.time).isoformat(), to_datetime(replaced).isoformat()
            self._out_of_order.due(event.partition, event.offset, key, *times)
        after: list[list[Any]] = [[key_values(each.record, self._by), each.time] for each in records]
        changes = []
        for index, (by, time) in enumerate(before):
            if index >= len(after) or not self._same_groups((by, time), (after[index][0], after[index][1])):
                withdrawn = dict(zip(self._by, by, strict=True))
                changes.append(event._replace(record=withdrawn, time=time, kind="drop", contributor=f"{name}:{index}"))
        changes += [each._replace(contributor=f"{name}:{index}") for index, each in enumerate(records)]
        if after != before:
            rows.put(row, after or None)
        return [change._replace(number=number) for number, change in enumerate(changes)]

    def _same_groups(self, one: tuple[Any, int], other: tuple[Any, int]) -> bool:
        if one[0] != other[0]:
            return False
        return self._window is None or self._window.starts(one[1]) == self._window.starts(other[1])
