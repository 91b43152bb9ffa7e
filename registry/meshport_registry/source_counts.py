"""How many events the source of a port has, by its own count: one count for each interval of event time, the newest ones.

Observers compare it with what is in the topic. Intervals of a port do not overlap, so that no event is counted twice; a count of
an interval that was reported before replaces the earlier one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from meshport.address import Address
from meshport.event.attributes import rfc3339
from meshport.service_levels import SourceCount, SourceCounts
from meshport_registry import tables
from meshport_registry.errors import Conflict, RequestRefused
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.store import instant, now_us

__all__ = ["KEPT", "counts_of", "take_count"]

KEPT: Final = 1000
"""How many counts of a line are kept: of each minute the last 16 hours, of each hour the last 41 days."""
_LONGEST: Final = timedelta(days=31)
# A clock of a source may be ahead of the registry's by so much.
_AHEAD: Final = timedelta(minutes=1)
_COUNTS: Final = tables.source_count


def take_count(connection: Connection, address: Address, counted: SourceCount) -> SourceCounts:
    """Take a source's count of an interval, and return it with the port's address.

    Raises:
        NotInMesh: the mesh has no such port.
        Retired: the line is retired.
        RequestRefused: the interval has not ended yet, or is longer than 31 days.
        Conflict: it overlaps an interval that was reported before.
    """
    line, port = _line(connection, address)
    begin, end = _micros(counted.start), _micros(counted.end)
    if end > now_us() + _AHEAD // timedelta(microseconds=1):
        raise RequestRefused(
            f"the interval of the count ends at {_text(end)}, which has not come yet",
            hint="report an interval once it has ended",
        )
    if counted.end - counted.start > _LONGEST:
        raise RequestRefused(
            f"the interval of the count has {(counted.end - counted.start).days} days", hint="31 days at most"
        )
    others = connection.execute(
        select(_COUNTS).where(line, _COUNTS.c.begins_at < end, _COUNTS.c.ends_at > begin).limit(1)
    ).one_or_none()
    if others is None:
        values = dict(zip(("guid", "port", "major"), port, strict=True))
        connection.execute(insert(_COUNTS), {**values, "begins_at": begin, "ends_at": end, "events": counted.count})
        _forget_oldest(connection, line)
    elif (others.begins_at, others.ends_at) == (begin, end):
        connection.execute(update(_COUNTS).where(line, _COUNTS.c.begins_at == begin).values(events=counted.count))
    else:
        raise Conflict(
            f"the interval from {_text(begin)} to {_text(end)} overlaps that from {_text(others.begins_at)} to "
            f"{_text(others.ends_at)}, whose count was reported before",
            hint="intervals of a port do not overlap; one with the same start and end replaces the earlier count",
        )
    return SourceCounts(address=_with_major(address, port), counts=(counted,))


def counts_of(connection: Connection, address: Address, since: datetime | None, limit: int) -> SourceCounts:
    """Return what the source of a port reported, newest interval first.

    Args:
        connection: a transaction.
        address: of the port.
        since: of intervals that end later; None for all.
        limit: of the intervals.

    Raises:
        NotInMesh: the mesh has no such port.
        Retired: the line is retired.
    """
    line, port = _line(connection, address)
    wanted = line if since is None else and_(line, _COUNTS.c.ends_at > _micros(since))
    rows = connection.execute(select(_COUNTS).where(wanted).order_by(_COUNTS.c.begins_at.desc()).limit(limit))
    return SourceCounts(address=_with_major(address, port), counts=tuple(map(_counted, rows)))


def _counted(row: Row[tuple[object, ...]]) -> SourceCount:
    return SourceCount(start=instant(row.begins_at), end=instant(row.ends_at), count=row.events)


def _forget_oldest(connection: Connection, line: ColumnElement[bool]) -> None:
    begin = _COUNTS.c.begins_at
    last = select(begin).where(line).order_by(begin.desc()).offset(KEPT).limit(1)
    if (oldest := connection.execute(last).scalar()) is not None:
        connection.execute(delete(_COUNTS).where(line, begin <= oldest))


def _line(connection: Connection, address: Address) -> tuple[ColumnElement[bool], tuple[str, str, int]]:
    """Return the condition of a line's rows, and what it names: the product's id, the port and the major."""
    row = require_address(connection, address)
    found = choose_binding(bindings_of(connection, row, DefaultCluster()), address).address
    own = str(row.guid), str(found.port), int(found.major or 0)
    return and_(_COUNTS.c.guid == own[0], _COUNTS.c.port == own[1], _COUNTS.c.major == own[2]), own


def _with_major(address: Address, own: tuple[str, str, int]) -> Address:
    return Address(address.domain, address.product, own[1], own[2])


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _text(at_us: int) -> str:
    return rfc3339(instant(at_us)).decode()
