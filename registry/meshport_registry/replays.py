"""Replay jobs in the database: started by a reader of a port, approved by its owner where the port says so.

The registry knows of a job what its own process reports. Where the events of a job went is kept with its output, so that a
report that got lost, or a registry that does not answer, changes nothing of what is replayed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from meshport.address import Address
from meshport.replay_jobs import ReplayJob, ReplayProgress, ReplayRequest, ReplayState
from meshport_registry import tables
from meshport_registry.errors import Conflict, NotInMesh, RequestRefused
from meshport_registry.identity.caller import Caller
from meshport_registry.products import descriptor_of, of_address, require_address
from meshport_registry.store import instant, now_us

_AS_THEY_ARE: Final = ("topic", "topic_id", "where", "reader", "rate", "purpose", "output", "file")
_AS_JSON: Final = ("begins", "ends", "keys", "types", "readers")
MOST_WAITING: Final = 500
"""Jobs of one product that have not ended. More would be of a program that starts jobs and never ends them."""
_OWN: Final = tables.replay_job.c
_ALL: Final = (
    select(tables.replay_job, tables.product.c.domain, tables.product.c.name, tables.product.c.owner)
    .join(tables.product, tables.product.c.guid == _OWN.guid)
    .order_by(_OWN.asked_at.desc(), _OWN.job)
)
_NAMED: Final = _ALL.where(_OWN.job == bindparam("named"))
_ENDED: Final = (ReplayState.COMPLETE, ReplayState.CANCELLED)
_WAITING: Final = _OWN.state.not_in(_ENDED)


def start(connection: Connection, wanted: ReplayRequest, caller: Caller) -> ReplayJob:
    """Record a job. It may run at once, unless the port asks for the owner's approval.

    Args:
        connection: the writing transaction.
        wanted: what is to be replayed.
        caller: who starts it.

    Raises:
        NotInMesh: the product is not registered.
        RequestRefused: it has no such port.
        Conflict: the port is bound to another topic, or the product has `MOST_WAITING` jobs that have not ended.
    """
    address, row = wanted.address, require_address(connection, wanted.address)
    port = next(
        (each for each in descriptor_of(row).output_ports if (each.name, each.major) == (address.port, address.major)),
        None,
    )
    if port is None:
        raise RequestRefused(f"{address} is not a port of {address.of_product}", hint="name the port with its major")
    own = tables.binding.c
    bound = select(own.topic).where(own.guid == row.guid, own.port == port.name, own.major == port.major)
    if (topic := connection.execute(bound).scalar_one()) != wanted.topic:
        raise Conflict(f"{address} is bound to {topic}, not to {wanted.topic}", hint="start the replay again")
    waiting = select(func.count()).where(_OWN.guid == row.guid, _WAITING)
    if connection.execute(waiting).scalar_one() >= MOST_WAITING:
        raise Conflict(f"{MOST_WAITING} replays of {address.of_product} have not ended", hint="cancel some of them")
    job = uuid4().hex
    values = {
        **{name: getattr(wanted, name) for name in _AS_THEY_ARE},
        **{name: json.dumps(getattr(wanted, name)) for name in _AS_JSON},
        "job": job,
        "guid": row.guid,
        "port": port.name,
        "major": port.major,
        "since": _microseconds(wanted.since),
        "until": _microseconds(wanted.until),
        "state": ReplayState.REQUESTED if port.replay == "approval" else ReplayState.ACTIVE,
        "asked_by": caller.name,
        "asked_at": now_us(),
        "positions": json.dumps(wanted.begins),
        "events": 0,
        "unreadable": 0,
    }
    connection.execute(insert(tables.replay_job), values)
    return find(connection, job)


def approve(connection: Connection, job: str, caller: Caller) -> ReplayJob:
    """Let a job run that waits for the owner of its product.

    Raises:
        NotInMesh: there is no such job.
        Conflict: it does not wait for that.
    """
    return _moved(
        connection, job, ReplayState.ACTIVE, (ReplayState.REQUESTED,), approved_by=caller.name, approved_at=now_us()
    )


def pause(connection: Connection, job: str) -> ReplayJob:
    """Have the process that runs a job wait.

    Raises:
        NotInMesh: there is no such job.
        Conflict: it does not run.
    """
    return _moved(connection, job, ReplayState.PAUSED, (ReplayState.ACTIVE, ReplayState.PAUSED))


def resume(connection: Connection, job: str) -> ReplayJob:
    """Let a job that is paused go on.

    Raises:
        NotInMesh: there is no such job.
        Conflict: it has ended, or waits for the owner of its product.
    """
    return _moved(connection, job, ReplayState.ACTIVE, (ReplayState.ACTIVE, ReplayState.PAUSED))


def cancel(connection: Connection, job: str, reason: str, caller: Caller) -> ReplayJob:
    """End a job before it is complete. What it replayed stays.

    Raises:
        NotInMesh: there is no such job.
        Conflict: it has ended.
    """
    before = (ReplayState.REQUESTED, ReplayState.ACTIVE, ReplayState.PAUSED)
    ended = {"ended_by": caller.name, "ended_at": now_us(), "reason": reason}
    return _moved(connection, job, ReplayState.CANCELLED, before, **ended)


def note_progress(connection: Connection, job: str, progress: ReplayProgress) -> ReplayJob:
    """Note how far a job came, and return it: a process finds there whether it is to wait or to end.

    Raises:
        NotInMesh: there is no such job.
        RequestRefused: a partition is none of the job's.
    """
    row = _row(connection, job)
    if unknown := progress.positions.keys() - _offsets(row.begins).keys():
        raise RequestRefused(f"the job {job} has no partition {min(unknown)}")
    values: dict[str, Any] = {
        "positions": json.dumps(progress.positions),
        "events": progress.events,
        "unreadable": progress.unreadable,
        "reported_at": now_us(),
    }
    if progress.state is ReplayState.COMPLETE and row.state not in _ENDED:
        values |= {"state": ReplayState.COMPLETE, "ended_at": now_us()}
    connection.execute(update(tables.replay_job).where(_OWN.job == job).values(**values))
    return find(connection, job)


def find(connection: Connection, job: str) -> ReplayJob:
    """Return a job.

    Raises:
        NotInMesh: there is no such job.
    """
    return _job(_row(connection, job))


def jobs(
    connection: Connection,
    address: Address | None = None,
    *,
    ended: bool = False,
    limit: int = 1000,
    seen: Set[str] | None = None,
) -> tuple[ReplayJob, ...]:
    """Return jobs, newest first.

    Args:
        connection: to the database.
        address: of a product or a port; None for the whole mesh.
        ended: also those that have ended.
        limit: the number of jobs to return, at most.
        seen: only jobs of these products, each as `<domain>/<product>`; None for all.

    Raises:
        NotInMesh: the product is not registered.
    """
    query = _ALL
    if address is not None:
        query = of_address(connection, query, _OWN, address)
    if not ended:
        query = query.where(_WAITING)
    rows = connection.execute(query if seen is not None else query.limit(limit))
    found = (_job(row) for row in rows if seen is None or f"{row.domain}/{row.name}" in seen)
    return tuple(each for each, _ in zip(found, range(limit), strict=False))


def forget_jobs(connection: Connection, guid: str) -> None:
    """Delete the jobs of a product that is about to be removed."""
    connection.execute(delete(tables.replay_job).where(_OWN.guid == guid))


def _moved(
    connection: Connection, job: str, state: ReplayState, before: tuple[ReplayState, ...], **values: Any
) -> ReplayJob:
    row = _row(connection, job)
    if row.state not in before:
        raise Conflict(f"the replay {job} is {row.state}", hint=_HINTS.get(ReplayState(row.state)))
    connection.execute(update(tables.replay_job).where(_OWN.job == job).values(state=state, **values))
    return find(connection, job)


_HINTS: Final[Mapping[ReplayState, str]] = {
    ReplayState.REQUESTED: "the owner of the product approves it: `meshport replay approve`",
    ReplayState.COMPLETE: "start another one",
    ReplayState.CANCELLED: "start another one",
}


def _row(connection: Connection, job: str) -> Row[Any]:
    row = connection.execute(_NAMED, {"named": job}).one_or_none()
    if row is None:
        raise NotInMesh(f"there is no replay {job}", hint="list them: meshport replay list --all")
    return row


def _job(row: Row[Any]) -> ReplayJob:
    return ReplayJob(
        job=row.job,
        owner=row.owner,
        address=Address(row.domain, row.name, row.port, row.major),
        since=_instant(row.since),
        until=_instant(row.until),
        **{name: json.loads(getattr(row, name)) for name in _AS_JSON},
        **{name: getattr(row, name) for name in _AS_THEY_ARE},
        state=ReplayState(row.state),
        asked_by=row.asked_by,
        asked_at=instant(row.asked_at),
        approved_by=row.approved_by,
        approved_at=_instant(row.approved_at),
        ended_by=row.ended_by,
        ended_at=_instant(row.ended_at),
        reason=row.reason,
        positions=_offsets(row.positions),
        events=row.events,
        unreadable=row.unreadable,
        reported_at=_instant(row.reported_at),
    )


def _offsets(text: str) -> dict[int, int]:
    return {int(partition): offset for partition, offset in json.loads(text).items()}


def _instant(value: int | None) -> datetime | None:
    return None if value is None else instant(value)


def _microseconds(value: datetime | None) -> int | None:
    return None if value is None else round(value.timestamp() * 1e6)
