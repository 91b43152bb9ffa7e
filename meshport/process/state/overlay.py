"""Changes of state rows that are kept apart until all of their batch is computed, and then applied or dropped together."""

from __future__ import annotations

from typing import Any

from meshport.process.state.rows import KeyValueStore


class Overlay:
    """A store that keeps changes to itself and reads through to another where there are none.

    Args:
        rows: the store beneath, which is only read.

    Attributes:
        changes: by state key, the value and the index of the event that set it last; as `StateRows.apply` takes them.
        event: the index of the event that is being processed; set it before `put`.
    """

    def __init__(self, rows: KeyValueStore) -> None:
        self._rows = rows
        self.changes: dict[str, tuple[Any, int]] = {}
        self.event = 0

    def get(self, key: str) -> Any | None:
        """Return the row's value, or None where there is no such row."""
        changed = self.changes.get(key)
        return self._rows.get(key) if changed is None else changed[0]

    def put(self, key: str, value: Any | None) -> None:
        """Set a row; None deletes it."""
        self.changes[key] = value, self.event
