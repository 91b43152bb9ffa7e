"""Registered data products, their bindings, and the resolution of addresses. This module only reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from meshport.address import Address, nearest
from meshport.binding import Binding, Continuation, RegisteredProduct
from meshport.catalog import ProductPage, ProductSummary
from meshport.generations import GenerationState
from meshport.product import OutputPort, Product, Status
from meshport.product.lines import live_major, next_major, utc_today
from meshport.service_levels import LevelSummary
from meshport_registry import tables
from meshport_registry.errors import NotInMesh, Retired
from meshport_registry.store import instant

_LIFECYCLE: Final = (Status.DRAFT, Status.ACTIVE, Status.DEPRECATED, Status.RETIRED)

_BY_GUID: Final = select(tables.product).where(tables.product.c.guid == bindparam("guid"))
_BY_ADDRESS: Final = select(tables.product).where(
    tables.product.c.domain == bindparam("domain"), tables.product.c.name == bindparam("name")
)
_BINDINGS: Final = (
    select(
        tables.binding,
        tables.subject.c.name.label("subject"),
        tables.schema.c.fingerprint,
        tables.schema.c.text,
        tables.schema.c.resolved,
    )
    .join(tables.subject, tables.subject.c.id == tables.binding.c.subject_id)
    .join(tables.schema, tables.schema.c.id == tables.binding.c.schema_id)
    .where(tables.binding.c.guid == bindparam("guid"))
    .order_by(tables.binding.c.position)
)
_REPLACED: Final = select(tables.generation).where(
    tables.generation.c.guid == bindparam("guid"), tables.generation.c.state == GenerationState.REPLACED
)
_LEVELS: Final = select(
    tables.service_level.c.port, tables.service_level.c.major, tables.service_level.c.summary
).where(tables.service_level.c.guid == bindparam("guid"))


@dataclass(frozen=True, slots=True)
class DefaultCluster:
    """The Kafka cluster of the bindings that name no cluster of their own.

    Attributes:
        bootstrap_servers: of the cluster; None if the registry was started without one.
    """

    bootstrap_servers: str | None = None


def later_status(one: Status, other: Status) -> Status:
    """Return the status that is further along a product's lifecycle."""
    return max(one, other, key=_LIFECYCLE.index)


def find_guid(connection: Connection, guid: str) -> Row[Any] | None:
    """Return the row of the product with this GUID, or None."""
    return connection.execute(_BY_GUID, {"guid": guid}).one_or_none()


def find_address(connection: Connection, address: Address) -> Row[Any] | None:
    """Return the row of the product at this address, or None. Port and major of the address are ignored."""
    return connection.execute(_BY_ADDRESS, {"domain": address.domain, "name": address.product}).one_or_none()


def require_guid(connection: Connection, guid: str) -> Row[Any]:
    """Return the row of the product with this GUID.

    Raises:
        NotInMesh: no product has it.
    """
    row = find_guid(connection, guid)
    if row is None:
        raise NotInMesh(f"no data product has the GUID {guid}", hint="list them: GET /api/v1/dataproducts")
    return row


def require_address(connection: Connection, address: Address) -> Row[Any]:
    """Return the row of the product at this address.

    Raises:
        NotInMesh: the address is not registered; the hint names the nearest one.
    """
    row = find_address(connection, address)
    if row is None:
        raise NotInMesh(f"{address.of_product} is not registered", hint=_nearest_product(connection, address))
    return row


def of_address(
    connection: Connection, query: Select[Any], columns: ReadOnlyColumnCollection[str, Any], address: Address
) -> Select[Any]:
    """Return a query narrowed to the rows that are about a product, or about the port or the line that the address names.

    Args:
        connection: to the database.
        query: of a table with the columns `guid`, `port` and `major`.
        columns: of that table.
        address: of the product or port.

    Raises:
        NotInMesh: the product is not registered.
    """
    query = query.where(columns.guid == require_address(connection, address).guid)
    if address.port is not None:
        query = query.where(columns.port == address.port)
    if address.major is not None:
        query = query.where(columns.major == address.major)
    return query


def _nearest_product(connection: Connection, address: Address) -> str:
    product = tables.product.c
    names = list(connection.execute(select(product.name).where(product.domain == address.domain)).scalars())
    if names:
        near = nearest(address.product, names)
        known = ", ".join(sorted(names)[:8])
        return f"did you mean mesh://{address.domain}/{near}?" if near else f"{address.domain} has {known}"
    domains = list(connection.execute(select(product.domain).distinct()).scalars())
    near = nearest(address.domain, domains)
    return f"did you mean mesh://{near}/{address.product}?" if near else "register it with `meshport apply`"


def descriptor_of(row: Row[Any]) -> Product:
    """Return the descriptor in a product's row, with the lifecycle that the registry keeps."""
    return Product.model_validate_json(row.descriptor)


def bindings_of(connection: Connection, row: Row[Any], cluster: DefaultCluster) -> tuple[Binding, ...]:
    """Return every binding of a product in the descriptor's order, then those that the descriptor has dropped."""
    product = descriptor_of(row)
    rows = connection.execute(_BINDINGS, {"guid": row.guid}).all()
    retired = {(each.port, each.major) for each in rows if each.status == Status.RETIRED}
    replaced = connection.execute(_REPLACED, {"guid": row.guid}).all()
    levels = {(each.port, each.major): each.summary for each in connection.execute(_LEVELS, {"guid": row.guid})}
    return tuple(
        _binding(each, product, cluster, retired, _continuations(each, replaced)).model_copy(
            update={"service_levels": _measured(levels.get((each.port, each.major)))}
        )
        for each in rows
    )


def _measured(text: str | None) -> LevelSummary | None:
    return None if text is None else LevelSummary.model_validate_json(text)


def _continuations(line: Row[Any], replaced: Sequence[Row[Any]]) -> tuple[Continuation, ...]:
    """Return the chain of replaced generations up to the bound one, oldest first; a retired one ends the chain."""
    by_successor = {each.successor: each for each in replaced if (each.port, each.major) == (line.port, line.major)}
    found: list[Continuation] = []
    successor = line.generation
    while (row := by_successor.get(successor)) is not None:
        offsets = {"ends": json.loads(row.ends), "begins": json.loads(row.begins)}
        found.insert(0, Continuation(generation=row.number, topic=row.topic, **offsets))
        successor = row.number
    return tuple(found)


def _binding(
    row: Row[Any],
    product: Product,
    cluster: DefaultCluster,
    retired: Set[tuple[str, int]],
    continues: tuple[Continuation, ...],
) -> Binding:
    line = product.port(row.port, row.major)
    return Binding(
        address=product.address.at(row.port, row.major),
        bootstrap_servers=row.bootstrap_servers or cluster.bootstrap_servers or "",
        cluster=row.cluster,
        topic=row.topic,
        topic_id=row.topic_id,
        partitions=row.partitions,
        key=tuple(json.loads(row.key)),
        time=row.time,
        type=row.type,
        envelope=(line.envelope if line else None) or "cloudevents",
        subject=row.subject,
        schema_id=row.schema_id,
        fingerprint=row.fingerprint,
        schema_text=row.resolved or row.text,
        cleanup=row.cleanup,
        generation=row.generation,
        continues=continues,
        live_from=line.live_from if line else None,
        **_lifecycle(row, line, product, retired),
        owner=product.owner,
        archive=line.archive if line else None,
        migration=line.migration if line else None,
        slo={
            each.property: {"value": each.value, "unit": each.unit}
            for each in product.sla_properties
            if each.port in {None, row.port}
        },
    )


def _lifecycle(
    row: Row[Any], line: OutputPort | None, product: Product, retired: Set[tuple[str, int]]
) -> dict[str, Any]:
    """Return the status, the last day and the successor of a line, from its own lifecycle and its product's."""
    status, day, successor = later_status(product.status, Status(row.status)), product.deprecated_on, product.successor
    if line is not None and line.deprecated_on is not None:
        status = later_status(status, Status.DEPRECATED)
        day = min(line.deprecated_on, day or line.deprecated_on)
    elif row.status != Status.RETIRED:
        return {"status": status, "deprecated_on": day, "successor": successor}
    remaining = (major for major in product.lines(row.port) if (row.port, major) not in retired)
    following = next_major(remaining, row.major)
    if following is not None and product.status is not Status.RETIRED:
        successor = product.address.at(row.port, following)
    return {"status": status, "deprecated_on": day, "successor": successor}


def registered_product(connection: Connection, row: Row[Any], cluster: DefaultCluster) -> RegisteredProduct:
    """Return a product as `GET /api/v1/dataproducts/{guid}` returns it."""
    product = descriptor_of(row)
    return RegisteredProduct(
        guid=row.guid,
        create_date=instant(row.created_at),
        update_date=instant(row.updated_at),
        owner=product.owner,
        display_name=product.display_name or product.address.key,
        source_code_location=product.source_code_location,
        description=product.description,
        readable_key=product.address.key,
        required_security_group=product.required_security_group,
        descriptor=product,
        bindings=bindings_of(connection, row, cluster),
    )


def resolve(connection: Connection, address: Address, cluster: DefaultCluster, *, today: date | None = None) -> Binding:
    """Return the binding of an address. Without a port it is the default port's, without a major the live major's.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port.
        cluster: the registry's default cluster.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the mesh has no such product, port or major.
        Retired: the address is retired; the error names its successor.
    """
    bindings = bindings_of(connection, require_address(connection, address), cluster)
    binding = choose_binding(bindings, address, today=today)
    if _is_retired(binding):
        successor = str(binding.successor) if binding.successor else None
        raise Retired(f"{binding.address} is retired", successor=successor)
    return binding


def choose_binding(bindings: Sequence[Binding], address: Address, *, today: date | None = None) -> Binding:
    """Return the binding that an address means. Without a major it is the live one, or the highest if all are retired.

    Args:
        bindings: the product's bindings.
        address: of the product, of a port, or of a line of a port.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the product has no such port or major.
    """
    lines = lines_of(bindings, address)
    major = address.major
    if major is None:
        major = live_line(lines, today or utc_today()) or max(lines, default=None)
    if major not in lines:
        known = ", ".join(f"{each.address.port}@{each.address.major}" for each in bindings)
        raise NotInMesh(f"{address} is not registered", hint=f"{address.of_product} has {known}")
    return lines[major]


def lines_of(bindings: Sequence[Binding], address: Address) -> dict[int, Binding]:
    """Return the lines of an address's port by major; of the default port if the address names none."""
    port = address.port or bindings[0].address.port
    return {each.address.major: each for each in bindings if each.address.port == port and each.address.major}


def live_line(lines: Mapping[int, Binding], today: date) -> int | None:
    """Return the major that an address without one resolves to on that day, or None if every line is retired."""
    return live_major({major: each.live_from for major, each in lines.items() if not _is_retired(each)}, today)


def _is_retired(binding: Binding) -> bool:
    return binding.status is Status.RETIRED


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """Which products a search returns. Each attribute that is not None has to match.

    Attributes:
        text: words that all have to appear in address, name, description, owner or tags.
        address: of the product.
        domain: of the product.
        archetype: of the product.
        owner: of the product.
        status: of the product.
        tag: one of the product's tags.
    """

    text: str | None = None
    address: Address | None = None
    domain: str | None = None
    archetype: str | None = None
    owner: str | None = None
    status: str | None = None
    tag: str | None = None


def search(
    connection: Connection, matching: ProductFilter, *, offset: int, limit: int, seen: Set[str] | None = None
) -> ProductPage:
    """Return a page of the products that match a filter, ordered by address.

    Args:
        connection: to the database.
        matching: the filter.
        offset: the number of products before the page.
        limit: the number of products of a page, at most.
        seen: the products that may be in it, each as `<domain>/<product>`; None for all.
    """
    own = tables.product.c
    query = select(tables.product)
    for column, value in (
        (own.domain, matching.address and matching.address.domain),
        (own.name, matching.address and matching.address.product),
        (own.domain, matching.domain),
        (own.archetype, matching.archetype),
        (own.owner, matching.owner),
        (own.status, matching.status),
    ):
        if value is not None:
            query = query.where(column == value)
    if matching.tag is not None:
        query = query.where(own.guid.in_(select(tables.tag.c.guid).where(tables.tag.c.tag == matching.tag)))
    for word in (matching.text or "").lower().split():
        query = query.where(own.words.contains(word, autoescape=True))
    ordered = query.order_by(own.domain, own.name)
    if seen is None:
        total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        rows = connection.execute(ordered.offset(offset).limit(limit))
    else:
        keys = connection.execute(ordered.with_only_columns(own.guid, own.domain, own.name))
        guids = [guid for guid, domain, name in keys if f"{domain}/{name}" in seen]
        total = len(guids)
        rows = connection.execute(ordered.where(own.guid.in_(guids[offset : offset + limit])))
    return ProductPage(items=tuple(_summary(row) for row in rows), total=total, offset=offset, limit=limit)


def _summary(row: Row[Any]) -> ProductSummary:
    product = descriptor_of(row)
    return ProductSummary(
        guid=row.guid,
        address=product.address,
        display_name=product.display_name or product.address.key,
        description=product.description,
        archetype=product.archetype,
        owner=product.owner,
        status=product.status,
        tags=product.tags,
        classification=product.classification,
    )
