"""What each row of a compacted input port has given to the groups.

An update takes its place, and a tombstone takes it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshport.process.logic.pipeline import Aggregate, Hopping, Tumbling
from meshport.process.logic.records import EventRecord, key_values
from meshport.process.state.rows import StateRows


class Contributions:
    """The parts that the rows of one partition have in groups, a state row per record key.

    Args:
        aggregate: the grouping.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        self._by = aggregate.by
        self._window = aggregate.window if isinstance(aggregate.window, Tumbling | Hopping) else None

    def replace(
        self, key: bytes, parts: Sequence[EventRecord], event: EventRecord, rows: StateRows
    ) -> list[EventRecord]:
        """The changes that bring the groups from what the key gave before to what it gives now.

        Args:
            key: the record key.
            parts: what the row became; none for a tombstone, or a row that is filtered out.
            event: any item of the event, for what all changes share.
            rows: the state.

        Returns:
            Parts to drop, then parts to add, numbered anew.
        """
        row, name = f"c:{key.hex()}", key.hex()
        before: list[Any] = rows.get(row) or []
        after: list[list[Any]] = [[key_values(part.record, self._by), part.time] for part in parts]
        changes = []
        for index, (by, time) in enumerate(before):
            if index >= len(after) or not self._same_groups((by, time), (after[index][0], after[index][1])):
                gone = dict(zip(self._by, by, strict=True))
                changes.append(event._replace(record=gone, time=time, kind="drop", contributor=f"{name}:{index}"))
        changes += [part._replace(contributor=f"{name}:{index}") for index, part in enumerate(parts)]
        if after != before:
            rows.put(row, after or None)
        return [change._replace(number=number) for number, change in enumerate(changes)]

    def _same_groups(self, one: tuple[Any, int], other: tuple[Any, int]) -> bool:
        if one[0] != other[0]:
            return False
        return self._window is None or self._window.starts(one[1]) == self._window.starts(other[1])
