"""Who reads the lines of a product: what products declare and owners granted, joined with who was seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Reader
from meshport.product import Status
from meshport.seen_readers import (
    SILENT_AFTER,
    LineReaders,
    ReaderKind,
    ReaderState,
    SeenReader,
    UndeclaredReader,
    product_of_group,
)
from meshport_registry.access.grants import granted_readers
from meshport_registry.lineage import readers
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.seen_readers.rows import ReadLine, Way, observation_of, rows_of
from meshport_registry.store import instant, now_us

__all__ = ["readers_of_line", "readers_seen", "undeclared_readers"]

# An observer reports once a minute. One that has stopped says nothing of who does not read.
_STOPPED: Final = timedelta(days=1)
_DEFAULT: Final = DefaultCluster()  # who reads does not depend on clusters


def readers_seen(connection: Connection, address: Address) -> tuple[LineReaders, ...]:
    """Return the readers of each line of a product, or of the line that an address means, but of retired lines.

    Args:
        connection: to the database.
        address: of the product, of a port, or of a line of a port; of a port it is the live line.

    Raises:
        NotInMesh: the mesh has no such product or port.
    """
    row = require_address(connection, address)
    bindings = bindings_of(connection, row, _DEFAULT)
    asked = bindings if address.port is None else (choose_binding(bindings, address),)
    return tuple(readers_of_line(connection, row.guid, each) for each in asked if each.status is not Status.RETIRED)


def readers_of_line(
    connection: Connection, guid: str, binding: Binding, declared: Sequence[Reader] | None = None
) -> LineReaders:
    """Return the readers of a line.

    Args:
        connection: to the database.
        guid: of the product.
        binding: of the line.
        declared: the products that declare to read it, if they are known already.
    """
    line = ReadLine.of(guid, binding)
    products = readers(connection, binding.address) if declared is None else declared
    rows = rows_of(connection, line)
    observed, now = observation_of(connection, line), instant(now_us())
    watch = _Watch(observed, now)
    of = {each.address.key: each for each in products}
    granted = _granted(connection, line) - of.keys()
    own: dict[str, list[Row[Any]]] = {name: [] for name in (*of, *granted)}
    others: list[Row[Any]] = []
    for row in rows:
        owner = _owner(row, own)
        (others if owner is None else own[owner]).append(row)
    found = [_reader(name, own[name], watch, of.get(name)) for name in own]
    found.sort(key=lambda each: (each.kind != ReaderKind.PRODUCT, each.name))
    return LineReaders(
        address=binding.address,
        observed_since=None if observed is None else instant(observed.since),
        observed_at=None if observed is None else instant(observed.at),
        readers=(*found, *(_undeclared(each, watch) for each in _folded(others))),
    )


def undeclared_readers(
    connection: Connection, guid: str, binding: Binding, declared: Sequence[Reader]
) -> tuple[UndeclaredReader, ...]:
    """Return who was seen lately to read a line, or to ask for it, and is not declared; for the gate.

    Args:
        connection: to the database.
        guid: of the product.
        binding: of the line.
        declared: the products that declare to read it.
    """
    found = readers_of_line(connection, guid, binding, declared).readers
    # Days, so that a verdict does not change with every minute in which a reader reads.
    return tuple(
        UndeclaredReader(
            name=each.name, kind=each.kind, how=each.newest[0], last_seen=each.newest[1].date(), fields=each.fields
        )
        for each in found
        if not each.declared and each.state is ReaderState.SEEN and each.newest is not None
    )


class _Watch:
    """What is known of the time in which readers could be seen.

    Args:
        observed: the row of the line's observation; None if it is not observed.
        now: the present.
    """

    def __init__(self, observed: Row[Any] | None, now: datetime) -> None:
        self._since = now - SILENT_AFTER
        self._complete = (
            observed is not None and instant(observed.since) <= self._since and instant(observed.at) >= now - _STOPPED
        )

    def state(self, last: datetime | None) -> ReaderState:
        """Return the state of a reader that was seen last at this time."""
        if last is not None and last >= self._since:
            return ReaderState.SEEN
        return ReaderState.SILENT if self._complete else ReaderState.UNOBSERVED


def _granted(connection: Connection, line: ReadLine) -> set[str]:
    """Return whom the owner granted the line."""
    found = granted_readers(connection, line.guid)
    return {reader for reader, port, major in found if port == line.port and major in {None, line.major}}


def _owner(row: Row[Any], declared: Iterable[str]) -> str | None:
    """Return the declared reader that a row is of; None for a reader that is not declared."""
    named = [row.caller]
    if row.kind == ReaderKind.GROUP:
        named.append(product_of_group(row.name))
        named += (each for each in declared if "/" not in each and f"{row.name}.".startswith(f"{each}."))
    elif row.kind == ReaderKind.CALLER:
        named.append(row.name)
    return next((each for each in named if each in declared), None)


def _folded(rows: list[Row[Any]]) -> Iterator[list[Row[Any]]]:
    """Yield the rows of each undeclared reader: a caller that subscribed with a group of its own is that group."""
    callers = {each.name: each for each in rows if each.kind == ReaderKind.CALLER}
    folded = {each.caller for each in rows if each.kind == ReaderKind.GROUP}
    for row in sorted(rows, key=lambda each: (list(ReaderKind).index(each.kind), each.name)):
        if row.kind == ReaderKind.GROUP and row.caller in callers:
            yield [row, callers[row.caller]]
        elif row.kind != ReaderKind.CALLER or row.name not in folded:
            yield [row]


def _reader(name: str, rows: list[Row[Any]], watch: _Watch, declared: Reader | None) -> SeenReader:
    """Return a declared reader with what was seen of it."""
    kind = ReaderKind.PRODUCT if declared is not None or "/" in name else ReaderKind.CALLER
    seen = SeenReader(name=name, kind=kind, declared=True, state=ReaderState.UNOBSERVED, **_seen(rows))
    found = seen.model_copy(update={"state": watch.state(seen.last_seen)})
    if declared is None:
        return found
    of_product = {
        "reads": declared.reads,
        "fields": declared.fields,
        "owner": declared.owner,
        "contact": declared.contact,
        "archetype": declared.archetype,
        "status": declared.status,
    }
    return found.model_copy(update=of_product)


def _undeclared(rows: list[Row[Any]], watch: _Watch) -> SeenReader:
    first = rows[0]
    seen = SeenReader(
        name=first.name,
        kind=ReaderKind(first.kind),
        declared=False,
        state=ReaderState.UNOBSERVED,
        caller=first.caller,
        **_seen(rows),
    )
    return seen.model_copy(update={"state": watch.state(seen.last_seen)})


def _seen(rows: list[Row[Any]]) -> dict[str, Any]:
    times = {way.value: [at for row in rows if (at := getattr(row, way)) is not None] for way in Way}
    subscribed = max(rows, key=lambda each: each.subscribed_at or 0, default=None)
    return {
        "groups": tuple(each.name for each in rows if each.kind == ReaderKind.GROUP),
        "fields": tuple(json.loads(subscribed.fields)) if subscribed is not None and subscribed.fields else (),
        "first_seen": instant(min(each.first_at for each in rows)) if rows else None,
        **{name: instant(max(found)) if found else None for name, found in times.items()},
    }
