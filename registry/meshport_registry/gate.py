"""The gate at the registry: what the engine judges, put together from what is stored. Reads only.

A registration is judged on a reading connection first. Inside its writing transaction, what the judgement followed from
is put together once more: if it is the same, the verdict still holds, and nothing can change between it and the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import PortPast, ProductPast, Reader, SchemaVersion, declaring
from meshport.compat import Case, Contract, Past, Verdict, Version, judge_port
from meshport.compat.judge import refused_schema
from meshport.errors import SchemaError
from meshport.product import OutputPort, Status
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


@dataclass(frozen=True)
class Judgement:
    """Verdicts, and what they follow from.

    Attributes:
        cases: one for each port of the declaration, then one for each that it drops.
        today: the day (UTC).
        verdicts: in the same order.
    """

    cases: tuple[Case, ...]
    today: date
    verdicts: tuple[Verdict, ...]


def judge(connection: Connection, wanted: Declared, today: date, *, before: Judgement | None = None) -> Judgement:
    """The verdict on each port of a declaration, then on each that it drops.

    Args:
        connection: to the database.
        wanted: the declaration; each port has its schema.
        today: the day (UTC).
        before: a judgement of the same declaration, which is given again if nothing has changed since. To see whether it has
            takes milliseconds, to judge a long history takes a second: the one writer of all should not wait for that.

    Raises:
        SchemaError: two schemas that cannot be compared; never to be read as compatible.
    """
    cases = tuple(_cases(connection, wanted))
    if before is not None and (before.cases, before.today) == (cases, today):
        return before
    return Judgement(cases, today, tuple(each.verdict(today) for each in cases))


def _cases(connection: Connection, wanted: Declared) -> Iterator[Case]:
    product = wanted.product
    # Whoever changes an address or an id is judged as the product that it was: both are findings.
    row = find_address(connection, product.address) or find_guid(connection, str(product.id))
    bound: dict[Line, Binding] = {}
    if row is not None:
        product = kept_on(product, descriptor_of(row))
        bound = {_line(each): each for each in bindings_of(connection, row, _NOWHERE)}
    for port in product.output_ports:
        candidate, binding = wanted.contracts[line_of(port)], bound.get(line_of(port))
        schema = candidate.schema if isinstance(candidate, Candidate) else candidate
        if row is not None and binding is not None:
            yield Case.declared(product, port, schema, past_of(connection, row, binding))
        else:
            yield Case.declared(product, port, schema, None, _followers(connection, port, bound))
    declared = {line_of(port) for port in product.output_ports}
    for line, binding in bound.items():
        if row is not None and line not in declared and binding.status is not Status.RETIRED:
            yield Case.removed(past_of(connection, row, binding), product)


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


def past_of(connection: Connection, row: Row[Any], binding: Binding) -> Past:
    """What the readers of one line rely on.

    Args:
        connection: to the database.
        row: of the product.
        binding: of the line.
    """
    history = find_history(connection, binding.subject)
    # A product may have gone back to an older version; what stands is the newest as its readers see it.
    live = sorted(history.live, key=lambda each: each.fingerprint == binding.fingerprint)
    schemas = schemas_of(connection, [each.fingerprint for each in live])
    versions = tuple(Version(each.number, schema) for each, schema in zip(live, schemas, strict=True))
    product = descriptor_of(row)
    port = product.port(*_line(binding)) or _dropped(binding, history)
    contract = Contract(declaring(product, port), port, schemas[-1])
    return Past(contract, versions, readers(connection, binding.address), waivers(connection, binding.address))


def _dropped(binding: Binding, history: History) -> OutputPort:
    """The entry of a retired line that the descriptor has dropped: how long its events are kept was promised to nobody."""
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
