"""What was set aside and did not go through since: only that may be brought back.

The quarantine alone cannot tell. A process that was killed may have written there what its successor, with better code, took
in; and where rows replace one another, one that is brought back must not replace a row that came after it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Protocol

from meshport.process.state.rows import StateRows

QuarantinedPart = tuple[int, int, int]
"""(partition, offset, number): an event of the input, or one record of it; the number is -1 for the whole event."""

_PREFIX: Final = "q:"
_BLOCK: Final = 4096


class QuarantineIndex(Protocol):
    """What of one partition's state is owed. Changes are pending until the rows are kept."""

    def owe(self, part: QuarantinedPart, slot: str) -> None:
        """Take note that something was set aside.

        Args:
            part: what.
            slot: where rows replace one another, what it replaces.
        """
        ...

    def is_owed(self, part: QuarantinedPart, slot: str) -> bool:
        """Whether it was, and may still be brought back."""
        ...

    def settle(self, part: QuarantinedPart, slot: str, *, again: bool) -> None:
        """Take note that something went through.

        Args:
            part: what.
            slot: as of `owe`.
            again: whether it was brought back.
        """
        ...


class QuarantinedEvents:
    """Events that count for themselves: a state row for 4096 offsets, which holds the runs that are owed.

    Args:
        rows: the state.
    """

    def __init__(self, rows: StateRows) -> None:
        self._rows = rows

    def owe(self, part: QuarantinedPart, slot: str) -> None:  # noqa: ARG002 - every kind takes it
        """Take note that something was set aside."""
        key, runs, at = self._found(part)
        offset = part[1]
        if at and offset < runs[at - 1][1]:
            return
        first, behind = offset, offset + 1
        if at < len(runs) and runs[at][0] == behind:
            behind = runs.pop(at)[1]
        if at and runs[at - 1][1] == first:
            at -= 1
            first = runs.pop(at)[0]
        runs.insert(at, [first, behind])
        self._rows.put(key, runs)

    def is_owed(self, part: QuarantinedPart, slot: str) -> bool:  # noqa: ARG002 - every kind takes it
        """Whether it was set aside, and did not go through since."""
        _, runs, at = self._found(part)
        return at > 0 and part[1] < runs[at - 1][1]

    def settle(self, part: QuarantinedPart, slot: str, *, again: bool) -> None:
        """Take note that something went through."""
        if not again or not self.is_owed(part, slot):
            return
        key, runs, at = self._found(part)
        offset = part[1]
        first, behind = runs[at - 1]
        runs[at - 1 : at] = [run for run in ([first, offset], [offset + 1, behind]) if run[0] < run[1]]
        self._rows.put(key, runs or None)

    def _found(self, part: QuarantinedPart) -> tuple[str, list[list[int]], int]:
        """The row's key, its runs [first, behind], and how many of them begin at or before the offset."""
        partition, offset, number = part
        key = f"{_PREFIX}{partition}:{number}:{offset // _BLOCK}"
        runs: list[list[int]] = list(self._rows.get(key) or ())
        return key, runs, bisect_right(runs, offset, key=lambda run: run[0])


class QuarantinedRows:
    """StateRows of a table: by what it replaces, the last one that was set aside, until a later one goes through.

    Args:
        rows: the state.
    """

    def __init__(self, rows: StateRows) -> None:
        self._rows = rows

    def owe(self, part: QuarantinedPart, slot: str) -> None:
        """Take note that a row was set aside, and that none before it is wanted any more."""
        self._rows.put(_PREFIX + slot, list(part))

    def is_owed(self, part: QuarantinedPart, slot: str) -> bool:
        """Whether it is the last of its slot that was set aside, and none went through since."""
        return bool(self._rows.get(_PREFIX + slot) == list(part))

    def settle(self, part: QuarantinedPart, slot: str, *, again: bool) -> None:  # noqa: ARG002 - every kind takes it
        """Take note that a row went through."""
        if self._rows.get(_PREFIX + slot) is not None:
            self._rows.put(_PREFIX + slot, None)
