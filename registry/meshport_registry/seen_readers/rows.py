"""The rows of readers that were seen: one for each line and name, with the last time in each way. Their number is bounded.

A line has at most a few hundred rows of each kind. While they are all taken, a new name gets a row only in place of one that was
not seen for 30 days: no caller can push out a reader that reads. Rows go 90 days after they were last seen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from meshport.binding import Binding
from meshport.seen_readers import SILENT_AFTER, GroupReports, ReaderKind
from meshport_registry import tables
from meshport_registry.store import now_us

__all__ = ["ReadLine", "Sighting", "Way", "keep_groups", "keep_sighting", "observation_of", "rows_of"]

KEPT: Final = timedelta(days=90)
"""For how long a reader is kept that is not seen any more."""
MOST: Final[Mapping[ReaderKind, int]] = {ReaderKind.GROUP: 500, ReaderKind.CALLER: 200, ReaderKind.CLIENT: 100}
"""The most readers of a line, by kind."""
# Kafka keeps the offsets of a group for a week after its last member left: in a longer gap a group may come and go unseen.
_LONGEST_GAP: Final = timedelta(days=7)
_OWN: Final = tables.seen_reader
_OBSERVED: Final = tables.line_observation
_log: Final = logging.getLogger(__name__)


class ReadLine(NamedTuple):
    """A line of a product, as the tables have it."""

    guid: str
    port: str
    major: int

    @classmethod
    def of(cls, guid: str, binding: Binding) -> ReadLine:
        """Return the line of a binding."""
        return cls(guid, binding.address.port or "", binding.address.major or 0)

    def rows(self, table: Any) -> ColumnElement[bool]:
        """Return the condition that selects its rows of a table."""
        return and_(table.c.guid == self.guid, table.c.port == self.port, table.c.major == self.major)


class Way(StrEnum):
    """How a reader was seen: the column that has the time."""

    READ = "read_at"
    MEMBERS = "members_at"
    SUBSCRIBED = "subscribed_at"
    RESOLVED = "resolved_at"
    SCHEMA = "schema_at"


class Sighting(NamedTuple):
    """A reader that was seen.

    Attributes:
        kind: what its name is.
        name: of the reader.
        at: when, in microseconds since the epoch.
        ways: how.
        more: other columns.
    """

    kind: ReaderKind
    name: str
    at: int
    ways: tuple[Way, ...]
    more: Mapping[str, Any] = {}


def keep_sighting(connection: Connection, line: ReadLine, seen: Sighting) -> bool:
    """Keep that a reader was seen; return False if the line has no room for another one.

    Args:
        connection: the writing transaction.
        line: that it reads.
        seen: the reader.
    """
    own = and_(line.rows(_OWN), _OWN.c.kind == seen.kind, _OWN.c.name == seen.name)
    before = connection.execute(select(_OWN).where(own)).one_or_none()
    times = {way.value: seen.at for way in seen.ways}
    if before is not None:
        newest = {name: max(at, getattr(before, name) or 0) for name, at in times.items()}
        last = max(before.last_at, *newest.values()) if newest else before.last_at
        connection.execute(update(_OWN).where(own).values(last_at=last, **newest, **seen.more))
        return True
    if not _room(connection, line, seen.kind, seen.at):
        return False
    key = {**line._asdict(), "kind": seen.kind, "name": seen.name}
    connection.execute(insert(_OWN), key | {"first_at": seen.at, "last_at": seen.at} | times | dict(seen.more))
    return True


def _room(connection: Connection, line: ReadLine, kind: ReaderKind, now: int) -> bool:
    """Return whether a line has room for another reader; one that was not seen for 30 days makes room."""
    own = and_(line.rows(_OWN), _OWN.c.kind == kind)
    connection.execute(delete(_OWN).where(own, _OWN.c.last_at < now - _micros(KEPT)))
    if (connection.execute(select(func.count()).select_from(_OWN).where(own)).scalar() or 0) < MOST[kind]:
        return True
    oldest = connection.execute(select(_OWN.c.name, _OWN.c.last_at).where(own).order_by(_OWN.c.last_at).limit(1)).one()
    if oldest.last_at >= now - _micros(SILENT_AFTER):
        return False
    connection.execute(delete(_OWN).where(own, _OWN.c.name == oldest.name))
    return True


def keep_groups(connection: Connection, line: ReadLine, reports: GroupReports) -> None:
    """Keep what an observer reports of the consumer groups of a line; a report older than the last one changes nothing.

    A group has read where it has committed other offsets than it had when it was reported last. When it is reported first,
    nothing is known of when it read.

    Args:
        connection: the writing transaction.
        line: of the report.
        reports: the groups.
    """
    at = round(reports.at.timestamp() * 1_000_000)
    last = observation_of(connection, line)
    if last is not None and at <= last.at:
        return
    if last is None:
        connection.execute(insert(_OBSERVED), line._asdict() | {"since": at, "at": at})
    else:
        since = at if at - last.at > _micros(_LONGEST_GAP) else last.since
        connection.execute(update(_OBSERVED).where(line.rows(_OBSERVED)).values(since=since, at=at))
    known = {each.name: each for each in rows_of(connection, line) if each.kind == ReaderKind.GROUP}
    full = False
    for group in reports.groups:
        before = known.get(group.name)
        ways = [Way.MEMBERS] if group.live else []
        if before is not None and before.committed is not None and before.committed != group.committed:
            ways.append(Way.READ)
        if not ways and (group.committed is None or before is not None):
            continue
        seen = Sighting(ReaderKind.GROUP, group.name, at, tuple(ways), {"committed": group.committed})
        full |= not keep_sighting(connection, line, seen)
    if full:
        _log.warning("%s@%s of %s has more consumer groups than are kept", line.port, line.major, line.guid)


def observation_of(connection: Connection, line: ReadLine) -> Row[Any] | None:
    """Return since when (`since`) and when last (`at`) the groups of a line were reported; None if they never were."""
    return connection.execute(select(_OBSERVED).where(line.rows(_OBSERVED))).one_or_none()


def rows_of(connection: Connection, line: ReadLine) -> list[Row[Any]]:
    """Return the readers of a line that were seen in the last 90 days, by kind and name."""
    lately = _OWN.c.last_at >= now_us() - _micros(KEPT)
    return list(connection.execute(select(_OWN).where(line.rows(_OWN), lately).order_by(_OWN.c.kind, _OWN.c.name)))


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
