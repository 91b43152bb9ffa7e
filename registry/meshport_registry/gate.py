"""The gate at the registry: what the engine judges, put together from what is stored. Reads only.

The judgement of a registration runs inside its writing transaction, so that nothing can change between it and the
commit; everybody else is answered on a reading connection, by the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Row

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import PortPast, ProductPast, Reader, SchemaVersion, declaring
from meshport.compat import Contract, Past, Verdict, Version, judge_new, judge_port
from meshport.compat.judge import refused_schema
from meshport.errors import SchemaError
from meshport.product import OutputPort, Product, Status
from meshport_registry.contracts import Candidate, schemas_of
from meshport_registry.declaration import Declared, Line, kept_on, line_of
from meshport_registry.errors import VersionNotFound
from meshport_registry.lineage import readers
from meshport_registry.products import (
    Cluster,
    bindings_of,
    descriptor_of,
    find_address,
    find_guid,
    require_address,
    require_guid,
)
from meshport_registry.subjects import LATEST, History, Subject, find_history
from meshport_registry.waivers import waivers

_NOWHERE: Final = Cluster()  # the gate does not look at clusters


def judge(connection: Connection, wanted: Declared, today: date) -> tuple[Verdict, ...]:
    """The verdict on each port of a declaration, then on each that it drops.

    Args:
        connection: to the database.
        wanted: the declaration; each port has its schema.
        today: the day (UTC).

    Raises:
        SchemaError: two schemas that cannot be compared; never to be read as compatible.
    """
    product = wanted.product
    # Whoever changes an address or an id is judged as the product that it was: both are findings.
    row = find_address(connection, product.address) or find_guid(connection, str(product.id))
    bound: dict[Line, Binding] = {}
    if row is not None:
        product = kept_on(product, descriptor_of(row))
        bound = {_line(each): each for each in bindings_of(connection, row, _NOWHERE)}
    verdicts = []
    for port in product.output_ports:
        candidate, address, line = wanted.contracts[line_of(port)], product.port_address(port), line_of(port)
        if isinstance(candidate, SchemaError):
            verdicts.append(refused_schema(address, product.compatibility(port), candidate, today=today))
            continue
        after = Contract(product, port, candidate.schema)
        if row is not None and line in bound:
            past = past_of(connection, row, bound[line], like=port)
            verdicts.append(judge_port(past, after, product, today=today))
        else:
            verdicts.append(judge_new(after, today=today, readers=_followers(connection, port, bound)))
    declared = {line_of(port) for port in product.output_ports}
    for line, binding in bound.items():
        if row is not None and line not in declared and binding.status is not Status.RETIRED:
            verdicts.append(judge_port(past_of(connection, row, binding), None, product, today=today))
    return tuple(verdicts)


def _line(binding: Binding) -> Line:
    return binding.address.port or "", binding.address.major or 0


def _followers(connection: Connection, port: OutputPort, bound: Mapping[Line, Binding]) -> tuple[Reader, ...]:
    """Whoever reads a port at whichever major is live, and so reads a new one once its day has come."""
    known = next((each.address for (name, _), each in bound.items() if name == port.name), None)
    found = () if known is None else readers(connection, replace(known, major=None))
    return tuple(each for each in found if each.reads.major is None)


def judge_next(
    connection: Connection,
    subject: Subject,
    candidate: Candidate | SchemaError,
    today: date,
    *,
    version: int | None = None,
) -> Verdict:
    """The verdict on a schema that would come next in a product's subject, while all around it stays as it is.

    Args:
        connection: to the database.
        subject: of a product.
        candidate: the schema, or why it is none.
        today: the day (UTC).
        version: the only version to compare it with, or `LATEST`; None for those that the level asks for.

    Raises:
        VersionNotFound: the subject has no such version.
        SchemaError: what was sent is no schema at all, or cannot be compared.
    """
    row = require_guid(connection, subject.owner or "")
    binding = next(each for each in bindings_of(connection, row, _NOWHERE) if each.subject == subject.name)
    past = past_of(connection, row, binding)
    product, port = past.contract.product, past.contract.port
    if isinstance(candidate, SchemaError):
        return refused_schema(binding.address, product.compatibility(port), candidate, today=today)
    if version is not None:
        number = past.versions[-1].number if version == LATEST else version
        one = next((each for each in past.versions if each.number == number), None)
        if one is None:
            raise VersionNotFound(f"version {version} not found")
        past = Past(Contract(product, port, one.schema), (one,), past.readers, past.waivers)
    return judge_port(past, Contract(product, port, candidate.schema), product, today=today)


def past_of(connection: Connection, row: Row[Any], binding: Binding, *, like: OutputPort | None = None) -> Past:
    """What the readers of one line rely on.

    Args:
        connection: to the database.
        row: of the product.
        binding: of the line.
        like: where the descriptor has dropped the line: what is taken for those promises that no binding keeps.
    """
    history = find_history(connection, binding.subject)
    # A product may have gone back to an older version; what stands is the newest as its readers see it.
    live = sorted(history.live, key=lambda each: each.fingerprint == binding.fingerprint)
    schemas = schemas_of(connection, [each.fingerprint for each in live])
    versions = tuple(Version(each.number, schema) for each, schema in zip(live, schemas, strict=True))
    product = descriptor_of(row)
    port = _entry(product, binding, history, like)
    contract = Contract(declaring(product, port), port, schemas[-1])
    return Past(contract, versions, readers(connection, binding.address), waivers(connection, binding.address))


def _entry(product: Product, binding: Binding, history: History, like: OutputPort | None) -> OutputPort:
    name, major = _line(binding)
    known = product.port(name, major)
    if known is not None:
        return known
    kept = {
        "key": binding.key[0] if len(binding.key) == 1 else binding.key or None,
        "time": binding.time,
        "type": binding.type,
        "partitions": binding.partitions,
        "cleanup": binding.cleanup,
        "compatibility": history.subject and history.subject.level,
    }
    return (like or OutputPort(name=name, major=major)).model_copy(update=kept)


def product_past(connection: Connection, address: Address) -> ProductPast:
    """Whatever a change of a product is judged by, for whoever wants to judge it elsewhere.

    Raises:
        NotInMesh: no such product.
    """
    row = require_address(connection, address)
    return ProductPast(
        product=descriptor_of(row),
        ports=tuple(
            _port_past(past_of(connection, row, each), each.status) for each in bindings_of(connection, row, _NOWHERE)
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
    )
