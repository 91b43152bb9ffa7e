"""Changes to the state that wait until nothing is in doubt any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshport.process.state.rows import StateRows


class Overlay:
    """Changes to the state that are not made yet, over the rows.

    Args:
        rows: the state.

    Attributes:
        changed: the rows that change, by name, each with the index of the event that changed it last.
        at: the index of the event that is worked on.
    """

    def __init__(self, rows: StateRows) -> None:
        self._rows = rows
        self.changed: dict[str, tuple[Any, int]] = {}
        self.at = 0

    def get(self, key: str) -> Any | None:
        """The row's value, or None where there is no such row."""
        changed = self.changed.get(key)
        return self._rows.get(key) if changed is None else changed[0]

    def put(self, key: str, value: Any | None) -> None:
        """Set a row; None removes it."""
        self.changed[key] = value, self.at

    def keep(self, offsets: Sequence[int]) -> None:
        """Make the changes.

        Args:
            offsets: of the events.
        """
        for key, (value, at) in self.changed.items():
            self._rows.put(key, value)
            self._rows.keep(offsets[at])
