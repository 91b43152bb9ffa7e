"""The generations of a port: opened, held, bound, given up and retired. Writes run in the writing transaction.

The one that is bound stands in `binding`, and a first one nowhere else until it is replaced. At most one is being built.
Whoever builds it holds it, for a time that the registry's clock measures; only a holder can have the address bound to
it, so that one who was stopped for longer than its time cannot come back and do so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from meshport.address import Address, topic_name
from meshport.binding import Binding
from meshport.generations import (
    Generation,
    Generations,
    GenerationState,
    Hold,
    HoldRequest,
    OpenGeneration,
    Phase,
    Switch,
)
from meshport.product import Status
from meshport_registry import tables
from meshport_registry.errors import Conflict, NotInMesh, Refused
from meshport_registry.lifecycle import next_revision
from meshport_registry.products import Cluster, bindings_of, choose, require_address
from meshport_registry.store import now_us

_OWN: Final = tables.generation.c
_OF_LINE: Final = (
    select(tables.generation)
    .where(_OWN.guid == bindparam("guid"), _OWN.port == bindparam("port"), _OWN.major == bindparam("major"))
    .order_by(_OWN.number)
)
_SECOND: Final = 1_000_000


class _Line:
    """One port's major with its generations.

    Args:
        connection: to the database.
        address: of a product, a port or a line.

    Raises:
        NotInMesh: there is no such line.
        Conflict: it is retired.
    """

    def __init__(self, connection: Connection, address: Address) -> None:
        self._connection = connection
        self.product = require_address(connection, address)
        self.binding = choose(bindings_of(connection, self.product, Cluster()), address)
        if self.binding.status is Status.RETIRED:
            raise Conflict(f"{self.binding.address} is retired")
        self.address = self.binding.address
        self._key = {"guid": self.product.guid, "port": self.address.port, "major": self.address.major}
        self.rows = connection.execute(_OF_LINE, self._key).all()

    @property
    def building(self) -> Row[Any] | None:
        """The row of the generation that is being built."""
        return next((each for each in self.rows if each.state == GenerationState.BUILDING), None)

    def row(self, number: int) -> Row[Any]:
        """One generation's row.

        Raises:
            NotInMesh: there is none of this number, or it is a first one that is bound still.
        """
        found = next((each for each in self.rows if each.number == number), None)
        if found is None:
            there = ", ".join(str(each.number) for each in self.rows) or "none but the one that is bound"
            raise NotInMesh(f"{self.address} has no rebuilt generation {number}", hint=f"it has {there}")
        return found

    def held(self, number: int, holder: str) -> Row[Any]:
        """The row of a generation that is being built by this holder.

        Raises:
            NotInMesh: there is none of this number.
            Conflict: it is not being built any more, or the hold has ended.
        """
        row = self.row(number)
        if row.state != GenerationState.BUILDING:
            raise Conflict(f"generation {number} of {self.address} is {row.state}, it is not being built")
        if row.holder != holder or row.held_until <= now_us():
            raise Conflict(
                f"generation {number} of {self.address} is not held by {holder} any more",
                hint="it did not renew its hold in time; begin again",
            )
        return row

    def change(self, number: int, **values: Any) -> None:
        """Change a generation's row."""
        own = (_OWN[name] == value for name, value in (self._key | {"number": number}).items())
        self._connection.execute(update(tables.generation).where(*own).values(**values))

    def add(self, number: int, **values: Any) -> None:
        """Add a generation's row."""
        self._connection.execute(insert(tables.generation), self._key | {"number": number} | values)

    def bind(self, number: int, topic: str) -> None:
        """Bind the address to a generation, and tell every node that the product changed."""
        own = tables.binding
        rows = (own.c.guid == self.product.guid) & (own.c.port == self.address.port)
        rows &= own.c.major == self.address.major
        self._connection.execute(update(own).where(rows).values(topic=topic, generation=number))
        self.touch()

    def touch(self) -> None:
        """Tell every node that the product changed."""
        product = tables.product
        values = {"revision": next_revision(self._connection), "updated_at": now_us()}
        self._connection.execute(update(product).where(product.c.guid == self.product.guid).values(**values))


def generations(connection: Connection, address: Address) -> Generations:
    """Every generation of a port.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    return _told(_Line(connection, address))


def _told(line: _Line) -> Generations:
    found = [
        Generation(
            number=each.number,
            topic=each.topic,
            state=GenerationState(each.state),
            made_by=each.made_by,
            created_at=_instant(each.created_at),
            ended_at=None if each.ended_at is None else _instant(each.ended_at),
        )
        for each in line.rows
    ]
    if all(each.number != line.binding.generation for each in found):
        first = Generation(
            number=line.binding.generation,
            topic=line.binding.topic,
            state=GenerationState.LIVE,
            created_at=_instant(line.product.created_at),
        )
        found.append(first)
    hold = None
    if (row := line.building) is not None and row.holder and (left := row.held_until - now_us()) > 0:
        hold = Hold(number=row.number, phase=Phase(row.phase), expires_in_s=left / _SECOND)
    ordered = tuple(sorted(found, key=lambda each: each.number))
    return Generations(address=line.address, generations=ordered, hold=hold)


def open_generation(connection: Connection, address: Address, wanted: OpenGeneration) -> Generations:
    """Begin a generation beside the one that is bound, or go on with one that the same logic began; the holder has it then.

    One that was begun by another logic is abandoned: its outputs would be partly of the one, partly of the other.

    Raises:
        NotInMesh: the mesh has no such port.
        Conflict: somebody else is at it; or the port is retired.
    """
    line = _Line(connection, address)
    hold = {"holder": wanted.holder, "phase": Phase.BUILD, "held_until": now_us() + int(wanted.seconds * _SECOND)}
    if (row := line.building) is not None:
        if row.holder not in {None, wanted.holder} and (left := row.held_until - now_us()) > 0:
            raise Conflict(
                f"generation {row.number} of {line.address} is being built by {row.holder}",
                hint=f"its hold ends in {left / _SECOND:.1f} s unless it is alive and renews it",
            )
        if row.made_by == wanted.made_by:
            line.change(row.number, **hold)
            return generations(connection, line.address)
        line.change(row.number, state=GenerationState.ABANDONED, ended_at=now_us(), holder=None)
    number = max(line.binding.generation, *(each.number for each in line.rows), 1) + 1
    line.add(
        number,
        topic=topic_name(line.address, generation=number),
        state=GenerationState.BUILDING,
        made_by=wanted.made_by,
        created_at=now_us(),
        **hold,
    )
    return generations(connection, line.address)


def hold_generation(connection: Connection, address: Address, number: int, wanted: HoldRequest) -> Generations:
    """Hold on to a generation that one is building, and say what one does.

    Raises:
        NotInMesh: there is no such generation.
        Conflict: the hold had ended.
    """
    line = _Line(connection, address)
    line.held(number, wanted.holder)
    line.change(number, phase=wanted.phase, held_until=now_us() + int(wanted.seconds * _SECOND))
    return generations(connection, line.address)


def release_generation(connection: Connection, address: Address, number: int, holder: str) -> Generations:
    """Let go of a generation; it stays as it is, for who goes on with it. Who does not hold it changes nothing."""
    line = _Line(connection, address)
    row = line.row(number)
    if row.holder == holder:
        line.change(number, holder=None, phase=None, held_until=None)
    return generations(connection, line.address)


def switch_generation(
    connection: Connection, address: Address, number: int, wanted: Switch, cluster: Cluster
) -> Binding:
    """Bind an address to the generation that was built. Asked again after the answer was lost, it answers the same.

    Raises:
        NotInMesh: there is no such generation.
        Conflict: whoever asks does not hold it in the phase `handover`.
        Refused: a partition is missing in the places.
    """
    line = _Line(connection, address)
    if line.binding.generation != number:
        row = line.held(number, wanted.holder)
        if row.phase != Phase.HANDOVER:
            raise Conflict(f"generation {number} of {line.address} is held to be built, its processors still run")
        partitions = set(range(line.binding.partitions))
        if not (set(wanted.ends) == set(wanted.begins) == partitions):
            raise Refused(f"the places of a switch are of each of the {len(partitions)} partitions of {line.address}")
        _replace(line, number, wanted)
        line.change(number, state=GenerationState.LIVE, holder=None, phase=None, held_until=None)
        line.bind(number, row.topic)
    return choose(bindings_of(connection, line.product, cluster), line.address)


def _replace(line: _Line, successor: int, wanted: Switch) -> None:
    before = line.binding.generation
    values = {
        "state": GenerationState.REPLACED,
        "ended_at": now_us(),
        "successor": successor,
        "ends": _dump(wanted.ends),
        "begins": _dump(wanted.begins),
    }
    if any(each.number == before for each in line.rows):
        line.change(before, **values)
    else:
        line.add(before, topic=line.binding.topic, created_at=line.product.created_at, **values)


def abandon_generation(connection: Connection, address: Address, number: int, holder: str) -> Generations:
    """Give a generation up that is being built.

    Raises:
        NotInMesh: there is no such generation.
        Conflict: it is not being built, or somebody else is at it.
    """
    line = _Line(connection, address)
    row = line.row(number)
    if row.state != GenerationState.BUILDING:
        raise Conflict(f"generation {number} of {line.address} is {row.state}, it is not being built")
    if row.holder not in {None, holder} and row.held_until > now_us():
        raise Conflict(f"generation {number} of {line.address} is being built by {row.holder}")
    line.change(number, state=GenerationState.ABANDONED, ended_at=now_us(), holder=None, phase=None, held_until=None)
    return generations(connection, line.address)


def retire_generation(connection: Connection, address: Address, number: int) -> Generations:
    """Take note that a generation is to go: nobody is led to its topic any more. A second time changes nothing.

    Raises:
        NotInMesh: there is no such generation.
        Conflict: it is the one that is bound, or one that is being built.
    """
    line = _Line(connection, address)
    if number == line.binding.generation:
        raise Conflict(f"generation {number} is the one that {line.address} is bound to")
    row = line.row(number)
    if row.state == GenerationState.BUILDING:
        raise Conflict(f"generation {number} of {line.address} is being built", hint="give it up first")
    if row.state != GenerationState.RETIRED:
        line.change(number, state=GenerationState.RETIRED, ended_at=now_us())
        line.touch()
    return generations(connection, line.address)


def _dump(places: Mapping[int, int]) -> str:
    return json.dumps({str(partition): offset for partition, offset in sorted(places.items())})


def _instant(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
