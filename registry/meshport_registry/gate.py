"""The gate at the registry: the input of the gate's engine, read from the tables. This module only reads.

A registration is judged before its writing transaction. The transaction reads the input of the judgement again. If it is
the same, the verdict still holds, and nothing can change it before the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import PortPast, ProductPast, Reader, SchemaVersion, declaring
from meshport.compat import Case, Contract, Past, Version, with_migrated
from meshport.compat.judgement import GateJudgement
from meshport.errors import SchemaError
from meshport.product import OutputPort, Status
from meshport_registry.errors import VersionNotFound
from meshport_registry.lineage import readers
from meshport_registry.product_declaration import Line, ProductDeclaration, keep_lifecycle, line_of
from meshport_registry.products import (
    DefaultCluster,
    bindings_of,
    descriptor_of,
    find_address,
    find_guid,
    require_address,
    require_guid,
)
from meshport_registry.schemas import CandidateSchema, parsed_schemas
from meshport_registry.seen_readers.known import undeclared_readers
from meshport_registry.subject_names import LATEST
from meshport_registry.subjects import Subject, SubjectHistory, find_history
from meshport_registry.waivers import waivers

_NO_CLUSTER: Final = DefaultCluster()  # the gate does not judge clusters


def gate_judgement(connection: Connection, declaration: ProductDeclaration, today: date) -> GateJudgement:
    """Return the judgement of each port of a declaration, then of each registered port that it drops.

    Args:
        connection: to the database.
        declaration: the product; each port has a schema.
        today: the day (UTC).
    """
    return GateJudgement(with_migrated(_cases(connection, declaration)), today)


def _cases(connection: Connection, declaration: ProductDeclaration) -> Iterator[Case]:
    product = declaration.product
    # A changed address or id is a finding of the gate, so the product is found by either.
    row = find_address(connection, product.address) or find_guid(connection, str(product.id))
    bound: dict[Line, Binding] = {}
    if row is not None:
        product = keep_lifecycle(product, descriptor_of(row))
        bound = {_line(each): each for each in bindings_of(connection, row, _NO_CLUSTER)}
    for port in product.output_ports:
        candidate, binding = declaration.contracts[line_of(port)], bound.get(line_of(port))
        schema = candidate.schema if isinstance(candidate, CandidateSchema) else candidate
        if row is not None and binding is not None:
            past = replace(past_of(connection, row, binding), unused=binding.topic in declaration.unused)
            yield Case.declared(product, port, schema, past)
        else:
            yield Case.declared(product, port, schema, None, _future_readers(connection, port, bound))
    declared = {line_of(port) for port in product.output_ports}
    for line, binding in bound.items():
        if row is not None and line not in declared and binding.status is not Status.RETIRED:
            yield Case.removed(past_of(connection, row, binding), product)


def _line(binding: Binding) -> Line:
    return binding.address.port or "", binding.address.major or 0


def _future_readers(connection: Connection, port: OutputPort, bound: Mapping[Line, Binding]) -> tuple[Reader, ...]:
    """Return the readers of a port that name no major: they read a new line from its first live day."""
    known = next((each.address for (name, _), each in bound.items() if name == port.name), None)
    found = () if known is None else readers(connection, replace(known, major=None))
    return tuple(each for each in found if each.reads.major is None)


def next_version_judgement(
    connection: Connection,
    subject: Subject,
    candidate: CandidateSchema | SchemaError,
    today: date,
    *,
    version: int | None = None,
) -> GateJudgement:
    """Return the judgement of a schema as the next version of a product's subject, the rest of the contract unchanged.

    Args:
        connection: to the database.
        subject: a subject that belongs to a product.
        candidate: the schema, or the error of a schema that a rule of the gate refuses.
        today: the day (UTC).
        version: the only version to compare it with, or `LATEST`; None for the versions that the level requires.

    Raises:
        VersionNotFound: the subject has no such version.
    """
    row = require_guid(connection, subject.owner or "")
    binding = next(each for each in bindings_of(connection, row, _NO_CLUSTER) if each.subject == subject.name)
    past = past_of(connection, row, binding)
    product, port = past.contract.product, past.contract.port
    if version is not None and not isinstance(candidate, SchemaError):
        number = past.versions[-1].number if version == LATEST else version
        one = next((each for each in past.versions if each.number == number), None)
        if one is None:
            raise VersionNotFound(f"version {version} not found")
        past = replace(past, contract=Contract(product, port, one.schema), versions=(one,))
    schema = candidate if isinstance(candidate, SchemaError) else candidate.schema
    return GateJudgement((Case.declared(product, port, schema, past),), today)


def past_of(connection: Connection, row: Row[Any], binding: Binding) -> Past:
    """Return what the readers of a line rely on: its contract, versions, readers and waivers.

    Args:
        connection: to the database.
        row: the product's row.
        binding: the line's binding.
    """
    history = find_history(connection, binding.subject)
    # A product may have gone back to an older version. The bound version comes last, as the newest that readers see.
    live = sorted(history.live, key=lambda each: each.fingerprint == binding.fingerprint)
    schemas = parsed_schemas(connection, [each.fingerprint for each in live])
    versions = tuple(Version(each.number, schema) for each, schema in zip(live, schemas, strict=True))
    product = descriptor_of(row)
    declared = product.port(*_line(binding))
    # A rebuild may have bound a generation with another number of partitions.
    port = declared.model_copy(update={"partitions": binding.partitions}) if declared else _dropped(binding, history)
    contract = Contract(declaring(product, port), port, schemas[-1])
    known = readers(connection, binding.address)
    return Past(
        contract,
        versions,
        known,
        waivers(connection, binding.address),
        undeclared=undeclared_readers(connection, row.guid, binding, known),
    )


def _dropped(binding: Binding, history: SubjectHistory) -> OutputPort:
    """Return the port entry of a retired line that the descriptor has dropped.

    Its retention is the minimum, so that no declared retention counts as shorter.
    """
    name, major = _line(binding)
    return OutputPort(
        name=name,
        major=major,
        key=binding.key or None,
        time=binding.time,
        type=binding.type,
        compatibility=history.subject.level if history.subject else None,
        partitions=binding.partitions,
        retention=timedelta(milliseconds=1),
        cleanup="compact" if binding.cleanup == "compact" else "delete",
    )


def product_past(connection: Connection, address: Address) -> ProductPast:
    """Return everything that the gate judges a change of a product by, so that a client can judge it too.

    Raises:
        NotInMesh: the product is not registered.
    """
    row = require_address(connection, address)
    return ProductPast(
        product=descriptor_of(row),
        ports=tuple(
            _port_past(past_of(connection, row, each), each.status)
            for each in bindings_of(connection, row, _NO_CLUSTER)
        ),
    )


def _port_past(past: Past, status: Status) -> PortPast:
    return PortPast(
        port=past.contract.port,
        status=status,
        versions=tuple(
            SchemaVersion(number=each.number, fingerprint=each.schema.fingerprint, schema_text=each.schema.text)
            for each in past.versions
        ),
        readers=past.readers,
        waivers=past.waivers,
        undeclared=past.undeclared,
    )
