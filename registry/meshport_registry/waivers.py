"""Waivers: approvals of one breaking change of one port, valid through a day.

A waiver is never deleted. It expires after its day, or is revoked.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from meshport.address import Address, nearest
from meshport.catalog import Waiver, WaiverRequest
from meshport.compat import RULES
from meshport.rfc3339 import day
from meshport_registry import changes, tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind, end_of
from meshport_registry.errors import NotInMesh, RequestRefused
from meshport_registry.identity.caller import Caller
from meshport_registry.products import find_address, require_address
from meshport_registry.store import instant, now_us

# What is to pass for longer than a year is a new contract: a new major, or another compatibility level.
LONGEST: Final = timedelta(days=366)
_INSERT: Final = insert(tables.waiver).returning(tables.waiver.c.id)
_ALL: Final = (
    select(tables.waiver, tables.product.c.domain, tables.product.c.name)
    .join(tables.product, tables.product.c.guid == tables.waiver.c.guid)
    .order_by(tables.waiver.c.id.desc())
)


def record(connection: Connection, wanted: WaiverRequest, today: date, caller: Caller) -> Waiver:
    """Record a waiver.

    Args:
        connection: the writing transaction.
        wanted: the change, its approver, and the last day of the waiver.
        today: the current day (UTC).
        caller: records it. It is the approver if it is known; otherwise the request names one.

    Raises:
        RequestRefused: the approver is not known, or is not the caller; the port or the rule does not exist, the rule
            cannot be waived, or the day is past or more than `LONGEST` away.
    """
    address = wanted.address
    approver = wanted.approver if caller.by == "anonymous" else caller.name
    findings = [*_unfit(wanted, today)]
    if approver is None:
        findings.append("the waiver has no approver, and this registry does not know who asks")
    elif wanted.approver not in {None, approver}:
        findings.append(f"the approver is the caller, {approver}, and not {wanted.approver!r}")
    row = find_address(connection, address)
    if address.major is not None:
        known = [] if row is None else _lines(connection, row)
        if address not in known:
            others = f"; there are {', '.join(map(str, known))}" if known else ""
            findings.append(f"{address} is not registered{others}")
    if findings or row is None:
        raise RequestRefused(f"the waiver cannot be recorded: {findings[0]}", findings=tuple(findings))
    number = connection.execute(
        _INSERT,
        {
            "guid": row.guid,
            "port": address.port,
            "major": address.major,
            "rule": wanted.rule,
            "path": wanted.path,
            "approver": approver,
            "reason": wanted.reason,
            "until": wanted.until.isoformat(),
            "created_at": now_us(),
        },
    ).scalar_one()
    waiver = _find(connection, number)
    summary = f"{approver} waives {wanted.rule} at {wanted.path or address} until {wanted.until}: {wanted.reason}"
    changes.record(connection, _change(MeshChangeKind.WAIVED, row, waiver, summary))
    return waiver


def _change(kind: MeshChangeKind, product: Row[Any], waiver: Waiver, summary: str) -> MeshChange:
    return MeshChange.of_product(kind, product, waiver.address, summary, item=waiver.id, until=end_of(waiver.until))


def _lines(connection: Connection, row: Row[Any]) -> list[Address]:
    own = tables.binding.c
    lines = connection.execute(select(own.port, own.major).where(own.guid == row.guid).order_by(own.position))
    return [Address(row.domain, row.name, port, major) for port, major in lines]


def _unfit(wanted: WaiverRequest, today: date) -> list[str]:
    findings = []
    if wanted.address.major is None:
        findings.append(f"{wanted.address} names no major; a waiver is for one port, as in {_example(wanted.address)}")
    rule = RULES.get(wanted.rule)
    if rule is None:
        near = nearest(wanted.rule, list(RULES))
        findings.append(f"{wanted.rule!r} is no rule of the gate" + (f"; did you mean {near}?" if near else ""))
    elif not rule.waivable:
        findings.append(f"{rule.id} cannot be waived: {rule.purpose}")
    if wanted.until < today:
        findings.append(f"{wanted.until} is past; today is {today} (UTC)")
    elif wanted.until - today > LONGEST:
        findings.append(
            f"{wanted.until} is more than {LONGEST.days} days away; the last day that can be is {today + LONGEST}"
        )
    return findings


def _example(address: Address) -> Address:
    return Address(address.domain, address.product, address.port or "events", 1)


def waivers(connection: Connection, address: Address | None = None) -> tuple[Waiver, ...]:
    """Return every waiver that was ever recorded, newest first.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port; None for the whole mesh.

    Raises:
        NotInMesh: the product is not registered.
    """
    query, own = _ALL, tables.waiver.c
    if address is not None:
        query = query.where(own.guid == require_address(connection, address).guid)
        if address.port is not None:
            query = query.where(own.port == address.port)
        if address.major is not None:
            query = query.where(own.major == address.major)
    return tuple(_waiver(row) for row in connection.execute(query))


def revoke(connection: Connection, number: int) -> Waiver:
    """Revoke a waiver. Revoking it again changes nothing.

    Raises:
        NotInMesh: no waiver has this number.
    """
    own = tables.waiver
    open_one = (own.c.id == number) & own.c.revoked_at.is_(None)
    revoked = connection.execute(update(own).where(open_one).values(revoked_at=now_us())).rowcount
    waiver = _find(connection, number)
    if revoked:
        product, summary = require_address(connection, waiver.address), f"the waiver of {waiver.rule} is revoked"
        changes.record(connection, _change(MeshChangeKind.WAIVER_REVOKED, product, waiver, summary))
    return waiver


def _find(connection: Connection, number: int) -> Waiver:
    row = connection.execute(_ALL.where(tables.waiver.c.id == number)).one_or_none()
    if row is None:
        raise NotInMesh(f"there is no waiver {number}", hint="list them: GET /api/v1/waivers")
    return _waiver(row)


def _waiver(row: Row[Any]) -> Waiver:
    return Waiver(
        id=row.id,
        address=Address(row.domain, row.name, row.port, row.major),
        rule=row.rule,
        path=row.path,
        approver=row.approver,
        reason=row.reason,
        until=day(row.until),
        created_at=instant(row.created_at),
        revoked_at=None if row.revoked_at is None else instant(row.revoked_at),
    )
