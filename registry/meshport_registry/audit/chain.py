"""The table of the audit: appending to the chain, and reading it.

Every writing transaction sees the entries of those before it, of any process (see `store`), so that the chain has one end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, insert, literal, or_, select, true, update

from meshport.audit import AuditEntry, AuditHead, AuditOutcome, AuditPage, audit_hash
from meshport_registry import tables
from meshport_registry.errors import StoreFailed
from meshport_registry.store import instant, now_us

_OWN: Final = tables.audit.c
_HEAD: Final = select(tables.audit_head.c.number, tables.audit_head.c.hash)
_INSERT: Final = insert(tables.audit)
_MOVE: Final = update(tables.audit_head).values(number=bindparam("last"), hash=bindparam("its_hash"))
# Of one text of an entry. A path may have 64 kB, and a name that a token gives as well.
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What is to be entered; see `meshport.audit.AuditEntry` for the attributes."""

    caller: str
    by: str
    action: str
    resource: str
    outcome: AuditOutcome
    detail: str = ""
    policies: str | None = None


def append(connection: Connection, *records: AuditRecord) -> None:
    """Append entries to the audit.

    Args:
        connection: the writing transaction.
        records: the entries, oldest first.

    Raises:
        StoreFailed: the database does not say which entry is the newest one.
    """
    head = connection.execute(_HEAD).one_or_none()
    if head is None:
        raise StoreFailed("the row of the table audit_head is missing", hint="restore the database from a backup")
    number, previous, rows = head.number, head.hash, []
    for each in records:
        number += 1
        at = now_us()
        values: dict[str, Any] = {
            "previous": previous,
            "number": number,
            "at": at,
            "caller": _storable(each.caller),
            "by": each.by,
            "action": _storable(each.action),
            "resource": _storable(each.resource),
            "outcome": str(each.outcome),
            "detail": _storable(each.detail),
            "policies": each.policies,
        }
        previous = audit_hash(**values | {"at": _written(at)})
        rows.append(values | {"hash": previous})
    connection.execute(_INSERT, rows)
    connection.execute(_MOVE, {"last": number, "its_hash": previous})


def _storable(text: str) -> str:
    """Return a text without what a database or UTF-8 has no form for, cut to `_LONGEST` characters."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 3]}..."
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _written(microseconds: int) -> str:
    return instant(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def audit_page(
    connection: Connection,
    *,
    after: int = 0,
    limit: int = 1000,
    since: datetime | None = None,
    who: str | None = None,
    what: str | None = None,
) -> AuditPage:
    """Return entries of the audit, oldest first.

    Args:
        connection: to the database.
        after: only entries with a higher number.
        limit: the number of entries to return, at most.
        since: only entries of this instant or later.
        who: only entries of the caller with this name.
        what: only entries with this action, or with this text in the resource or the detail.
    """
    matching = and_(
        _OWN.number > after,
        true() if since is None else _OWN.at >= round(since.timestamp() * 1e6),
        true() if who is None else _OWN.caller == who,
        true() if what is None else _about(what),
    )
    # One statement, so that head and entries are of one instant on PostgreSQL too; a row without either where there is none.
    head, one = tables.audit_head.c, select(literal(1).label("one")).subquery()
    query = (
        select(head.number.label("head_number"), head.hash.label("head_hash"), tables.audit)
        .select_from(one.outerjoin(tables.audit_head, true()).outerjoin(tables.audit, matching))
        .order_by(_OWN.number)
        .limit(limit + 1)
    )
    rows = connection.execute(query).all()
    noted = rows[0].head_number is not None  # a verification finds that the newest entry is another one
    newest = AuditHead(number=rows[0].head_number, hash=rows[0].head_hash) if noted else AuditHead()
    found = tuple(_entry(row) for row in rows if row.number is not None)
    return AuditPage(entries=found[:limit], head=newest, more=len(found) > limit)


def newest_about(connection: Connection, resource: str, limit: int) -> tuple[AuditEntry, ...]:
    """Return the newest entries about a resource, newest first.

    Args:
        connection: to the database.
        resource: as the policies name it, such as `Product::"shop/orders"`.
        limit: the number of entries to return, at most.
    """
    query = select(tables.audit).where(_OWN.resource == resource).order_by(_OWN.number.desc()).limit(limit)
    return tuple(_entry(row) for row in connection.execute(query))


def _about(what: str) -> ColumnElement[bool]:
    named = (column.contains(what, autoescape=True) for column in (_OWN.resource, _OWN.detail))
    return or_(_OWN.action == what, *named)


def _entry(row: Row[Any]) -> AuditEntry:
    values = {name: value for name, value in row._mapping.items() if name in AuditEntry.model_fields}  # noqa: SLF001 - SQLAlchemy's documented way to the names
    return AuditEntry.model_validate(values | {"at": _written(row.at)})
