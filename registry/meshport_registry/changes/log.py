"""Recording changes: each gets its number, and its event a row of the outbox, in the transaction of the change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import BigInteger, Connection, Engine, Row, Text, bindparam, cast, text, update

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import MeshError
from meshport.outbox.table import TABLE
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange
from meshport_registry.products import DefaultCluster, find_address, resolve
from meshport_registry.store import instant, now_us

if TYPE_CHECKING:
    from meshport.outbox import Outbox

ADDRESS: Final = Address("mesh", "changes", "events", 1)
"""The port of the changes."""
MOST_WAITING: Final = 100_000
"""How many events the outbox keeps while no relay publishes them; it then drops the oldest ones. About 100 MB."""
_TRIM_EVERY: Final = 1000
_log: Final = logging.getLogger(__name__)
_ADD: Final = (
    update(tables.setting)
    .where(tables.setting.c.name == "changes")
    .values(value=cast(cast(tables.setting.c.value, BigInteger) + bindparam("count", type_=BigInteger), Text))
)
_NEXT: Final = _ADD.returning(tables.setting.c.value)
_TRIM: Final = text(f'DELETE FROM {TABLE} WHERE "number" <= (SELECT max("number") FROM {TABLE}) - :most')  # noqa: S608 - the name is constant


class _OutboxAtRevision(NamedTuple):
    """The outbox of the port, as it was bound at a revision of the product; None where it takes no events."""

    product: tuple[str, int]
    outbox: Outbox | None


# Of each database that this process writes to; its one writing thread alone uses it.
_WRITERS: Final[WeakKeyDictionary[Engine, _OutboxAtRevision]] = WeakKeyDictionary()


def record(connection: Connection, change: MeshChange) -> None:
    """Add the event of a change to the outbox. It commits with the change, or is rolled back with it.

    Nothing is added while `mesh://mesh/changes` is not registered, or is retired. A change never fails because its event
    cannot be written, for example where a newer contract asks for a field that this version does not know: the event is
    left out, its number is missing, and the log says why.

    Args:
        connection: the writing transaction, after the change.
        change: what was done.
    """
    product = find_address(connection, ADDRESS)
    if product is None:
        return
    outbox = _outbox(connection, product)
    if outbox is None:
        return
    number = int(connection.execute(_NEXT, {"count": 1}).scalar_one())
    try:
        outbox.add(connection, change.values(number, instant(now_us())))
    except MeshError as error:
        _log.error("change %d has no event: %s", number, error)
    if number % _TRIM_EVERY == 0:
        connection.execute(_TRIM, {"most": MOST_WAITING})


def skip_numbers(connection: Connection, count: int) -> None:
    """Leave some numbers out, after a restore: changes that were made after the backup have them."""
    connection.execute(_ADD, {"count": count})


def _outbox(connection: Connection, product: Row[Any]) -> Outbox | None:
    known, found = (product.guid, product.revision), _WRITERS.get(connection.engine)
    if found is None or found.product != known:
        found = _WRITERS[connection.engine] = _OutboxAtRevision(known, _opened(connection))
    return found.outbox


def _opened(connection: Connection) -> Outbox | None:
    from meshport.outbox import Outbox  # noqa: PLC0415 - the metrics' client takes 40 ms to import

    try:
        return Outbox(ADDRESS, _BoundPort(resolve(connection, ADDRESS, DefaultCluster())))
    except MeshError as error:
        _log.error("changes have no events: %s", error)
        return None


class _BoundPort(NamedTuple):
    """A resolver that knows one binding."""

    binding: Binding

    def resolve(self, address: Address) -> Binding:
        """Return the binding."""
        assert address == self.binding.address  # noqa: S101 - asked for by `_opened` alone
        return self.binding
