"""Problem reports in the database: opened by a reader of a product, answered and closed by its owner.

A report stays while its product is registered. Readers of the product get news of it by `mesh://mesh/changes`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from meshport.address import Address
from meshport.problems import ProblemAnswer, ProblemReport, ProblemReportRequest, ProblemState
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict, Forbidden, NotInMesh, RequestRefused
from meshport_registry.identity.caller import Caller
from meshport_registry.products import of_address, require_address
from meshport_registry.store import instant, now_us

MOST_OPEN: Final = 500
"""Reports of one product that are not closed. More would be of a program, and leave its owner no way to read them."""
MOST_ANSWERS: Final = 100
"""Answers to one report."""
_OWN: Final = tables.problem_report.c
_INSERT: Final = insert(tables.problem_report).returning(_OWN.id)
_ALL: Final = (
    select(tables.problem_report, tables.product.c.domain, tables.product.c.name, tables.product.c.owner)
    .join(tables.product, tables.product.c.guid == _OWN.guid)
    .order_by(_OWN.id.desc())
)
_NAMED: Final = _ALL.where(_OWN.id == bindparam("number"))
_NOT_CLOSED: Final = _OWN.state != ProblemState.CLOSED


def open_report(connection: Connection, wanted: ProblemReportRequest, caller: Caller) -> ProblemReport:
    """Record a report.

    Args:
        connection: the writing transaction.
        wanted: what is wrong with which product.
        caller: who reports it.

    Raises:
        NotInMesh: the product is not registered.
        RequestRefused: it has no such port.
        Conflict: the product has `MOST_OPEN` reports already that are not closed.
    """
    address, row = wanted.address, require_address(connection, wanted.address)
    own = tables.binding.c
    majors = connection.execute(select(own.major).where(own.guid == row.guid, own.port == address.port)).scalars().all()
    if address.port is not None and (not majors or address.major not in {None, *majors}):
        raise RequestRefused(f"{address} is not a port of {address.of_product}")
    waiting = select(func.count()).where(_OWN.guid == row.guid, _NOT_CLOSED)
    if connection.execute(waiting).scalar_one() >= MOST_OPEN:
        raise Conflict(
            f"{address.of_product} has {MOST_OPEN} reports that are not closed",
            hint=f"its owner, {row.owner}, closes them first",
        )
    values = {
        "guid": row.guid,
        "port": address.port,
        "major": address.major,
        "title": wanted.title,
        "text": wanted.text,
        "state": ProblemState.OPEN,
        "opened_by": caller.name,
        "opened_at": now_us(),
    }
    number = connection.execute(_INSERT, values).scalar_one()
    return _recorded(
        connection, MeshChangeKind.PROBLEM_OPENED, number, f"problem {number} of {address}: {wanted.title}"
    )


def answer_report(connection: Connection, number: int, text: str, caller: Caller) -> ProblemReport:
    """Record an answer to a report.

    Raises:
        NotInMesh: there is no such report.
        Conflict: it is closed, or has `MOST_ANSWERS` answers.
    """
    row = _open_row(connection, number)
    answers = tables.problem_answer
    count = connection.execute(select(func.count()).where(answers.c.report == number)).scalar_one()
    if count >= MOST_ANSWERS:
        raise Conflict(f"problem {number} has {MOST_ANSWERS} answers", hint="close it")
    values = {"report": number, "text": text, "answered_by": caller.name, "answered_at": now_us()}
    connection.execute(insert(answers), values)
    _change(connection, number, state=ProblemState.ANSWERED)
    summary = f"problem {number} of {_address(row)} is answered: {text}"
    return _recorded(connection, MeshChangeKind.PROBLEM_ANSWERED, number, summary)


def close_report(connection: Connection, number: int, reason: str, caller: Caller) -> ProblemReport:
    """Close a report.

    Raises:
        NotInMesh: there is no such report.
        Conflict: it is closed already.
    """
    row = _open_row(connection, number)
    _change(connection, number, state=ProblemState.CLOSED, closed_by=caller.name, closed_at=now_us(), reason=reason)
    summary = f"problem {number} of {_address(row)} is closed: {reason}"
    return _recorded(connection, MeshChangeKind.PROBLEM_CLOSED, number, summary)


def withdraw_report(connection: Connection, number: int, reason: str, caller: Caller) -> ProblemReport:
    """Close a report by the caller who opened it.

    Raises:
        NotInMesh: there is no such report.
        Forbidden: another caller opened it.
        Conflict: it is closed already.
    """
    opened_by = _row(connection, number).opened_by
    if opened_by != caller.name:
        raise Forbidden(f"{opened_by} opened problem {number}", hint="the owner of the product closes it")
    return close_report(connection, number, reason, caller)


def reports(
    connection: Connection,
    address: Address | None = None,
    *,
    closed: bool = True,
    limit: int = 1000,
    seen: Set[str] | None = None,
) -> tuple[ProblemReport, ...]:
    """Return reports, newest first.

    Args:
        connection: to the database.
        address: of a product or a port; None for the whole mesh.
        closed: also those that are closed.
        limit: the number of reports to return, at most.
        seen: only reports on these products, each as `<domain>/<product>`; None for all.

    Raises:
        NotInMesh: the product is not registered.
    """
    query = _ALL
    if address is not None:
        query = of_address(connection, query, _OWN, address)
    if not closed:
        query = query.where(_NOT_CLOSED)
    if seen is None:
        return _reports(connection, connection.execute(query.limit(limit)).all())
    visible = (row for row in connection.execute(query) if f"{row.domain}/{row.name}" in seen)
    return _reports(connection, list(islice(visible, limit)))


def forget_reports(connection: Connection, guid: str) -> None:
    """Delete the reports of a product that is about to be removed."""
    own = select(_OWN.id).where(_OWN.guid == guid)
    connection.execute(delete(tables.problem_answer).where(tables.problem_answer.c.report.in_(own)))
    connection.execute(delete(tables.problem_report).where(_OWN.guid == guid))


def _recorded(connection: Connection, kind: MeshChangeKind, number: int, summary: str) -> ProblemReport:
    row = _row(connection, number)
    record(connection, MeshChange.of_product(kind, row, _address(row), summary, item=number))
    (found,) = _reports(connection, [row])
    return found


def _change(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(update(tables.problem_report).where(_OWN.id == number).values(**values))


def _row(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(_NAMED, {"number": number}).one_or_none()
    if row is None:
        raise NotInMesh(f"there is no problem {number}", hint="list them: meshport problems list --all")
    return row


def _open_row(connection: Connection, number: int) -> Row[Any]:
    row = _row(connection, number)
    if row.state == ProblemState.CLOSED:
        raise Conflict(f"problem {number} is closed already", hint="open another one")
    return row


def _address(row: Row[Any]) -> Address:
    return Address(row.domain, row.name, row.port, row.major)


def _reports(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[ProblemReport, ...]:
    own = tables.problem_answer
    answers: defaultdict[int, list[ProblemAnswer]] = defaultdict(list)
    numbers = [row.id for row in rows]
    for each in connection.execute(select(own).where(own.c.report.in_(numbers)).order_by(own.c.id)):
        answered = ProblemAnswer(text=each.text, answered_by=each.answered_by, answered_at=instant(each.answered_at))
        answers[each.report].append(answered)
    return tuple(
        ProblemReport(
            id=row.id,
            address=_address(row),
            owner=row.owner,
            title=row.title,
            text=row.text,
            state=ProblemState(row.state),
            opened_by=row.opened_by,
            opened_at=instant(row.opened_at),
            answers=tuple(answers[row.id]),
            closed_by=row.closed_by,
            closed_at=None if row.closed_at is None else instant(row.closed_at),
            reason=row.reason,
        )
        for row in rows
    )
