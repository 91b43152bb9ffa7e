"""Records as a processor passes them from operator to operator, with the metadata of the events they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

RecordPosition = tuple[int, int, int, int]
"""A record's event time (microseconds), source partition, offset, and number among the records of its event.

Positions order all records of an input by event time, then by their position in the log. They are plain tuples, since one
is made for each record and window, and a named tuple takes four times as long to make.
"""


class EventRecord(NamedTuple):
    """A record and the metadata of the event that it was made from.

    Attributes:
        record: the data; for `drop` only the fields of the group's key.
        time: event time, microseconds.
        partition: the event's partition of the input topic.
        offset: the event's offset in that partition.
        number: the record's number among the records that the event became, from 0.
        id: the event's CloudEvents `id`.
        source: the event's CloudEvents `source`.
        recorded: when the event was recorded, microseconds.
        kind: `add` adds the record; `drop` removes what its contributor gave before.
        contributor: in an aggregate over a compacted port, the input row that the record is a part of.
    """

    record: dict[str, Any]
    time: int
    partition: int
    offset: int
    number: int
    id: str
    source: str
    recorded: int
    kind: Literal["add", "drop"] = "add"
    contributor: str = ""

    @property
    def position(self) -> RecordPosition:
        """The record's position, by event time first."""
        return self.time, self.partition, self.offset, self.number


class Emission(NamedTuple):
    """A record that a group emits.

    Attributes:
        record: the data.
        time: event time of the output, microseconds.
        name: the name of the output where the input event does not identify it, as of a window that closed.
        gone: whether the row that the record stands for no longer exists.
    """

    record: dict[str, Any]
    time: int
    name: str = ""
    gone: bool = False


def key_values(record: Mapping[str, Any], by: tuple[str, ...]) -> list[Any]:
    """Return the values of the key fields.

    Raises:
        KeyError: the record lacks one.
    """
    return [record[name] for name in by]
