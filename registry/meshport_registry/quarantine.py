"""The newest quarantined and late events of processors, as the observer reported them last, and what a caller may see of them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection
from starlette.requests import Request

from meshport.address import Address
from meshport.policy import Action
from meshport.quarantine_report import QuarantineReport
from meshport_registry import tables
from meshport_registry.errors import NotInMesh, RequestRefused
from meshport_registry.line_reports import LineReports, line_of
from meshport_registry.products import find_address
from meshport_registry.rights.guard import Guard
from meshport_registry.store import RegistryStore

__all__ = ["find_quarantine", "for_caller", "keep_quarantine", "require_quarantine"]

_REPORTS: Final = LineReports(tables.quarantine, "report", QuarantineReport)


def keep_quarantine(connection: Connection, address: Address, report: QuarantineReport) -> QuarantineReport:
    """Keep a report in place of an older one of its line, and return the one that is kept.

    Args:
        connection: the writing transaction.
        address: of the port; without a major it is the live one.
        report: as the observer sends it.

    Raises:
        NotInMesh: the mesh has no such port.
        RequestRefused: the report is of another port.
    """
    guid, binding = line_of(connection, address)
    if report.address != binding.address:
        raise RequestRefused(f"the report is of {report.address}, and {binding.address} is named")
    before = _REPORTS.find(connection, guid, binding)
    if before is not None and before.at >= report.at:
        return before
    _REPORTS.replace(connection, guid, binding, report)
    return report


def find_quarantine(connection: Connection, address: Address) -> QuarantineReport | None:
    """Return the report of a port, whatever a caller may see of it; None where no observer sent one.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port; without a major it is the live one.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    return _REPORTS.find(connection, *line_of(connection, address))


def require_quarantine(connection: Connection, address: Address) -> QuarantineReport:
    """Return the report of a port, whatever a caller may see of it.

    Raises:
        NotInMesh: the mesh has no such port, or no observer sent a report of it.
    """
    found = find_quarantine(connection, address)
    if found is None:
        raise NotInMesh(f"no observer reported the quarantine of {address}", hint="`meshport observe` does")
    return found


async def for_caller(request: Request, store: RegistryStore, report: QuarantineReport) -> QuarantineReport:
    """Return what the caller of a request may see of a report: no data of products that this caller may not read."""
    guard: Guard = request.app.state.guard
    registered = await store.read(
        lambda c: [each for each in sorted(report.products) if find_address(c, each) is not None]
    )
    readable = {each for each in registered if await guard.may_do(request, Action.READ, each)}
    return report.for_reader_of(readable)
