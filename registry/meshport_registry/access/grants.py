"""Requests for access and grants in the database.

A row is a request, and stays: it is granted until an instant or refused, and a grant may be revoked. It ends by itself: its
state is a matter of the time at which it is read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, insert, or_, select, update

from meshport.address import Address
from meshport.grants import AccessRequest, Grant, GrantApproval, GrantState
from meshport.product import Product, Status
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict, NotInMesh, RequestRefused
from meshport_registry.identity.caller import unfit_name
from meshport_registry.lifecycle import next_revision
from meshport_registry.products import descriptor_of, require_address
from meshport_registry.store import instant, now_us

_OWN: Final = tables.access_grant.c
_INSERT: Final = insert(tables.access_grant).returning(_OWN.id)
_ALL: Final = (
    select(tables.access_grant, tables.product.c.domain, tables.product.c.name, tables.product.c.owner)
    .join(tables.product, tables.product.c.guid == _OWN.guid)
    .order_by(_OWN.id.desc())
)
_NAMED: Final = _ALL.where(_OWN.id == bindparam("number"))
_IN_FORCE: Final = and_(_OWN.state == GrantState.GRANTED, _OWN.ends_at > bindparam("now"))
_READERS: Final = select(_OWN.reader, _OWN.port, _OWN.major).where(_OWN.guid == bindparam("guid"), _IN_FORCE)
_READERS_OF_ALL: Final = select(_OWN.guid, _OWN.reader).where(_IN_FORCE)
_NEXT_END: Final = select(func.min(_OWN.ends_at)).where(_IN_FORCE)
DROPPED: Final = "the reader was removed from the registry"


class Asked(NamedTuple):
    """Who wants to read which port.

    Attributes:
        reader: its name.
        guid: of the product that has the port.
        port: the port's name.
        major: of one line of it; None for all.
    """

    reader: str
    guid: str
    port: str
    major: int | None


def port_of(product: Product, address: Address) -> str:
    """Return the name of the port that an address leads to: the product's default port where it names none."""
    return address.port or product.default_port.name


def ask(connection: Connection, wanted: AccessRequest, reader: str, caller: str) -> Grant:
    """Record a request for access.

    Args:
        connection: the writing transaction.
        wanted: the port, the purpose and the end that is asked for.
        reader: who wants to read.
        caller: the name of the caller who asks.

    Raises:
        NotInMesh: the product is not registered.
        RequestRefused: it has no such port, the reader's name is none, or the end is past.
        Conflict: it is retired, or the same request waits already.
    """
    row, now = require_address(connection, wanted.address), now_us()
    product = descriptor_of(row)
    if product.status is Status.RETIRED:
        raise Conflict(f"{product.address} is retired")
    port, major = port_of(product, wanted.address), wanted.address.major
    own = tables.binding.c
    lines = connection.execute(select(own.major).where(own.guid == row.guid, own.port == port)).scalars().all()
    findings = [unfit_name(reader)]
    if not lines or major not in {None, *lines}:
        findings.append(f"{wanted.address} is not a port of {product.address}")
    if wanted.until is not None and _microseconds(wanted.until) <= now:
        findings.append(f"{wanted.until.isoformat()} is past")
    if found := [each for each in findings if each]:
        raise RequestRefused(f"access cannot be asked for: {found[0]}", findings=tuple(found))
    asked = Asked(reader, row.guid, port, major)
    waiting = _newest(connection, asked, _OWN.state == GrantState.REQUESTED)
    if waiting is not None:
        raise Conflict(
            f"request {waiting} of {reader} for {wanted.address} waits already", hint=f"{row.owner} decides about it"
        )
    return _find(connection, _insert(connection, asked, wanted, caller))


def ask_by_declaration(connection: Connection, asked: Asked, address: Address, caller: str) -> int | None:
    """Record the request that an input port is, and return its number; None if this reader asked for that port before.

    What was refused, revoked or has ended is not asked for again by each registration.

    Args:
        connection: the writing transaction.
        asked: the product that declares the port, and the port.
        address: of the port, as the reader declares it.
        caller: the name of the caller who registers the reader.
    """
    if _newest(connection, asked) is not None:
        return None
    wanted = AccessRequest(address=address, purpose=f"an input port of {asked.reader}")
    return _insert(connection, asked, wanted, caller)


def decide(
    connection: Connection, number: int, approved: GrantApproval | None, *, reason: str | None, caller: str
) -> Grant:
    """Grant or refuse a request.

    Args:
        connection: the writing transaction.
        number: of the request.
        approved: how it is granted; None to refuse it.
        reason: of the decision.
        caller: the name of the caller who decides.

    Raises:
        NotInMesh: there is no such request.
        Conflict: it was decided already.
        RequestRefused: the grant would have no end, or one that is past.
    """
    row, now = _row(connection, number), now_us()
    if row.state != GrantState.REQUESTED:
        raise Conflict(f"request {number} of {row.reader} is {_state(row, now)} already", hint="ask anew")
    values: dict[str, Any] = {"state": GrantState.REFUSED}
    if approved is not None:
        ends_at = row.wanted_until if approved.until is None else _microseconds(approved.until)
        if ends_at is None:
            raise RequestRefused(f"request {number} names no end", hint="grant it until a day: --until 2027-12-31")
        if ends_at <= now:
            raise RequestRefused(f"{instant(ends_at).isoformat()} is past", hint="grant it until an instant to come")
        values = {"state": GrantState.GRANTED, "ends_at": ends_at}
    changed = _change(connection, number, values | {"decided_by": caller, "decided_at": now, "reason": reason})
    if approved is None:
        _record(connection, MeshChangeKind.REFUSED, number, "{reader} may not read {address}: {reason}")
    else:
        _record(
            connection, MeshChangeKind.GRANTED, number, "{reader} may read {address} until {until:%Y-%m-%d %H:%M} UTC"
        )
    return changed


def revoke(connection: Connection, number: int, *, reason: str, caller: str) -> Grant:
    """End a grant now.

    Raises:
        NotInMesh: there is no such request.
        Conflict: it is not granted, or has ended.
    """
    row, now = _row(connection, number), now_us()
    if (state := _state(row, now)) is not GrantState.GRANTED:
        raise Conflict(f"request {number} of {row.reader} is {state}, and not granted")
    changed = _change(connection, number, _revoked(caller, now, reason))
    _record(connection, MeshChangeKind.REVOKED, number, "{reader} may no longer read {address}: {reason}")
    return changed


def forget_reader(connection: Connection, reader: str) -> None:
    """Revoke everything that a product was granted or has asked for, because another product may get its address."""
    connection.execute(
        update(tables.access_grant)
        .where(_OWN.reader == reader, _OWN.state.in_([GrantState.REQUESTED, GrantState.GRANTED]))
        .values(**_revoked("registry", now_us(), DROPPED))
    )


def grants(
    connection: Connection, address: Address | None = None, *, reader: str | None = None, current: bool = False
) -> tuple[Grant, ...]:
    """Return requests and grants, newest first.

    Args:
        connection: to the database.
        address: of a product or a port; None for the whole mesh.
        reader: only those of this reader.
        current: only what is requested or granted now.

    Raises:
        NotInMesh: the product is not registered.
    """
    query, now = _ALL, now_us()
    if address is not None:
        query = query.where(_OWN.guid == require_address(connection, address).guid)
        if address.port is not None:
            query = query.where(_OWN.port == address.port)
        if address.major is not None:
            query = query.where(or_(_OWN.major.is_(None), _OWN.major == address.major))
    if reader is not None:
        query = query.where(_OWN.reader == reader)
    if current:
        query = query.where(or_(_OWN.state == GrantState.REQUESTED, _IN_FORCE))
    return tuple(_grant(row, now) for row in connection.execute(query, {"now": now} if current else {}))


def readers_by_product(connection: Connection) -> dict[str, frozenset[str]]:
    """Return the names of the readers that are granted a port of a product now, by the product's GUID."""
    found: dict[str, set[str]] = {}
    for guid, reader in connection.execute(_READERS_OF_ALL, {"now": now_us()}):
        found.setdefault(guid, set()).add(reader)
    return {guid: frozenset(readers) for guid, readers in found.items()}


def granted_readers(connection: Connection, guid: str) -> list[tuple[str, str, int | None]]:
    """Return the readers that grants let read a product now, each with the port, and with the major where it is for one."""
    return [(row.reader, row.port, row.major) for row in connection.execute(_READERS, {"guid": guid, "now": now_us()})]


def next_end(connection: Connection) -> int | None:
    """Return when the next grant ends, in microseconds since the epoch; None if none is in force."""
    found: int | None = connection.execute(_NEXT_END, {"now": now_us()}).scalar()
    return found


def _newest(connection: Connection, asked: Asked, *narrowed: ColumnElement[bool]) -> int | None:
    rows = (
        (_OWN.reader == asked.reader)
        & (_OWN.guid == asked.guid)
        & (_OWN.port == asked.port)
        & _OWN.major.is_not_distinct_from(asked.major)
    )
    found: int | None = connection.execute(select(func.max(_OWN.id)).where(rows, *narrowed)).scalar()
    return found


def _insert(connection: Connection, asked: Asked, wanted: AccessRequest, caller: str) -> int:
    values = {
        "purpose": wanted.purpose,
        "state": GrantState.REQUESTED,
        "requested_by": caller,
        "requested_at": now_us(),
        "wanted_until": None if wanted.until is None else _microseconds(wanted.until),
    }
    number: int = connection.execute(_INSERT, asked._asdict() | values).scalar_one()
    _record(connection, MeshChangeKind.ACCESS_REQUESTED, number, "{reader} asks to read {address}: {purpose}")
    return number


def _change(connection: Connection, number: int, values: dict[str, Any]) -> Grant:
    connection.execute(update(tables.access_grant).where(_OWN.id == number).values(**values))
    next_revision(connection)  # the decisions of every process depend on it
    return _find(connection, number)


def _record(connection: Connection, kind: MeshChangeKind, number: int, summary: str) -> None:
    """Record a change of a request; `summary` has its attributes in braces."""
    row, now = _row(connection, number), now_us()
    grant = _grant(row, now)
    words = summary.format(**dict(grant))
    facts = {"item": number, "reader": grant.reader, "until": grant.until}
    record(connection, MeshChange.of_product(kind, row, grant.address, words, **facts))


def _revoked(caller: str, now: int, reason: str) -> dict[str, Any]:
    return {"state": GrantState.REVOKED, "revoked_by": caller, "revoked_at": now, "reason": reason}


def _row(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(_NAMED, {"number": number}).one_or_none()
    if row is None:
        raise NotInMesh(f"there is no request {number}", hint="list them: meshport access list --all")
    return row


def _find(connection: Connection, number: int) -> Grant:
    return _grant(_row(connection, number), now_us())


def _state(row: Row[Any], now: int) -> GrantState:
    state = GrantState(row.state)
    return GrantState.ENDED if state is GrantState.GRANTED and row.ends_at <= now else state


def _grant(row: Row[Any], now: int) -> Grant:
    return Grant(
        id=row.id,
        reader=row.reader,
        address=Address(row.domain, row.name, row.port, row.major),
        owner=row.owner,
        purpose=row.purpose,
        state=_state(row, now),
        requested_by=row.requested_by,
        requested_at=instant(row.requested_at),
        wanted_until=_instant(row.wanted_until),
        decided_by=row.decided_by,
        decided_at=_instant(row.decided_at),
        until=_instant(row.ends_at),
        revoked_by=row.revoked_by,
        revoked_at=_instant(row.revoked_at),
        reason=row.reason,
    )


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else instant(microseconds)


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
