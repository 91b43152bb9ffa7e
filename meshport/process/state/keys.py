"""The keys of a changelog: those of the state's rows by kind, and the checkpoint's.

A state key is text: the character of its kind, for some kinds a number, then a colon and what the kind identifies a row by.
Keys are stored in changelogs, so none of them may ever change.

    g:<group>  g<start>:<group>          the running total of a group, or its window that starts at a time
    u:<group>  u<start>:<group>          the same of a group over a compacted port
    s:<group>                            the open sessions of a group
    a:<group>  b:<group>                 the state of a function, without and with a schema
    t<number>                            a schema that states of a function were written with
    d<number>:<identity>                 the times at which the de-duplication of that number let a record through
    c:<record key>                       what a row of a compacted port has contributed to its groups
    l:<position>  r:<position>           a record of the left or the right stream that waits for partners
    q:<source>:<number>:<block>          quarantined events or records of 4096 offsets of one source partition
    q:<slot>                             the last quarantined one of rows that replace one another

A group or an identity is the JSON array of its values (`meshport.process.logic.lossless_json`), a start is in microseconds
since 1970, a record key in hexadecimal, a position `<partition>-<offset>-<number>`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

CHECKPOINT_KEY: Final = b"checkpoint"
"""The record key of checkpoints; no state key, since the first character of one is followed by a number or a colon."""

OFFSETS_PER_BLOCK: Final = 4096
"""Offsets of one source partition whose quarantined records share a row."""

WINDOW: Final = "g"
TABLE_WINDOW: Final = "u"
SESSIONS: Final = "s"
OPAQUE_STATE: Final = "a"
TYPED_STATE: Final = "b"
STATE_SCHEMA: Final = "t"
DEDUPLICATION: Final = "d"
CONTRIBUTIONS: Final = "c"
QUARANTINE: Final = "q"


class JoinSide(Enum):
    """The input of a join of two streams that a record comes from; the value is the kind of its state keys."""

    LEFT = "l"
    """The pipeline's input."""
    RIGHT = "r"
    """The other stream."""

    @property
    def other(self) -> JoinSide:
        """The side that the partners of a record come from."""
        return JoinSide.RIGHT if self is JoinSide.LEFT else JoinSide.LEFT


KINDS: Final = frozenset(
    {
        WINDOW,
        TABLE_WINDOW,
        SESSIONS,
        OPAQUE_STATE,
        TYPED_STATE,
        STATE_SCHEMA,
        DEDUPLICATION,
        CONTRIBUTIONS,
        QUARANTINE,
        *(side.value for side in JoinSide),
    }
)


class StateKey(NamedTuple):
    """The parts of a state key.

    Attributes:
        kind: one of `KINDS`.
        number: the start of a window, or the number of a de-duplication or a schema; None where the key has none.
        rest: what follows the colon.
    """

    kind: str
    number: int | None
    rest: str


def parse(key: str) -> StateKey:
    """Return the parts of a state key.

    Raises:
        ValueError: it is not a state key.
    """
    head, colon, rest = key.partition(":")
    kind, number = head[:1], head[1:]
    is_whole = number and not colon if kind == STATE_SCHEMA else colon
    if kind not in KINDS or not is_whole:
        raise ValueError(f"{key!r} is no key of a state row")
    return StateKey(kind, int(number) if number else None, rest)


def window_key(start: int | None, group: str) -> str:
    """Return the key of the window of a group that starts then, or of its running total where `start` is None."""
    return f"{WINDOW}:{group}" if start is None else f"{WINDOW}{start}:{group}"


def split_window_key(key: str) -> tuple[int, str]:
    """Return start and group of the key of a window: `parse` at half the cost, since it is called for each that closes."""
    head, _, group = key.partition(":")
    return int(head[1:]), group


def table_window_key(start: int | None, group: str) -> str:
    """Return what `window_key` does, for a group over a compacted port."""
    return f"{TABLE_WINDOW}:{group}" if start is None else f"{TABLE_WINDOW}{start}:{group}"


def sessions_key(group: str) -> str:
    """Return the key of the open sessions of a group."""
    return f"{SESSIONS}:{group}"


def session_name(start: int, group: str) -> str:
    """Return the name that the output of a closed session gets its id from. It is unlike every state key."""
    return f"{SESSIONS}{start}:{group}"


def opaque_state_key(group: str) -> str:
    """Return the key of a function's state that has no schema."""
    return f"{OPAQUE_STATE}:{group}"


def typed_state_key(group: str) -> str:
    """Return the key of a function's state that has a schema."""
    return f"{TYPED_STATE}:{group}"


def state_schema_key(number: int) -> str:
    """Return the key of a schema that states of a function were written with, by its number from 0 on."""
    return f"{STATE_SCHEMA}{number}"


def deduplication_prefix(number: int) -> str:
    """Return what the keys of a de-duplication begin with; the identity of a record follows."""
    return f"{DEDUPLICATION}{number}:"


def contributions_key(record_key: str) -> str:
    """Return the key of what a row has contributed to groups, by its record key in hexadecimal."""
    return f"{CONTRIBUTIONS}:{record_key}"


def join_key(side: JoinSide, partition: int, offset: int, number: int) -> str:
    """Return the key of a record that waits for partners.

    Args:
        side: the input that it comes from.
        partition: of that input.
        offset: of the record's event.
        number: of the record among those of its event.
    """
    return f"{side.value}:{partition}-{offset}-{number}"


def quarantine_block_key(source: int, number: int, offset: int) -> str:
    """Return the key of the row that notes whether something of an offset is in quarantine.

    Args:
        source: the source partition.
        number: of a record among those of its event; -1 for whole events.
        offset: of the event.
    """
    return f"{QUARANTINE}:{source}:{number}:{offset // OFFSETS_PER_BLOCK}"


def quarantine_slot_key(slot: str) -> str:
    """Return the key of the row that notes which of the rows that replace one another was quarantined last.

    Args:
        slot: what those rows have in common: a record key in hexadecimal, or a JSON array.
    """
    return f"{QUARANTINE}:{slot}"
