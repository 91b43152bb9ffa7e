"""What the page of a product shows of it: its lines, and of one of them the contract, its readers and how to read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from meshport.address import Address
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import Reader
from meshport.grants import Grant
from meshport.product import Product, Status
from meshport.product.input_port import AddressText
from meshport.product.lines import utc_today
from meshport.seen_readers import LineReaders
from meshport_registry.access.grants import grants
from meshport_registry.catalog.contract import FieldInWords, fields_of
from meshport_registry.catalog.processing import ShownProcessor, shown_processor
from meshport_registry.catalog.snippets import Snippet, snippets
from meshport_registry.identity.caller import LOCAL, Caller
from meshport_registry.lineage import readers
from meshport_registry.products import (
    DefaultCluster,
    choose_binding,
    lines_of,
    live_line,
    registered_product,
    require_address,
)
from meshport_registry.seen_readers.known import readers_of_line

_MOST_GRANTS = 20


class _Details(BaseModel):
    model_config = ConfigDict(frozen=True)


class ShownLine(_Details):
    """A line of a port, in the list of all.

    Attributes:
        live: whether an address without a major leads to it.
        shown: whether the page shows its contract.
    """

    port: str
    major: int
    status: str
    live: bool
    shown: bool
    live_from: date | None
    deprecated_on: date | None
    successor: AddressText | None


class Promise(_Details):
    """A service level that the product promises.

    Attributes:
        name: in words: `timeliness 30 s`.
        state: how it is kept, as measured; None where nothing was measured.
    """

    name: str
    state: str | None


class FieldRow(_Details):
    """A field of the contract, in the table.

    Attributes:
        shared_by: the other products with the same polyseme.
        read_by: the products that say that they read this field.
        of_the_key: whether the record key has it.
        is_the_time: whether it is the time at which the fact happened.
    """

    path: str
    name: str
    depth: int
    type: str
    avro: str
    optional: bool
    doc: str
    classification: str | None
    polyseme: str | None
    shared_by: tuple[AddressText, ...] = ()
    read_by: tuple[AddressText, ...] = ()
    of_the_key: bool = False
    is_the_time: bool = False


class ShownPort(_Details):
    """The line that the page shows.

    Attributes:
        retention: how long Kafka keeps events; None for ever.
        kept: which events it keeps: all of that time, or the last one of each key.
        doc: what one event is.
        fields: of the contract.
        readers: the products that read it, as they declare.
        seen: these, and others that were seen to read it, each with when it was seen last.
        processor: that builds it; None where none does.
    """

    address: AddressText
    short_address: str
    topic: str
    cluster: str | None
    bootstrap_servers: str
    partitions: int
    key: tuple[str, ...]
    time: str | None
    type: str
    envelope: str
    subject: str
    schema_id: int
    fingerprint: str
    generation: int
    compatibility: str
    retention: timedelta | None
    kept: str
    status: str
    doc: str
    fields: tuple[FieldRow, ...]
    readers: tuple[Reader, ...]
    seen: LineReaders
    promises: tuple[Promise, ...]
    processor: ShownProcessor | None
    snippets: tuple[Snippet, ...]


class ProductDetails(_Details):
    """A product, and one of its lines.

    Attributes:
        requests: the caller's requests for access that wait or are granted; of a registry without identities, all of them.
    """

    descriptor: Product
    created: datetime
    changed: datetime
    lines: tuple[ShownLine, ...]
    port: ShownPort
    requests: tuple[Grant, ...]


def details(
    connection: Connection, address: Address, cluster: DefaultCluster, caller: Caller, registry: str
) -> ProductDetails:
    """Return what the page of a product shows, but for what other products share with it.

    Args:
        connection: to the database.
        address: of the product, or of the port or line whose contract is to be shown.
        cluster: the registry's default cluster.
        caller: who looks.
        registry: the URL of this registry, as the caller reaches it.

    Raises:
        NotInMesh: the mesh has no such product, port or major.
    """
    found = registered_product(connection, require_address(connection, address), cluster)
    shown, today = choose_binding(found.bindings, address), utc_today()
    asked = grants(connection, found.descriptor.address, reader=None if caller == LOCAL else caller.name, current=True)
    return ProductDetails(
        descriptor=found.descriptor,
        created=found.create_date,
        changed=found.update_date,
        lines=tuple(_line(each, found.bindings, shown, today) for each in found.bindings),
        port=_port(connection, found, shown, registry),
        requests=tuple(asked)[:_MOST_GRANTS],
    )


def with_sharing(found: ProductDetails, sharing: Mapping[str, Iterable[str]]) -> ProductDetails:
    """Return the details with the other products that have the polysemes of the contract.

    Args:
        found: the details.
        sharing: the products with each polyseme, as `domain/product`.
    """
    own = found.descriptor.address.key

    def shared(row: FieldRow) -> FieldRow:
        others = tuple(Address.parse(each) for each in sharing.get(row.polyseme or "", ()) if each != own)
        return row.model_copy(update={"shared_by": others}) if others else row

    port = found.port.model_copy(update={"fields": tuple(map(shared, found.port.fields))})
    return found.model_copy(update={"port": port})


def _line(each: Binding, bindings: tuple[Binding, ...], shown: Binding, today: date) -> ShownLine:
    address = each.address
    return ShownLine(
        port=address.port or "",
        major=address.major or 0,
        status=each.status,
        live=live_line(lines_of(bindings, address), today) == address.major,
        shown=each is shown,
        live_from=each.live_from,
        deprecated_on=each.deprecated_on,
        successor=each.successor,
    )


def _port(connection: Connection, found: RegisteredProduct, binding: Binding, registry: str) -> ShownPort:
    product, form = found.descriptor, json.loads(binding.schema_text)
    address = binding.address
    line = product.port(address.port, address.major)
    read = readers(connection, address) if binding.status != Status.RETIRED else ()
    return ShownPort(
        address=address,
        short_address=str(address).removeprefix("mesh://"),
        topic=binding.topic,
        cluster=binding.cluster,
        bootstrap_servers=binding.bootstrap_servers,
        partitions=binding.partitions,
        key=binding.key,
        time=binding.time,
        type=binding.type,
        envelope=binding.envelope,
        subject=binding.subject,
        schema_id=binding.schema_id,
        fingerprint=binding.fingerprint,
        generation=binding.generation,
        compatibility=product.compatibility(line) if line else "NONE",
        retention=line.retention if line else None,
        kept=binding.cleanup,
        status=binding.status,
        doc=str(form.get("doc") or "") if isinstance(form, dict) else "",
        fields=tuple(_field(each, binding, read) for each in fields_of(form)),
        readers=read,
        seen=readers_of_line(connection, str(product.id), binding, read),
        promises=tuple(_promises(product, binding)),
        processor=shown_processor(connection, product, address) if binding.status != Status.RETIRED else None,
        snippets=snippets(binding, registry),
    )


def _field(field: FieldInWords, binding: Binding, read: tuple[Reader, ...]) -> FieldRow:
    top = field.path.partition(".")[0].partition("[")[0].partition("{")[0]
    return FieldRow(
        path=field.path,
        name=field.name,
        depth=field.depth,
        type=field.type,
        avro=field.avro,
        optional=field.optional,
        doc=field.doc,
        classification=field.classification,
        polyseme=field.polyseme,
        read_by=tuple(each.address for each in read if {field.path, top} & set(each.fields)),
        of_the_key=field.path in binding.key,
        is_the_time=field.path == binding.time,
    )


def _promises(product: Product, binding: Binding) -> Iterable[Promise]:
    summary, now = binding.service_levels, datetime.now(UTC)
    for level in product.sla_properties:
        if level.port in {None, binding.address.port}:
            name = f"{level.property} {level.value:g} {level.unit or ''}".strip()
            state = None
            if summary is not None:
                state = str(summary.levels.get(name, "unknown")) if now <= summary.valid_until else "unknown"
            yield Promise(name=name, state=state)
