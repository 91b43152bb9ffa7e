"""Errors of publishing and of replays."""

from __future__ import annotations

from meshport.errors.base import MeshError, with_facts


@with_facts
class PublishError(MeshError):
    """Raised when an event is refused, by the publisher or by the broker; nothing of it is stored.

    Attributes:
        address: the address that the event was for.
        field: the field of the record that is missing or wrong.
        ids: the ids of the events that are refused, where they are known.
    """

    address: str | None = None
    field: str | None = None
    ids: tuple[str, ...] = ()


@with_facts
class ReplayError(MeshError):
    """Raised when the bounds of a replay cannot be served.

    Attributes:
        topic: the topic.
        partition: the partition of the bound.
        offset: the offset of the bound.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


@with_facts
class LevelsNotMet(MeshError):  # noqa: N818 - names a state, as BrokerUnavailable does
    """Raised when the service levels of a port are below what its reader requires.

    Attributes:
        address: the address of the port.
        state: of its service levels: at-risk, broken or unknown.
    """

    address: str | None = None
    state: str | None = None
