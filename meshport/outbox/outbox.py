"""Adding events to an outbox: the event row commits with the business row, or neither does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from meshport.address import Address
from meshport.errors import PublishError
from meshport.event import Extension
from meshport.ports.resolver import Resolver
from meshport.product import Status

if TYPE_CHECKING:
    from meshport.event.sdk import BaseCloudEvent

__all__ = ["Outbox"]


class Outbox:
    """Adds events of one output port to the outbox of a database, in a transaction of the caller. Thread-safe.

    An event is validated and encoded at once, with the port's registered schema, so that one that does not fit fails the
    transaction that made it. `meshport relay` publishes it after the commit (`meshport.outbox.Relay`).

    Add an event after the change that it reports, in the same transaction: the lock of the changed row then keeps the events of
    an aggregate in order. Objects of an SQLAlchemy session that are not flushed yet are flushed first.

    The registry is asked once, here. While it is away, events are added as before.

    Args:
        address: of the port; a product's bare address means its default port at its live major.
        resolver: a registry.

    Raises:
        NotRegistered: the registry knows no such port.
        PublishError: the port is retired.
    """

    def __init__(self, address: Address | str, resolver: Resolver) -> None:
        self.binding = resolver.resolve(Address.parse(address) if isinstance(address, str) else address)
        if self.binding.status is Status.RETIRED:
            raise PublishError(
                f"{self.binding.address} is retired",
                address=str(self.binding.address),
                hint=f"its successor: {self.binding.successor}",
            )

    def add(
        self,
        transaction: Any,
        record: Mapping[str, Any],
        *,
        id: str | None = None,
        time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> str:
        """Validate and encode an event, and add its row to the caller's transaction.

        Args:
            transaction: an SQLAlchemy `Session` or `Connection`, Django's `connection` (within `atomic`), or a connection of
                the DB-API (sqlite3, psycopg); to PostgreSQL or SQLite.
            record: the event's data, of the port's schema.
            id: the event's; by default a random one.
            time: when the fact happened, with a zone; by default the port's time field, else now.
            subject: what in the source the event is about.
            extensions: further attributes of the event by name, such as `traceparent`.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: id, time, subject or extensions make no CloudEvent.
            PublishError: the record has no key though the port is keyed; or the event would commit by itself, since no
                transaction is open.
        """
        raise NotImplementedError

    async def add_async(
        self,
        transaction: Any,
        record: Mapping[str, Any],
        *,
        id: str | None = None,
        time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> str:
        """Add an event to a transaction of an event loop; otherwise as `add`.

        Args:
            transaction: an SQLAlchemy `AsyncSession` or `AsyncConnection`, or an async connection of psycopg or aiosqlite.
            record: as for `add`, and so are the others.
            id: the event's.
            time: when the fact happened.
            subject: what it is about.
            extensions: further attributes.
        """
        raise NotImplementedError

    def add_cloudevent(self, transaction: Any, event: BaseCloudEvent) -> str:
        """Add an event of the cloudevents SDK; see `Publisher.publish_cloudevent` and `add`."""
        raise NotImplementedError

    def retract(
        self, transaction: Any, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None
    ) -> str:
        """Add a tombstone, which deletes the key's row on a compacted port; see `Publisher.retract` and `add`."""
        raise NotImplementedError
