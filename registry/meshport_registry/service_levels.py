"""Measured service levels: what an observer reports of a port, how it was before, and the part that bindings carry.

Every report replaces the one before. Its history is bounded: a report of each five minutes and every change of a state, the
newest thousand of a line. A binding carries the states alone, for an hour: it is written anew when a state changes, or after
half of that time, so that the readers of a port are not sent a new binding with every report.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, tuple_, update

from meshport.address import Address
from meshport.binding import Binding
from meshport.service_levels import LevelHistory, LevelPage, LevelState, LevelSummary, MeasuredLevels, PortLevels, worst
from meshport_registry import tables
from meshport_registry.lifecycle import next_revision
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.store import instant, now_us

__all__ = ["history", "levels_of", "list_levels", "report"]

KEPT: Final = 1000
"""How many earlier reports of a line are kept."""
_APART: Final = timedelta(minutes=5)
_IN_BINDING: Final = timedelta(hours=1)
_LATEST: Final = tables.service_level
_HISTORY: Final = tables.service_level_history


def report(connection: Connection, address: Address, measured: MeasuredLevels) -> PortLevels:
    """Take what was measured of a port; a report that is older than the last one changes nothing.

    Raises:
        NotInMesh: the mesh has no such port.
        Retired: the line is retired.
    """
    guid, binding = _line(connection, address)
    key = {"guid": guid, "port": binding.address.port, "major": binding.address.major}
    found = connection.execute(select(_LATEST).where(_of(_LATEST, key))).one_or_none()
    at = _micros(measured.at)
    if found is not None and at <= found.at:
        return _levels(binding.address, found)
    before = None if found is None else MeasuredLevels.model_validate_json(found.report)
    summary = None if found is None else LevelSummary.model_validate_json(found.summary)
    values = {"at": at, "report": measured.model_dump_json()}
    if summary is None or _is_outdated(summary, measured):
        values["summary"] = _summary(measured).model_dump_json()
        product = tables.product
        changed = update(product).where(product.c.guid == guid)
        connection.execute(changed.values(revision=next_revision(connection)))
    if found is None:
        connection.execute(insert(_LATEST), key | values)
    else:
        connection.execute(update(_LATEST).where(_of(_LATEST, key)).values(**values))
    _remember(connection, key, measured, before)
    return PortLevels(address=binding.address, state=measured.state, report=measured)


def _remember(
    connection: Connection, key: dict[str, Any], measured: MeasuredLevels, before: MeasuredLevels | None
) -> None:
    own = _of(_HISTORY, key)
    newest = connection.execute(select(func.max(_HISTORY.c.at)).where(own)).scalar()
    at = _micros(measured.at)
    if before is None or newest is None or _states(before) != _states(measured) or _apart(newest, measured.at):
        connection.execute(insert(_HISTORY), key | {"at": at, "report": measured.model_dump_json()})
        last = select(_HISTORY.c.at).where(own).order_by(_HISTORY.c.at.desc()).offset(KEPT).limit(1)
        if (oldest := connection.execute(last).scalar()) is not None:
            connection.execute(delete(_HISTORY).where(own, _HISTORY.c.at <= oldest))


def levels_of(connection: Connection, address: Address) -> PortLevels:
    """Return what was measured last of a port; unknown where that was too long ago.

    Raises:
        NotInMesh: the mesh has no such port.
        Retired: the line is retired.
    """
    guid, binding = _line(connection, address)
    key = {"guid": guid, "port": binding.address.port, "major": binding.address.major}
    found = connection.execute(select(_LATEST).where(_of(_LATEST, key))).one_or_none()
    return PortLevels(address=binding.address) if found is None else _levels(binding.address, found)


def history(connection: Connection, address: Address, limit: int) -> LevelHistory:
    """Return the earlier reports of a port, newest first.

    Raises:
        NotInMesh: the mesh has no such port.
        Retired: the line is retired.
    """
    guid, binding = _line(connection, address)
    key = {"guid": guid, "port": binding.address.port, "major": binding.address.major}
    rows = connection.execute(
        select(_HISTORY.c.report).where(_of(_HISTORY, key)).order_by(_HISTORY.c.at.desc()).limit(limit)
    ).scalars()
    reports = tuple(MeasuredLevels.model_validate_json(each) for each in rows)
    return LevelHistory(address=binding.address, reports=reports)


def list_levels(connection: Connection, *, offset: int, limit: int, seen: Set[str] | None = None) -> LevelPage:
    """Return a page of the ports that were ever measured, by address.

    Args:
        connection: to the database.
        offset: the number of ports before the page.
        limit: the number of ports of the page, at most.
        seen: only ports of these products, each as `<domain>/<product>`; None for all.
    """
    own, product = _LATEST.c, tables.product
    query = (
        select(_LATEST, product.c.domain, product.c.name)
        .join(product, product.c.guid == own.guid)
        .order_by(product.c.domain, product.c.name, own.port, own.major)
    )
    if seen is None:
        total = connection.execute(select(func.count()).select_from(_LATEST)).scalar_one()
        rows = connection.execute(query.offset(offset).limit(limit))
    else:
        lines = connection.execute(
            query.with_only_columns(own.guid, own.port, own.major, product.c.domain, product.c.name)
        )
        keys = [(each.guid, each.port, each.major) for each in lines if f"{each.domain}/{each.name}" in seen]
        total = len(keys)
        page = tuple_(own.guid, own.port, own.major).in_(keys[offset : offset + limit])
        rows = connection.execute(query.where(page))
    items = tuple(_levels(Address(each.domain, each.name, each.port, each.major), each) for each in rows)
    return LevelPage(total=total, items=items)


def _line(connection: Connection, address: Address) -> tuple[str, Binding]:
    row = require_address(connection, address)
    return row.guid, choose_binding(bindings_of(connection, row, DefaultCluster()), address)


def _levels(address: Address, row: Row[Any]) -> PortLevels:
    measured = MeasuredLevels.model_validate_json(row.report).at_time(instant(now_us()))
    return PortLevels(address=address, state=measured.state, report=measured)


def _of(table: Any, key: dict[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in key.items()))


def _summary(measured: MeasuredLevels) -> LevelSummary:
    states = {each.name(): each.state for each in measured.levels}
    since = max((each.since for each in measured.levels), default=measured.at)
    return LevelSummary(state=worst(states.values()), since=since, valid_until=measured.at + _IN_BINDING, levels=states)


def _is_outdated(summary: LevelSummary, measured: MeasuredLevels) -> bool:
    states = {each.name(): each.state for each in measured.levels}
    return summary.levels != states or summary.valid_until - measured.at < _IN_BINDING / 2


def _states(measured: MeasuredLevels) -> Sequence[LevelState]:
    return [each.state for each in measured.levels]


def _apart(before_us: int, now: datetime) -> bool:
    return now - instant(before_us) >= _APART


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
