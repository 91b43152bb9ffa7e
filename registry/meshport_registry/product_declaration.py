"""What a team declares of its product: read from a request, and checked without the database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from meshport.catalog import ProductRegistration
from meshport.compat import RULES
from meshport.compat.judgement import SchemaReading
from meshport.errors import SchemaError
from meshport.event.level_fields import level_misfits
from meshport.event.port_fields import misfits
from meshport.product import OutputPort, Product
from meshport_registry.errors import RequestRefused
from meshport_registry.judging import JudgingStore
from meshport_registry.products import later_status
from meshport_registry.schemas import CandidateSchema, plain

# Ports, inputs or tags of one product. The transaction makes some statements for each.
_MOST: Final = 100

Line = tuple[str, int]
"""A line of a product: the name of a port and one of its majors."""


@dataclass(frozen=True)
class ProductDeclaration:
    """A product with its schemas, as its team wants to register it.

    Attributes:
        product: the descriptor.
        contracts: the schema of each output port, or the error of a schema that a rule of the gate refuses.
        bootstrap_servers: of the cluster of the ports that name none; None for the registry's default cluster.
        topic_ids: Kafka's ids of topics, by topic.
        unused: topics that hold no event and that no consumer group reads.
        misfits: what of it does not fit together, one text each.
        clusters: the bootstrap servers of the clusters that ports name, by name.
    """

    product: Product
    contracts: Mapping[Line, CandidateSchema | SchemaError]
    bootstrap_servers: str | None = None
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    misfits: tuple[str, ...] = ()
    clusters: Mapping[str, str] = field(default_factory=dict)


def line_of(port: OutputPort) -> Line:
    """Return the line that an output port of a descriptor declares."""
    return port.name, port.major


async def read_declaration(store: JudgingStore, body: ProductRegistration) -> ProductDeclaration:
    """Read the body of a registration.

    Raises:
        RequestRefused: there are too many ports, inputs or tags, or the name of a schema is not of the form
            `<port>@<major>`.
        SchemaError: a schema is not valid Avro.
    """
    product = body.descriptor
    for what, found in (
        ("output ports", product.output_ports),
        ("input ports", product.input_ports),
        ("tags", product.tags),
        ("schemas", body.schemas),
        ("topic ids", body.topic_ids or ()),
    ):
        if len(found) > _MOST:
            raise RequestRefused(f"{product.address} has {len(found)} {what}", hint=f"at most {_MOST}")
    contracts: dict[Line, CandidateSchema | SchemaError] = {}
    for name, text in body.schemas.items():
        port, at, major = name.partition("@")
        if not at or not re.fullmatch("[1-9][0-9]{0,8}", major):
            raise RequestRefused(
                f"{name!r} names no port and major", hint="name each schema <port>@<major>, as in events@1"
            )
        try:
            contracts[port, int(major)] = plain(await store.judge(SchemaReading(text)))
        except SchemaError as error:
            if error.rule not in RULES:
                raise
            contracts[port, int(major)] = error
    declaration = ProductDeclaration(
        product,
        contracts,
        body.bootstrap_servers,
        body.topic_ids or {},
        frozenset(body.unused),
        clusters=body.clusters,
    )
    return replace(
        declaration, misfits=(*_unfit(declaration), *[each async for each in _unreadable_state(store, product)])
    )


def unmatched(declaration: ProductDeclaration) -> Iterator[str]:
    """Report ports without a schema, and schemas without a port."""
    lines = {line_of(port) for port in declaration.product.output_ports}
    for name, major in declaration.contracts.keys() - lines:
        yield f"a schema is given for {name}@{major}, which is no output port"
    for port in declaration.product.output_ports:
        if line_of(port) not in declaration.contracts:
            yield f"no schema is given for {port.name}@{port.major}"


def _unfit(declaration: ProductDeclaration) -> Iterator[str]:
    """Report ports whose key, time, or field of a service level cannot be taken from their schema."""
    for port in declaration.product.output_ports:
        candidate, line = declaration.contracts.get(line_of(port)), f"{port.name}@{port.major}"
        if not isinstance(candidate, CandidateSchema):
            continue
        schema = candidate.schema
        if not schema.field_names:
            yield f"the schema of {line} is {schema.name}; a port's events are records with fields"
        for each in misfits(port, schema):
            yield f"{line}: {each.message}; {each.hint}"
        for level in level_misfits(declaration.product, port, schema):
            yield f"{line}: slaProperties[{level.index}]: {level.message}; {level.hint}"


async def _unreadable_state(store: JudgingStore, product: Product) -> AsyncIterator[str]:
    """Report a process state whose schema cannot be read."""
    applied = product.process.applied if product.process else None
    if applied is None or applied.state is None:
        return
    try:
        await store.judge(SchemaReading(applied.state, source="the schema of the state that `apply` keeps"))
    except SchemaError as error:
        yield f"{error.message}; a registry has no files: `meshport apply` sends the schema in place of one"


def keep_lifecycle(product: Product, known: Product) -> Product:
    """Return a descriptor with the lifecycle of the registered one, unless its own is further along.

    A declaration never moves a lifecycle back.
    """
    if later_status(known.status, product.status) is product.status:
        return product
    lifecycle = {"status": known.status, "deprecated_on": known.deprecated_on, "successor": known.successor}
    return product.model_copy(update=lifecycle)
