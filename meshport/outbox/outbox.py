"""Adding events to an outbox: the event row commits with the business row, or neither does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Unpack

from meshport.address import Address
from meshport.errors import PublishError
from meshport.event import Headers
from meshport.event.model import Record
from meshport.metrics.outbox import ADDED
from meshport.outbox.row import OutboxRow
from meshport.outbox.transactions import add_row, add_row_async
from meshport.ports.port_writer import EventAttributes, PortWriter
from meshport.ports.resolver import Resolver

if TYPE_CHECKING:
    from meshport.event.sdk import BaseCloudEvent

__all__ = ["MAX_BYTES", "Outbox"]

MAX_BYTES: Final = 1_000_000
"""The default of librdkafka's `message.max.bytes`; a broker's is a little larger."""

_Message = tuple[str, bytes | None, bytes | None, Headers]


class Outbox:
    """Adds events of one output port to the outbox of a database, in a transaction of the caller. Thread-safe.

    An event is validated and encoded at once, with the port's registered schema, so that one that does not fit fails the
    transaction that made it. `meshport relay` publishes it after the commit (`meshport.outbox.Relay`).

    Add an event after the change that it reports, in the same transaction: the lock of the changed row then keeps the events of
    an aggregate in order. Objects of an SQLAlchemy session that are not flushed yet are flushed first.

    The registry is asked once, here. While it is away, events are added as before. `create_table` makes the table.

    Args:
        address: of the port; a product's bare address means its default port at its live major.
        resolver: a registry.
        max_bytes: a larger event is refused, since no relay could publish it. By default what Kafka's clients and brokers take
            by theirs; more for a topic that takes more, with `message.max.bytes` of the relay's connection.

    Raises:
        NotRegistered: the registry knows no such port.
        PublishError: the port is retired.
    """

    def __init__(self, address: Address | str, resolver: Resolver, *, max_bytes: int = MAX_BYTES) -> None:
        self.binding = resolver.resolve(Address.parse(address) if isinstance(address, str) else address)
        self._port = PortWriter(self.binding)
        self.schema = self._port.schema
        self._max_bytes = max_bytes
        self._added = ADDED.labels(str(self.binding.address))

    def add(self, transaction: Any, record: Record, **attributes: Unpack[EventAttributes]) -> str:
        """Validate and encode an event, and add its row to the caller's transaction.

        Args:
            transaction: an SQLAlchemy `Session` or `Connection`, Django's `connection` (within `atomic`), or a connection of
                the DB-API (sqlite3, psycopg); to PostgreSQL or SQLite.
            record: the event's data, of the port's schema.
            attributes: of the event, see `EventAttributes`: `id`, `time`, `subject`, `extensions`.

        Returns:
            The event's id.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: id, time, subject or extensions make no CloudEvent.
            PublishError: the record has no key though the port is keyed; the event is too large; or it would commit by itself,
                since no transaction is open.
        """
        return self._add(transaction, self._port.message(record, **attributes))

    async def add_async(self, transaction: Any, record: Record, **attributes: Unpack[EventAttributes]) -> str:
        """Add an event to a transaction of an event loop; otherwise as `add`.

        Args:
            transaction: an SQLAlchemy `AsyncSession` or `AsyncConnection`, or an async connection of psycopg or aiosqlite.
            record: as for `add`.
            attributes: as for `add`.
        """
        return await self._add_async(transaction, self._port.message(record, **attributes))

    def add_cloudevent(self, transaction: Any, event: BaseCloudEvent) -> str:
        """Add an event of the cloudevents SDK; see `Publisher.publish_cloudevent` and `add`."""
        return self._add(transaction, self._port.message_of(event))

    async def add_cloudevent_async(self, transaction: Any, event: BaseCloudEvent) -> str:
        """Add an event of the cloudevents SDK; see `Publisher.publish_cloudevent` and `add_async`."""
        return await self._add_async(transaction, self._port.message_of(event))

    def retract(
        self, transaction: Any, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None
    ) -> str:
        """Add a tombstone, which deletes the key's row on a compacted port; see `Publisher.retract` and `add`."""
        return self._add(transaction, self._port.tombstone(key, id, time))

    async def retract_async(
        self, transaction: Any, key: Mapping[str, Any], *, id: str | None = None, time: datetime | None = None
    ) -> str:
        """Add a tombstone, which deletes the key's row on a compacted port; see `Publisher.retract` and `add_async`."""
        return await self._add_async(transaction, self._port.tombstone(key, id, time))

    def _add(self, transaction: Any, message: _Message) -> str:
        row = self._row(message)
        add_row(transaction, row)
        self._added.inc()
        return row.id

    async def _add_async(self, transaction: Any, message: _Message) -> str:
        row = self._row(message)
        await add_row_async(transaction, row)
        self._added.inc()
        return row.id

    def _row(self, message: _Message) -> OutboxRow:
        id, value, key, headers = message
        size = len(value or b"") + len(key or b"") + sum(len(name) + len(each) for name, each in headers)
        if size > self._max_bytes:
            raise PublishError(
                f"the event is {size:,} bytes, and {self.binding.address} takes {self._max_bytes:,}",
                address=str(self.binding.address),
                ids=(id,),
                hint="an event names what it is about; a large content belongs elsewhere. Or max_bytes, if the topic takes more",
            )
        return OutboxRow.of(self.binding, id, value, key, headers)
