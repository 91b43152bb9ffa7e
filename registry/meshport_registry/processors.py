"""The processors of derived products, as the observer reported them last. The registry itself asks no broker."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from meshport.address import Address
from meshport.processor_reports import ProcessorReport, ProcessorState, ProcessorStatus
from meshport_registry import tables
from meshport_registry.errors import RequestRefused
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, descriptor_of, require_address
from meshport_registry.store import instant, now_us

__all__ = ["keep_processor", "processor_of", "processors_of"]

_OWN: Final = tables.processor.c
_PER_QUERY: Final = 500


def keep_processor(connection: Connection, address: Address, report: ProcessorReport) -> ProcessorStatus:
    """Keep a report in place of an older one of its line, and return what is known of the processor then.

    Args:
        connection: the writing transaction.
        address: of the port; without a major it is the live one.
        report: as the observer sends it.

    Raises:
        NotInMesh: the mesh has no such port.
        RequestRefused: the product declares no process, or the report ends before it begins.
    """
    row = require_address(connection, address)
    line = choose_binding(bindings_of(connection, row, DefaultCluster()), address).address
    if descriptor_of(row).process is None:
        raise RequestRefused(f"{line.of_product} declares no `process`, and a report of its processor came")
    if report.valid_until < report.at:
        raise RequestRefused(f"the report of {report.at.isoformat()} is valid until {report.valid_until.isoformat()}")
    own = (_OWN.guid == row.guid) & (_OWN.port == line.port) & (_OWN.major == line.major)
    found = connection.execute(select(_OWN.since, _OWN.report).where(own)).one_or_none()
    since = _micros(report.at)
    if found is not None:
        before = ProcessorReport.model_validate_json(found.report)
        if before.at >= report.at:
            return _status(line, before, found.since)
        if before.state is report.state and before.group == report.group and report.at <= before.valid_until:
            since = found.since
        connection.execute(delete(tables.processor).where(own))
    key = {"guid": row.guid, "port": line.port, "major": line.major}
    connection.execute(insert(tables.processor), key | {"since": since, "report": report.model_dump_json()})
    return _status(line, report, since)


def processor_of(connection: Connection, address: Address) -> ProcessorStatus:
    """Return what was observed last of the processor of a port; `unknown` without a report where none came.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port; without a major it is the live one.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    row = require_address(connection, address)
    line = choose_binding(bindings_of(connection, row, DefaultCluster()), address).address
    return processors_of(connection, {row.guid: line}).get(row.guid, ProcessorStatus(address=line))


def processors_of(connection: Connection, lines: Mapping[str, Address]) -> dict[str, ProcessorStatus]:
    """Return what was observed last of the processors of lines, by GUID; those that none reported are left out.

    Args:
        connection: to the database.
        lines: the address of a line, with port and major, of each product by its GUID.
    """
    found: dict[str, ProcessorStatus] = {}
    for some in _batches(lines):
        for row in connection.execute(select(tables.processor).where(_OWN.guid.in_(some))):
            line = lines[row.guid]
            if (row.port, row.major) == (line.port, line.major):
                found[row.guid] = _status(line, ProcessorReport.model_validate_json(row.report), row.since)
    return found


def _batches(guids: Collection[str]) -> list[list[str]]:
    every = list(guids)
    return [every[start : start + _PER_QUERY] for start in range(0, len(every), _PER_QUERY)]


def _status(line: Address, report: ProcessorReport, since_us: int) -> ProcessorStatus:
    state: ProcessorState = report.state_at(instant(now_us()))
    return ProcessorStatus(address=line, state=state, since=instant(since_us), report=report)


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
