"""A shard of an outbox as its relay works with it: the rows that wait, what became of them, and the lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from meshport.outbox.row import OutboxRow

__all__ = ["Aggregate", "BlockedRow", "OutboxLook", "OutboxState", "Shard", "ShardHolder", "WaitingRow"]

Aggregate = tuple[str, str]
"""Address and aggregate id: the rows of one are published in their order."""


class WaitingRow(NamedTuple):
    """A row that is not published.

    Attributes:
        number: of the row.
        event: of the row.
    """

    number: int
    event: OutboxRow

    @property
    def aggregate(self) -> Aggregate:
        """What is published in order."""
        return self.event.address, self.event.aggregateid

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.event.payload or b"") + len(self.event.key or b"")


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """The first row of a blocked aggregate.

    Attributes:
        number: of the row.
        address: of its port.
        aggregateid: of its aggregate.
        id: of its event.
        error: why it cannot be sent.
        waiting: how many rows of the aggregate wait, this one included.
    """

    number: int
    address: str
    aggregateid: str
    id: str
    error: str
    waiting: int


@dataclass(frozen=True, slots=True)
class ShardHolder:
    """The relay that holds a shard.

    Attributes:
        shard: its number.
        holder: host and process id of the relay; None where no relay holds the shard.
        fence: the newest fencing token.
    """

    shard: int
    holder: str | None
    fence: int


@dataclass(frozen=True, slots=True)
class OutboxState:
    """What an outbox holds.

    Attributes:
        waiting: how many rows are not published, blocked ones included; counted up to 100,000.
        blocked: how many of them are blocked.
        blocked_aggregates: in how many aggregates.
        oldest_s: age of the oldest row that waits and is not blocked, in seconds; 0 where none does.
        transaction_s: age of the oldest open transaction of the database, in seconds; 0 where there is none, and on SQLite.
        transaction: which one that is, for people.
        published: how many published rows are kept; counted up to 100,000.
    """

    waiting: int = 0
    blocked: int = 0
    blocked_aggregates: int = 0
    oldest_s: float = 0.0
    transaction_s: float = 0.0
    transaction: str = ""
    published: int = 0


@dataclass(frozen=True, slots=True)
class OutboxLook:
    """An outbox as it is seen from outside.

    Attributes:
        state: what it holds.
        blocked: the first row of each blocked aggregate, as many as were asked for.
        holders: of the shards.
    """

    state: OutboxState
    blocked: Sequence[BlockedRow]
    holders: Sequence[ShardHolder]


class Shard(Protocol):
    """One shard of an outbox, over a connection of its own; one thread uses it.

    Every method raises OutboxUnavailable if the database does not answer.
    """

    def acquire(self) -> bool:
        """Take the shard's lock and a new fencing token, and return true; false if another relay has the lock."""
        ...

    def keep(self) -> None:
        """Show that this relay lives.

        Raises:
            ShardLost: it has the shard no more.
        """
        ...

    def fetch(self, limit: int) -> list[WaitingRow]:
        """Return the first rows that wait and are not blocked, in the order of their numbers."""
        ...

    def blocked(self) -> set[Aggregate]:
        """Return the aggregates that have a blocked row."""
        ...

    def heads(self, after: Aggregate, limit: int) -> list[WaitingRow]:
        """Return the first row of each blocked aggregate, in the order of the aggregates, from the one after `after` on."""
        ...

    def settle(self, stored: Sequence[int], errors: Mapping[int, str], released: Collection[Aggregate] = ()) -> None:
        """Mark rows as published, in one transaction with what else became of a batch.

        Args:
            stored: numbers of rows that the broker has acknowledged.
            errors: of rows that cannot be sent, by number.
            released: aggregates whose rows are blocked no more.

        Raises:
            ShardLost: another relay has the shard; nothing is marked.
        """
        ...

    def clean(self, keep_s: float, limit: int) -> int:
        """Remove rows that were published longer ago, at most `limit`, and return how many."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until rows may have been added, for so long at most."""
        ...

    def state(self) -> OutboxState:
        """Return what the whole outbox holds."""
        ...

    def close(self) -> None:
        """Release the lock, and close the connection."""
        ...
