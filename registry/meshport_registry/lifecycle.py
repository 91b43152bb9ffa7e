"""The end of a product's life, deprecation and retirement. Every function but `revision` runs in the writing transaction."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Row, Text, cast, select, update

from meshport.address import Address
from meshport.catalog import Deprecation, Reader, Retirement
from meshport.product import Product, Status
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind, end_of
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict, InvalidRequest, NotInMesh
from meshport_registry.lineage import readers
from meshport_registry.products import (
    DefaultCluster,
    bindings_of,
    descriptor_of,
    lines_of,
    require_address,
    require_guid,
)

_REVISION: Final = select(tables.setting.c.value).where(tables.setting.c.name == "revision")
_NEXT_REVISION: Final = (
    update(tables.setting)
    .where(tables.setting.c.name == "revision")
    .values(value=cast(cast(tables.setting.c.value, BigInteger) + 1, Text))
    .returning(tables.setting.c.value)
)


def next_revision(connection: Connection) -> int:
    """Increment the change counter and return it. Every node drops its cached bindings of a product with a newer one."""
    return int(connection.execute(_NEXT_REVISION).scalar_one())


def revision(connection: Connection) -> int:
    """Return the change counter of all products."""
    return int(connection.execute(_REVISION).scalar_one())


def deprecate(connection: Connection, guid: str, wanted: Deprecation) -> None:
    """Deprecate a product: record the day after which it may go, and its successor.

    Raises:
        NotInMesh: the product or the successor is not registered.
        Conflict: the product is retired already.
    """
    row = require_guid(connection, guid)
    product = descriptor_of(row)
    if product.status is Status.RETIRED:
        raise Conflict(f"{product.address} is retired already")
    _check_successor(connection, product, wanted.successor)
    _store(
        connection,
        row,
        {"status": Status.DEPRECATED, "deprecated_on": wanted.on, "successor": wanted.successor or product.successor},
    )
    successor = wanted.successor or product.successor
    ends = {"until": end_of(wanted.on), "successor": successor}
    summary = f"{product.address} is deprecated, and may go after {wanted.on}{_moving(successor)}"
    record(connection, MeshChange.of_product(MeshChangeKind.DEPRECATED, row, product.address, summary, **ends))


def retire(connection: Connection, guid: str, wanted: Retirement) -> None:
    """Retire a product or one of its lines. Its address resolves to 410 from now on; its topics stay as they are.

    Raises:
        NotInMesh: the product, the port or the successor is not registered.
        Conflict: a product that `force` does not name still reads it.
    """
    row = require_guid(connection, guid)
    product = descriptor_of(row)
    _check_successor(connection, product, wanted.successor)
    address = product.address if wanted.port is None else _line(product, wanted.port)
    remaining = [each for each in readers(connection, address) if each.address not in wanted.force]
    if address.major is not None:
        remaining = [each for each in remaining if _loses_its_input(connection, row, each, address)]
    if remaining:
        findings = tuple(f"{each.address} reads {each.reads} (owner {each.owner})" for each in remaining)
        named = ", ".join(str(each.address) for each in remaining)
        raise Conflict(
            f"{address} has {len(remaining)} reader(s): {named}",
            findings=findings,
            hint="move them, or name each of them in `force` (`meshport retire ADDRESS --force READER`)",
        )
    successor = wanted.successor or product.successor
    summary = f"{address} is retired{_moving(successor)}"
    retired = MeshChange.of_product(MeshChangeKind.RETIRED, row, address, summary, successor=successor)
    if wanted.port is None:
        _store(connection, row, {"status": Status.RETIRED, "successor": successor})
        record(connection, retired)
        return
    own = tables.binding
    rows = (own.c.guid == row.guid) & (own.c.port == address.port) & (own.c.major == address.major)
    if not connection.execute(update(own).where(rows).values(status=Status.RETIRED)).rowcount:
        raise NotInMesh(f"{address} is not registered")
    _store(connection, row, {})
    record(connection, retired)


def activate(connection: Connection, guid: str) -> None:
    """Undo a deprecation.

    Raises:
        NotInMesh: the product is not registered.
        Conflict: the product is retired, and only a new product can succeed it; or it is a draft, which the registration of its
            descriptor makes active.
    """
    row = require_guid(connection, guid)
    product = descriptor_of(row)
    if product.status is Status.RETIRED:
        raise Conflict(f"{product.address} is retired", hint="a retired address stays so; register a successor")
    if product.status is Status.DRAFT:
        raise Conflict(f"{product.address} is a draft, not deprecated", hint="`status: active` in its product.yaml")
    _store(connection, row, {"status": Status.ACTIVE, "deprecated_on": None, "successor": None})
    summary = f"{product.address} is no longer deprecated"
    record(connection, MeshChange.of_product(MeshChangeKind.ACTIVATED, row, product.address, summary))


def _moving(successor: Address | None) -> str:
    return "" if successor is None else f"; readers move to {successor}"


def _loses_its_input(connection: Connection, row: Row[Any], reader: Reader, address: Address) -> bool:
    """Whether a reader has no line to read once the line at `address` is retired.

    A reader that names no major reads another line if one is live today. A line that becomes live later does not count,
    because nothing moves a reader before that day.
    """
    if reader.reads.major is not None:
        return True
    lines = lines_of(bindings_of(connection, row, DefaultCluster()), address)
    today = utc_today()
    return not any(
        each.status is not Status.RETIRED and (each.live_from is None or each.live_from <= today)
        for major, each in lines.items()
        if major != address.major
    )


def _line(product: Product, text: str) -> Address:
    match = re.fullmatch(r"([a-z0-9-]+)@([1-9][0-9]{0,8})", text)
    if not match:
        raise InvalidRequest(f"{text!r} names no port and major", hint="write <port>@<major>, as in events@1")
    return product.address.at(match[1], int(match[2]))


def _check_successor(connection: Connection, product: Product, successor: Address | None) -> None:
    if successor is None:
        return
    if successor.of_product == product.address and successor.port is None:
        raise Conflict(f"{product.address} cannot succeed itself")
    require_address(connection, successor)


def _store(connection: Connection, row: Row[Any], lifecycle: dict[str, Any]) -> None:
    product = descriptor_of(row).model_copy(update=lifecycle)
    connection.execute(
        update(tables.product)
        .where(tables.product.c.guid == row.guid)
        .values(
            status=product.status,
            descriptor=product.model_dump_json(by_alias=True, exclude_none=True),
            revision=next_revision(connection),
        )
    )
