"""Registering a data product from its descriptor: checked as a whole, then written as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from meshport.address import nearest, subject_name, topic_name
from meshport.catalog import Change, PortVersion, Registration
from meshport.product import InputPort, OutputPort, Product, Status
from meshport_registry import tables
from meshport_registry.contracts import Candidate, known_id
from meshport_registry.errors import Conflict, Incompatible, NotInMesh, Refused
from meshport_registry.lifecycle import next_revision
from meshport_registry.products import (
    Cluster,
    bindings_of,
    choose,
    descriptor_of,
    find_address,
    find_guid,
    later,
    registered,
)
from meshport_registry.registration import Registered, add_version, already, refuse_read_only
from meshport_registry.store import Undo, now_us
from meshport_registry.subjects import find_history, global_settings, mode_of

_Line = tuple[str, int]
_INSERT_PRODUCT: Final = insert(tables.product)
_INSERT_BINDING: Final = insert(tables.binding)
_SET_LEVEL: Final = (
    update(tables.subject).where(tables.subject.c.id == bindparam("row")).values(level=bindparam("level"), mode=None)
)


@dataclass(frozen=True)
class Declared:
    """What somebody wants to register.

    Attributes:
        product: the descriptor.
        contracts: the schema of each output port, by name and major.
        bootstrap_servers: the cluster of its topics, where that is not the registry's own.
    """

    product: Product
    contracts: Mapping[_Line, Candidate]
    bootstrap_servers: str | None = None


@dataclass
class _Plan:
    """What was found on the way."""

    refused: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unresolved: list[InputPort] = field(default_factory=list)
    ports: list[PortVersion] = field(default_factory=list)

    def compare(self, item: str, before: Any, after: Any) -> None:
        if before != after:
            self.changed.append(Change(item=item, before=before, after=after))

    def raise_if_refused(self, product: Product) -> None:
        if self.refused:
            raise Refused(_told(f"{product.address} cannot be registered", self.refused), findings=tuple(self.refused))
        if self.conflicts:
            raise Conflict(
                _told(f"{product.address} contradicts what is registered", self.conflicts),
                findings=tuple(self.conflicts),
            )


def _told(message: str, findings: list[str]) -> str:
    return f"{message}: {findings[0]}" if len(findings) == 1 else f"{message} in {len(findings)} ways"


def publish(connection: Connection, declared: Declared, cluster: Cluster, *, dry_run: bool = False) -> Registration:
    """Register a product, or bring it up to date; the same again changes nothing.

    Args:
        connection: the writing transaction.
        declared: the product.
        cluster: the registry's own cluster.
        dry_run: do everything, then undo it: the plan is what would really happen.

    Raises:
        Refused: the declaration does not hold together, or reads what is not there.
        Conflict: it contradicts what the mesh already promised.
        Undo: the answer of a dry run.
    """
    plan = _Plan()
    row = _identify(connection, declared.product, plan)
    product = _with_lifecycle(declared.product, row, plan)
    if not (declared.bootstrap_servers or cluster.bootstrap_servers):
        plan.refused.append("no Kafka cluster is named, and this registry was started without one")
    refuse_read_only(str(product.address), mode_of(None, global_settings(connection)))
    lines = _check_contracts(declared, plan)
    sources = _check_inputs(connection, product, plan, lenient=dry_run)
    plan.raise_if_refused(product)
    _plan_descriptor(product, row, plan)
    guid, now = str(product.id), now_us()
    if row is None:
        new = {"guid": guid, "created_at": now, "updated_at": now, "revision": next_revision(connection)}
        connection.execute(_INSERT_PRODUCT, _row(product) | new)
    _write_bindings(connection, declared, product, lines, plan, dry_run=dry_run)
    plan.raise_if_refused(product)
    if row is not None and plan.changed:
        values = _row(product) | {"updated_at": now, "revision": next_revision(connection)}
        connection.execute(update(tables.product).where(tables.product.c.guid == guid).values(**values))
        connection.execute(delete(tables.tag).where(tables.tag.c.guid == guid))
        connection.execute(delete(tables.input_port).where(tables.input_port.c.guid == guid))
    if plan.changed:
        _write_words(connection, product, sources)
    stored = find_guid(connection, guid)
    assert stored is not None  # noqa: S101 - written a moment ago in this transaction
    answer = Registration(
        product=registered(connection, stored, cluster),
        ports=tuple(plan.ports),
        changed=tuple(plan.changed),
        unresolved=tuple(each.address for each in plan.unresolved),
        notes=tuple(plan.notes),
        dry_run=dry_run,
    )
    if dry_run:
        raise Undo(answer)
    return answer


def _identify(connection: Connection, product: Product, plan: _Plan) -> Row[Any] | None:
    """The product's row, once it is sure that GUID and address belong together for ever."""
    by_guid, by_address = find_guid(connection, str(product.id)), find_address(connection, product.address)
    if by_guid is not None and descriptor_of(by_guid).address != product.address:
        plan.conflicts.append(
            f"id {product.id} is {descriptor_of(by_guid).address}: an address is permanent, a new one needs a new id"
        )
    if by_address is not None and by_address.guid != str(product.id):
        plan.conflicts.append(f"{product.address} has the id {by_address.guid}: an id never changes, nor is it reused")
    plan.raise_if_refused(product)
    return by_guid


def _with_lifecycle(product: Product, row: Row[Any] | None, plan: _Plan) -> Product:
    """The descriptor, with a lifecycle that never goes back by itself."""
    if row is None:
        return product
    known = descriptor_of(row)
    if later(known.status, product.status) is product.status:
        return product
    plan.notes.append(f"the status stays {known.status}, though the descriptor says {product.status}")
    lifecycle = {"status": known.status, "deprecated_on": known.deprecated_on, "successor": known.successor}
    return product.model_copy(update=lifecycle)


def _check_contracts(declared: Declared, plan: _Plan) -> dict[_Line, tuple[OutputPort, Candidate]]:
    """Each output port with its schema."""
    product = declared.product
    ports = {(port.name, port.major): port for port in product.output_ports}
    for name, major in declared.contracts.keys() - ports.keys():
        plan.refused.append(f"a schema is given for {name}@{major}, which is no output port")
    lines: dict[_Line, tuple[OutputPort, Candidate]] = {}
    for line, port in ports.items():
        called = f"{port.name}@{port.major}"
        candidate = declared.contracts.get(line)
        if candidate is None:
            plan.refused.append(f"no schema is given for {called}")
            continue
        schema = candidate.schema
        if not schema.field_names:
            plan.refused.append(f"the schema of {called} is {schema.name}; a port's events are records with fields")
        for role, name in [*(("key", each) for each in port.key_fields), *([("time", port.time)] if port.time else [])]:
            if name not in schema.field_names:
                near = nearest(name, list(schema.field_names))
                plan.refused.append(
                    f"the {role} field {name!r} of {called} is not in {schema.name}"
                    + (f"; did you mean {near!r}?" if near else "")
                )
        lines[line] = (port, candidate)
    return lines


def _check_inputs(
    connection: Connection, product: Product, plan: _Plan, *, lenient: bool
) -> list[tuple[str, str, InputPort]]:
    """The GUID and port behind each input that is registered."""
    sources: list[tuple[str, str, InputPort]] = []
    for each in product.input_ports:
        row = find_address(connection, each.address)
        if row is None:
            if lenient:
                plan.unresolved.append(each)
            else:
                plan.refused.append(f"the input port {each.address} is not registered; register it first")
            continue
        try:
            binding = choose(bindings_of(connection, row, Cluster()), each.address)
        except NotInMesh as error:
            plan.refused.append(f"the input port {error.message}; {error.hint}")
            continue
        if binding.status is Status.RETIRED:
            to = f"; its successor is {binding.successor}" if binding.successor else ""
            plan.refused.append(f"the input port {each.address} is retired{to}")
        known = [str(one["name"]) for one in json.loads(binding.schema_text).get("fields", ())]
        for name in each.fields:
            if name.partition(".")[0] not in known:
                near = nearest(name, known)
                plan.refused.append(
                    f"the input port {each.address} has no field {name!r}"
                    + (f"; did you mean {near!r}?" if near else "")
                )
        sources.append((row.guid, str(binding.address.port), each))
    return sources


def _plan_descriptor(product: Product, row: Row[Any] | None, plan: _Plan) -> None:
    if row is None:
        plan.compare("product", None, str(product.address))
        return
    before, after = json.loads(row.descriptor), json.loads(_dump(product))
    for key in sorted(before.keys() | after.keys()):
        plan.compare(f"descriptor.{key}", before.get(key), after.get(key))


def _write_bindings(
    connection: Connection,
    declared: Declared,
    product: Product,
    lines: Mapping[_Line, tuple[OutputPort, Candidate]],
    plan: _Plan,
    *,
    dry_run: bool,
) -> None:
    own = tables.binding
    known = {
        (each.port, each.major): each for each in connection.execute(select(own).where(own.c.guid == str(product.id)))
    }
    for position, (line, each) in enumerate(known.items(), len(lines)):
        if line in lines:
            continue
        if each.status == Status.RETIRED:
            rows = (own.c.guid == each.guid) & (own.c.port == each.port) & (own.c.major == each.major)
            connection.execute(update(own).where(rows).values(position=position))
        else:
            plan.conflicts.append(
                f"the port {line[0]}@{line[1]} is gone from the descriptor; retire it first "
                f"(POST /api/v1/dataproducts/{product.id}/retire with port {line[0]}@{line[1]})"
            )
    for position, (line, (port, candidate)) in enumerate(lines.items()):
        called, before = f"{port.name}@{port.major}", known.get(line)
        generation = before.generation if before else 1
        if before is not None:
            _keep_promises(port, before, called, plan)
        try:
            at = _write_contract(connection, product, port, candidate)
        except Incompatible as error:
            plan.conflicts += [f"{called}: {finding}" for finding in error.findings]
            continue
        address = product.port_address(port)
        topic = topic_name(address, generation=generation)
        values = {
            "position": position,
            "bootstrap_servers": declared.bootstrap_servers,
            "topic": topic,
            "partitions": port.partitions,
            "key": json.dumps(port.key_fields),
            "time": port.time,
            "type": product.event_type(port),
            "cleanup": port.cleanup,
            "schema_id": at.id,
        }
        if before is None:
            plan.compare(f"{called}.topic", None, topic)
            new = {
                "guid": str(product.id),
                "port": port.name,
                "major": port.major,
                "generation": generation,
                "subject_id": at.subject_id,
                "status": Status.DRAFT,
            }
            connection.execute(_INSERT_BINDING, values | new)
        else:
            for name, value in values.items():
                plan.compare(f"{called}.{name}", getattr(before, name), value)
            rows = (own.c.guid == str(product.id)) & (own.c.port == port.name) & (own.c.major == port.major)
            connection.execute(update(own).where(rows).values(**values))
        plan.ports.append(
            PortVersion(
                address=address,
                topic=topic,
                subject=subject_name(address),
                schema_id=None if dry_run and at.created else at.id,
                version=at.version,
                fingerprint=candidate.schema.fingerprint,
            )
        )


def _keep_promises(port: OutputPort, before: Row[Any], called: str, plan: _Plan) -> None:
    """What cannot change while the topic stays: keys would move to other partitions, and order with them."""
    if before.partitions != port.partitions:
        plan.conflicts.append(
            f"{called} has {before.partitions} partitions, not {port.partitions}: keys would move; rebuild it or add a major"
        )
    if tuple(json.loads(before.key)) != port.key_fields:
        was = "|".join(json.loads(before.key)) or "no key"
        now = "|".join(port.key_fields) or "no key"
        plan.conflicts.append(f"{called} is keyed by {was}, not by {now}: readers rely on its order; add a major")


def _write_contract(connection: Connection, product: Product, port: OutputPort, candidate: Candidate) -> Registered:
    """Make the schema the subject's latest version, if it is none yet, at the level of the descriptor."""
    name, level = subject_name(product.port_address(port)), product.compatibility(port)
    history = find_history(connection, name)
    known = known_id(connection, candidate)
    at = already(history, known) or add_version(connection, history, candidate, level, known=known)
    if history.subject is None or history.subject.level is not level:
        connection.execute(_SET_LEVEL, {"row": at.subject_id, "level": level})
    return at


def _write_words(connection: Connection, product: Product, sources: list[tuple[str, str, InputPort]]) -> None:
    guid = str(product.id)
    if product.tags:
        connection.execute(insert(tables.tag), [{"guid": guid, "tag": tag} for tag in dict.fromkeys(product.tags)])
    if sources:
        connection.execute(
            insert(tables.input_port),
            [
                {
                    "guid": guid,
                    "position": position,
                    "source_guid": source,
                    "port": port,
                    "major": each.address.major,
                    "fields": json.dumps(each.fields),
                }
                for position, (source, port, each) in enumerate(sources)
            ],
        )


def _row(product: Product) -> dict[str, Any]:
    words = [product.address.key, product.display_name or "", product.description, product.owner, *product.tags]
    return {
        "domain": product.address.domain,
        "name": product.address.product,
        "archetype": product.archetype,
        "owner": product.owner,
        "status": product.status,
        "words": " ".join(words).lower(),
        "descriptor": _dump(product),
    }


def _dump(product: Product) -> str:
    return product.model_dump_json(by_alias=True, exclude_none=True)
