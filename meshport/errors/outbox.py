"""Errors of an outbox and its relay."""

from __future__ import annotations

from meshport.errors.base import MeshError, with_facts


@with_facts
class OutboxUnavailable(MeshError):  # noqa: N818 - names a state, as BrokerUnavailable does
    """Raised when the database of an outbox does not answer, or has no outbox."""


@with_facts
class ShardLost(MeshError):  # noqa: N818 - as above
    """Raised when another relay has taken a shard of an outbox, or the lock of the shard has ended.

    Attributes:
        shard: its number.
    """

    shard: int | None = None
