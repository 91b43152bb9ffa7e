"""What travels between the parts of a processor: a record, with all that must be known of the event that brought it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from meshport.process.logic.aggregators import Place


class Item(NamedTuple):
    """One record on its way to its group.

    Attributes:
        record: the data; for `drop` only the fields of the group's key.
        time: event time, microseconds.
        partition: of the input topic, from which the event came.
        offset: of the event in that partition.
        number: of this record among those that the event became.
        id: the event's.
        source: the event's.
        recorded: when the event was recorded, microseconds.
        kind: `add` a record; `drop` what the contributor gave before.
        contributor: for an aggregate over a compacted port: which input row this is a part of.
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
    def place(self) -> Place:
        """Where the record stands among all others, by event time first."""
        return self.time, self.partition, self.offset, self.number


class Emission(NamedTuple):
    """A record that a group gives.

    Attributes:
        record: the data.
        time: event time of the output, microseconds.
        name: what the output is, where that is not told by the input that made it: a window that closed.
        gone: the row that the record stands for is no more.
    """

    record: dict[str, Any]
    time: int
    name: str = ""
    gone: bool = False


def values_of(record: Mapping[str, Any], by: tuple[str, ...]) -> list[Any]:
    """The values of the key fields.

    Raises:
        KeyError: the record lacks one.
    """
    return [record[name] for name in by]
