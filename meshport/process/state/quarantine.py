"""Which quarantined events and records may still be redriven.

The quarantine topic alone cannot answer that. A process that was killed may have quarantined what its successor, with newer
code, processed; and where rows replace one another, a redriven one must not replace a row that came later.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple, Protocol

from meshport.process.state.keys import quarantine_block_key, quarantine_slot_key
from meshport.process.state.rows import StateRows


class QuarantinedPosition(NamedTuple):
    """The position of an event, or of one record of it, in the input.

    Attributes:
        source: the partition of the input, or its number among the partitions of all inputs.
        offset: of the event.
        number: of the record among those of its event; -1 for the whole event.
    """

    source: int
    offset: int
    number: int


class QuarantineIndex(Protocol):
    """The quarantined events and records of one partition that may be redriven. Its changes are pending changes of the rows.

    `slot` identifies the rows that replace one another; it is empty where events do not.
    """

    def add(self, position: QuarantinedPosition, slot: str) -> None:
        """Note that something was quarantined."""
        ...

    def contains(self, position: QuarantinedPosition, slot: str) -> bool:
        """Return whether something was quarantined and may be redriven."""
        ...

    def processed(self, slot: str) -> None:
        """Note that something was processed as it was read from the input."""
        ...

    def redriven(self, position: QuarantinedPosition, slot: str) -> None:
        """Note that something was processed as it was redriven."""
        ...


class QuarantinedEvents:
    """The index where no event replaces another: a state row for each block of offsets, of runs [first, end).

    Args:
        rows: the state.
    """

    def __init__(self, rows: StateRows) -> None:
        self._rows = rows

    def add(self, position: QuarantinedPosition, slot: str) -> None:  # noqa: ARG002 - as of the protocol
        """See `QuarantineIndex`."""
        key, runs, at = self._find(position)
        offset = position.offset
        if at and offset < runs[at - 1][1]:
            return
        first, end = offset, offset + 1
        if at < len(runs) and runs[at][0] == end:
            end = runs.pop(at)[1]
        if at and runs[at - 1][1] == first:
            at -= 1
            first = runs.pop(at)[0]
        runs.insert(at, [first, end])
        self._rows.put(key, runs)

    def contains(self, position: QuarantinedPosition, slot: str) -> bool:  # noqa: ARG002 - as of the protocol
        """See `QuarantineIndex`."""
        _, runs, at = self._find(position)
        return at > 0 and position.offset < runs[at - 1][1]

    def processed(self, slot: str) -> None:
        """See `QuarantineIndex`: nothing, since what is read from the input for the first time is in no quarantine."""

    def redriven(self, position: QuarantinedPosition, slot: str) -> None:
        """See `QuarantineIndex`."""
        if not self.contains(position, slot):
            return
        key, runs, at = self._find(position)
        offset = position.offset
        first, end = runs[at - 1]
        runs[at - 1 : at] = [run for run in ([first, offset], [offset + 1, end]) if run[0] < run[1]]
        self._rows.put(key, runs or None)

    def _find(self, position: QuarantinedPosition) -> tuple[str, list[list[int]], int]:
        """Return the key of the row, its runs, and how many of them begin at or before the offset."""
        source, offset, number = position
        key = quarantine_block_key(source, number, offset)
        runs: list[list[int]] = list(self._rows.get(key) or ())
        return key, runs, bisect_right(runs, offset, key=lambda run: run[0])


class QuarantinedRows:
    """The index where rows replace one another: of each slot, the last one that was quarantined, until a later is processed.

    Args:
        rows: the state.
    """

    def __init__(self, rows: StateRows) -> None:
        self._rows = rows

    def add(self, position: QuarantinedPosition, slot: str) -> None:
        """See `QuarantineIndex`; no row before this one may be redriven any more."""
        self._rows.put(quarantine_slot_key(slot), list(position))

    def contains(self, position: QuarantinedPosition, slot: str) -> bool:
        """See `QuarantineIndex`."""
        return bool(self._rows.get(quarantine_slot_key(slot)) == list(position))

    def processed(self, slot: str) -> None:
        """See `QuarantineIndex`."""
        key = quarantine_slot_key(slot)
        if self._rows.get(key) is not None:
            self._rows.put(key, None)

    def redriven(self, position: QuarantinedPosition, slot: str) -> None:  # noqa: ARG002 - as of the protocol
        """See `QuarantineIndex`."""
        self.processed(slot)
