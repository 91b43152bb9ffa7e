"""The generations of a port: opening, holding, switching, releasing, abandoning and retiring one.

The bound generation is in the table `binding`. A first generation has no row in `generation` until it is replaced. At
most one generation of a line is being built. Its builder holds it for a time that the registry's clock measures. Only
the holder can bind the address to it, so a builder that was paused for longer than its hold cannot do so later.

Every function but `generations` runs in the writing transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict, NotInMesh, RequestRefused
from meshport_registry.lifecycle import next_revision
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, descriptor_of, require_address
from meshport_registry.store import instant, now_us

_OWN: Final = tables.generation.c
_OF_LINE: Final = (
    select(tables.generation)
    .where(_OWN.guid == bindparam("guid"), _OWN.port == bindparam("port"), _OWN.major == bindparam("major"))
    .order_by(_OWN.number)
)
_SECOND: Final = 1_000_000


class _Line:
    """One line of a port with its generations.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port.

    Raises:
        NotInMesh: the address is not registered.
        Conflict: the line is retired.
    """

    def __init__(self, connection: Connection, address: Address) -> None:
        self._connection = connection
        self.product = require_address(connection, address)
        self.binding = choose_binding(bindings_of(connection, self.product, DefaultCluster()), address)
        if self.binding.status is Status.RETIRED:
            raise Conflict(f"{self.binding.address} is retired")
        self.address = self.binding.address
        self._key = {"guid": self.product.guid, "port": self.address.port, "major": self.address.major}
        self.rows = connection.execute(_OF_LINE, self._key).all()

    @property
    def building(self) -> Row[Any] | None:
        """The row of the generation that is being built, or None."""
        return next((each for each in self.rows if each.state == GenerationState.BUILDING), None)

    def row(self, number: int) -> Row[Any]:
        """Return the row of a generation.

        Raises:
            NotInMesh: no generation has this number, or it is a first one that is still bound.
        """
        found = next((each for each in self.rows if each.number == number), None)
        if found is None:
            known = ", ".join(str(each.number) for each in self.rows) or "none but the one that is bound"
            raise NotInMesh(f"{self.address} has no rebuilt generation {number}", hint=f"it has {known}")
        return found

    def held(self, number: int, holder: str) -> Row[Any]:
        """Return the row of a generation that this holder is building.

        Raises:
            NotInMesh: no generation has this number.
            Conflict: the generation is not being built, or this holder's hold has expired.
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
        """Update the row of a generation."""
        own = (_OWN[name] == value for name, value in (self._key | {"number": number}).items())
        self._connection.execute(update(tables.generation).where(*own).values(**values))

    def add(self, number: int, **values: Any) -> None:
        """Insert the row of a generation."""
        self._connection.execute(insert(tables.generation), self._key | {"number": number} | values)

    def bind(self, number: int, topic: str, topic_id: str | None, partitions: int) -> None:
        """Bind the address to a generation, and increment the change counter."""
        own = tables.binding
        rows = (own.c.guid == self.product.guid) & (own.c.port == self.address.port)
        rows &= own.c.major == self.address.major
        values = {"topic": topic, "topic_id": topic_id, "generation": number, "partitions": partitions}
        self._connection.execute(update(own).where(rows).values(**values))
        self.touch()

    def touch(self) -> None:
        """Increment the change counter, so that every node drops its cached bindings of the product."""
        product = tables.product
        values = {"revision": next_revision(self._connection), "updated_at": now_us()}
        self._connection.execute(update(product).where(product.c.guid == self.product.guid).values(**values))


def generations(connection: Connection, address: Address) -> Generations:
    """Return every generation of a line, and the hold on the one that is being built.

    Raises:
        NotInMesh: the mesh has no such port.
        Conflict: the line is retired.
    """
    return _generations(_Line(connection, address))


def _generations(line: _Line) -> Generations:
    found = [
        Generation(
            number=each.number,
            topic=each.topic,
            state=GenerationState(each.state),
            made_by=each.made_by,
            created_at=instant(each.created_at),
            ended_at=None if each.ended_at is None else instant(each.ended_at),
        )
        for each in line.rows
    ]
    if all(each.number != line.binding.generation for each in found):
        first = Generation(
            number=line.binding.generation,
            topic=line.binding.topic,
            state=GenerationState.LIVE,
            created_at=instant(line.product.created_at),
        )
        found.append(first)
    hold = None
    if (row := line.building) is not None and row.holder and (remaining := row.held_until - now_us()) > 0:
        hold = Hold(number=row.number, phase=Phase(row.phase), expires_in_s=remaining / _SECOND)
    ordered = tuple(sorted(found, key=lambda each: each.number))
    return Generations(address=line.address, generations=ordered, hold=hold)


def open_generation(connection: Connection, address: Address, wanted: OpenGeneration) -> Generations:
    """Begin a generation beside the bound one, or continue one that the same logic began, and hold it.

    A generation that other logic began is abandoned, because its topic would mix the outputs of both.

    Raises:
        NotInMesh: the mesh has no such port.
        Conflict: another holder is building a generation, or the line is retired.
    """
    line = _Line(connection, address)
    _refuse_adopted(line)
    hold = {"holder": wanted.holder, "phase": Phase.BUILD, "held_until": now_us() + int(wanted.seconds * _SECOND)}
    if (row := line.building) is not None:
        if row.holder not in {None, wanted.holder} and (remaining := row.held_until - now_us()) > 0:
            raise Conflict(
                f"generation {row.number} of {line.address} is being built by {row.holder}",
                hint=f"its hold ends in {remaining / _SECOND:.1f} s unless it is alive and renews it",
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


def _refuse_adopted(line: _Line) -> None:
    port = descriptor_of(line.product).port(line.address.port, line.address.major)
    if port is not None and port.adopted:
        raise Conflict(
            f"{line.address} adopts the topic {port.topic}, into which others write: no generation can replace it",
            hint="build a product of its own on it, or retire the port and publish a new major",
        )


def hold_generation(connection: Connection, address: Address, number: int, wanted: HoldRequest) -> Generations:
    """Renew the hold on a generation that is being built, and set its phase.

    Raises:
        NotInMesh: no generation has this number.
        Conflict: the hold has expired.
    """
    line = _Line(connection, address)
    line.held(number, wanted.holder)
    line.change(number, phase=wanted.phase, held_until=now_us() + int(wanted.seconds * _SECOND))
    return generations(connection, line.address)


def release_generation(connection: Connection, address: Address, number: int, holder: str) -> Generations:
    """Release the hold on a generation. The generation stays as it is, so that another holder can continue it.

    A call by anyone but the holder changes nothing.

    Raises:
        NotInMesh: no generation has this number.
    """
    line = _Line(connection, address)
    row = line.row(number)
    if row.holder == holder:
        line.change(number, holder=None, phase=None, held_until=None)
    return generations(connection, line.address)


def switch_generation(
    connection: Connection, address: Address, number: int, wanted: Switch, cluster: DefaultCluster
) -> Binding:
    """Bind an address to the generation that was built. A repeated call returns the same binding.

    Raises:
        NotInMesh: no generation has this number.
        Conflict: the caller does not hold the generation in the phase `handover`.
        RequestRefused: the offsets do not cover every partition.
    """
    line = _Line(connection, address)
    if line.binding.generation != number:
        row = line.held(number, wanted.holder)
        if row.phase != Phase.HANDOVER:
            raise Conflict(f"generation {number} of {line.address} is held to be built, its processors still run")
        # The new generation may have another number of partitions; partitions may have been added to the old topic.
        ended, begun = set(wanted.ends), set(wanted.begins)
        if (
            ended != set(range(max(len(ended), line.binding.partitions)))
            or not begun
            or begun != set(range(len(begun)))
        ):
            raise RequestRefused(
                f"a switch needs the offsets of each of the {line.binding.partitions} partitions of {line.address}, and of "
                "each of the new generation"
            )
        _replace(line, number, wanted)
        line.change(number, state=GenerationState.LIVE, holder=None, phase=None, held_until=None)
        line.bind(number, row.topic, wanted.topic_id, len(begun))
        summary = f"{line.address} is switched to generation {number}, in the topic {row.topic}"
        record(
            connection, MeshChange.of_product(MeshChangeKind.SWITCHED, line.product, line.address, summary, item=number)
        )
    return choose_binding(bindings_of(connection, line.product, cluster), line.address)


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
    """Abandon a generation that is being built.

    Raises:
        NotInMesh: no generation has this number.
        Conflict: the generation is not being built, or another holder is building it.
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
    """Retire a generation, so that no binding names its topic any more. A repeated call changes nothing.

    Raises:
        NotInMesh: no generation has this number.
        Conflict: the generation is bound, or is being built.
    """
    line = _Line(connection, address)
    if number == line.binding.generation:
        raise Conflict(f"generation {number} is the one that {line.address} is bound to")
    row = line.row(number)
    if row.state == GenerationState.BUILDING:
        raise Conflict(f"generation {number} of {line.address} is being built", hint="abandon it first")
    if row.state != GenerationState.RETIRED:
        line.change(number, state=GenerationState.RETIRED, ended_at=now_us())
        line.touch()
        summary = f"generation {number} of {line.address} is retired: its topic {row.topic} may be deleted"
        record(
            connection,
            MeshChange.of_product(MeshChangeKind.GENERATION_RETIRED, line.product, line.address, summary, item=number),
        )
    return generations(connection, line.address)


def _dump(offsets: Mapping[int, int]) -> str:
    return json.dumps({str(partition): offset for partition, offset in sorted(offsets.items())})
