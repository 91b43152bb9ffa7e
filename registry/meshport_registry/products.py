"""What the registry knows about data products and their bindings. Reads only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select

from meshport.address import Address, nearest
from meshport.binding import Binding, Continuation, RegisteredProduct
from meshport.catalog import ProductPage, ProductSummary
from meshport.generations import GenerationState
from meshport.product import OutputPort, Product, Status
from meshport.product.lines import live_major, next_major, utc_today
from meshport_registry import tables
from meshport_registry.errors import NotInMesh, Retired

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


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Kafka cluster of bindings that name none of their own; None where the registry was told of none."""

    bootstrap_servers: str | None = None


def later(one: Status, other: Status) -> Status:
    """The status that is further along a product's life."""
    return max(one, other, key=_LIFECYCLE.index)


def find_guid(connection: Connection, guid: str) -> Row[Any] | None:
    """A product's row by its GUID."""
    return connection.execute(_BY_GUID, {"guid": guid}).one_or_none()


def find_address(connection: Connection, address: Address) -> Row[Any] | None:
    """A product's row by its address; port and major are not looked at."""
    return connection.execute(_BY_ADDRESS, {"domain": address.domain, "name": address.product}).one_or_none()


def require_guid(connection: Connection, guid: str) -> Row[Any]:
    """A product's row by its GUID.

    Raises:
        NotInMesh: no product has it.
    """
    row = find_guid(connection, guid)
    if row is None:
        raise NotInMesh(f"no data product has the GUID {guid}", hint="list them: GET /api/v1/dataproducts")
    return row


def require_address(connection: Connection, address: Address) -> Row[Any]:
    """A product's row by its address.

    Raises:
        NotInMesh: no product has it; the hint names the nearest one.
    """
    row = find_address(connection, address)
    if row is None:
        raise NotInMesh(f"{address.of_product} is not registered", hint=_nearest_product(connection, address))
    return row


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
    """The descriptor of a product's row, with the lifecycle that the registry holds."""
    return Product.model_validate_json(row.descriptor)


def bindings_of(connection: Connection, row: Row[Any], cluster: Cluster) -> tuple[Binding, ...]:
    """Every binding of a product in the order of its descriptor; those that it does not name any more come last."""
    product = descriptor_of(row)
    rows = connection.execute(_BINDINGS, {"guid": row.guid}).all()
    retired = {(each.port, each.major) for each in rows if each.status == Status.RETIRED}
    replaced = connection.execute(_REPLACED, {"guid": row.guid}).all()
    return tuple(_binding(each, product, cluster, retired, _continues(each, replaced)) for each in rows)


def _continues(line: Row[Any], replaced: Sequence[Row[Any]]) -> tuple[Continuation, ...]:
    """The generations that lead to the one a line is bound to, oldest first, back to where one of them is retired."""
    by_successor = {each.successor: each for each in replaced if (each.port, each.major) == (line.port, line.major)}
    found: list[Continuation] = []
    at = line.generation
    while (row := by_successor.get(at)) is not None:
        places = {"ends": json.loads(row.ends), "begins": json.loads(row.begins)}
        found.insert(0, Continuation(generation=row.number, topic=row.topic, **places))
        at = row.number
    return tuple(found)


def _binding(
    row: Row[Any],
    product: Product,
    cluster: Cluster,
    retired: Set[tuple[str, int]],
    continues: tuple[Continuation, ...],
) -> Binding:
    line = product.port(row.port, row.major)
    return Binding(
        address=product.address.at(row.port, row.major),
        bootstrap_servers=row.bootstrap_servers or cluster.bootstrap_servers or "",
        topic=row.topic,
        partitions=row.partitions,
        key=tuple(json.loads(row.key)),
        time=row.time,
        type=row.type,
        subject=row.subject,
        schema_id=row.schema_id,
        fingerprint=row.fingerprint,
        schema_text=row.resolved or row.text,
        cleanup=row.cleanup,
        generation=row.generation,
        continues=continues,
        live_from=line.live_from if line else None,
        **_end(row, line, product, retired),
        owner=product.owner,
        slo={
            each.property: {"value": each.value, "unit": each.unit}
            for each in product.sla_properties
            if each.port in {None, row.port}
        },
    )


def _end(row: Row[Any], line: OutputPort | None, product: Product, retired: Set[tuple[str, int]]) -> dict[str, Any]:
    """How a line ends, by itself or with its product: its status, its day, and where its readers move."""
    status, day, successor = later(product.status, Status(row.status)), product.deprecated_on, product.successor
    if line is not None and line.deprecated_on is not None:
        status = later(status, Status.DEPRECATED)
        day = min(line.deprecated_on, day or line.deprecated_on)
    elif row.status != Status.RETIRED:
        return {"status": status, "deprecated_on": day, "successor": successor}
    left = (major for major in product.lines(row.port) if (row.port, major) not in retired)
    following = next_major(left, row.major)
    if following is not None and product.status is not Status.RETIRED:
        successor = product.address.at(row.port, following)
    return {"status": status, "deprecated_on": day, "successor": successor}


def registered(connection: Connection, row: Row[Any], cluster: Cluster) -> RegisteredProduct:
    """A product as `GET /api/v1/dataproducts/{guid}` answers it."""
    product = descriptor_of(row)
    return RegisteredProduct(
        guid=row.guid,
        create_date=datetime.fromtimestamp(row.created_at / 1e6, UTC),
        update_date=datetime.fromtimestamp(row.updated_at / 1e6, UTC),
        owner=product.owner,
        display_name=product.display_name or product.address.key,
        source_code_location=product.source_code_location,
        description=product.description,
        readable_key=product.address.key,
        required_security_group=product.required_security_group,
        descriptor=product,
        bindings=bindings_of(connection, row, cluster),
    )


def resolve(connection: Connection, address: Address, cluster: Cluster, *, today: date | None = None) -> Binding:
    """The binding behind an address: the default port, and its live major, where none is named.

    Args:
        connection: to the database.
        address: what is asked for.
        cluster: the registry's own cluster.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the mesh has no such product, port or major.
        Retired: it had; the error names the successor.
    """
    bindings = bindings_of(connection, require_address(connection, address), cluster)
    binding = choose(bindings, address, today=today)
    if _ended(binding):
        successor = str(binding.successor) if binding.successor else None
        raise Retired(f"{binding.address} is retired", successor=successor)
    return binding


def choose(bindings: Sequence[Binding], address: Address, *, today: date | None = None) -> Binding:
    """The binding that an address means; without a major the live one, and a retired one only where no other is left.

    Args:
        bindings: of the product.
        address: of the product, of a port or of one of its lines.
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
    """The lines, by major, of the port that an address names; of the default port where it names none."""
    port = address.port or bindings[0].address.port
    return {each.address.major: each for each in bindings if each.address.port == port and each.address.major}


def live_line(lines: Mapping[int, Binding], today: date) -> int | None:
    """The major that an address without one leads to on that day; None where every line is retired."""
    return live_major({major: each.live_from for major, each in lines.items() if not _ended(each)}, today)


def _ended(binding: Binding) -> bool:
    return binding.status is Status.RETIRED


@dataclass(frozen=True, slots=True)
class Search:
    """What a list is narrowed to; None does not narrow.

    Attributes:
        text: words that all have to stand in address, name, description, owner or tags.
    """

    text: str | None = None
    address: Address | None = None
    domain: str | None = None
    archetype: str | None = None
    owner: str | None = None
    status: str | None = None
    tag: str | None = None


def search(connection: Connection, wanted: Search, *, offset: int, limit: int) -> ProductPage:
    """A page of the products that fit, by address."""
    own = tables.product.c
    query = select(tables.product)
    for column, value in (
        (own.domain, wanted.address and wanted.address.domain),
        (own.name, wanted.address and wanted.address.product),
        (own.domain, wanted.domain),
        (own.archetype, wanted.archetype),
        (own.owner, wanted.owner),
        (own.status, wanted.status),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.tag is not None:
        query = query.where(own.guid.in_(select(tables.tag.c.guid).where(tables.tag.c.tag == wanted.tag)))
    for word in (wanted.text or "").lower().split():
        query = query.where(own.words.contains(word, autoescape=True))
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    rows = connection.execute(query.order_by(own.domain, own.name).offset(offset).limit(limit))
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
