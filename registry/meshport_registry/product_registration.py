"""Registering a data product from its descriptor.

The whole product is checked first and then written, in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from meshport.address import Address
from meshport.catalog import PortVersion, Registration, RegistrationChange
from meshport.compat import Finding, Outcome, Part, Severity, State, Verdict
from meshport.errors import ProcessError
from meshport.process.logic.declared_reads import ReadPort, addresses_read, wrong_declarations
from meshport.product import InputPort, OutputPort, Product, Status
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict, Incompatible, NotInMesh, RequestRefused
from meshport_registry.gate import gate_judgement
from meshport_registry.judging import Judged
from meshport_registry.lifecycle import next_revision
from meshport_registry.placement import Placement
from meshport_registry.product_declaration import ProductDeclaration, keep_lifecycle, line_of, unmatched
from meshport_registry.products import (
    DefaultCluster,
    bindings_of,
    choose_binding,
    descriptor_of,
    find_address,
    find_guid,
    registered_product,
)
from meshport_registry.read_ports import read_port
from meshport_registry.schema_registration import (
    RegisteredVersion,
    add_version,
    existing_version,
    insert_version,
)
from meshport_registry.schemas import CandidateSchema, registered_id
from meshport_registry.store import RollBack, now_us
from meshport_registry.subject_settings import effective_mode, refuse_read_only, registry_settings
from meshport_registry.subjects import find_history

_INSERT_PRODUCT: Final = insert(tables.product)
_INSERT_BINDING: Final = insert(tables.binding)
_SET_LEVEL: Final = (
    update(tables.subject).where(tables.subject.c.id == bindparam("row")).values(level=bindparam("level"), mode=None)
)


@dataclass
class _RegistrationPlan:
    """What a registration has found so far, and what it changes."""

    refused: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    changed: list[RegistrationChange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unresolved: list[InputPort] = field(default_factory=list)
    ports: list[PortVersion] = field(default_factory=list)

    def compare(self, item: str, before: Any, after: Any) -> None:
        if before != after:
            self.changed.append(RegistrationChange(item=item, before=before, after=after))

    def raise_if_refused(self, product: Product) -> None:
        if self.refused:
            raise RequestRefused(
                _summary(f"{product.address} cannot be registered", self.refused), findings=tuple(self.refused)
            )

    def raise_if_conflicting(self, product: Product) -> None:
        if self.conflicts:  # the gate reports the same as a finding of a rule, unless no port is the same
            raise Conflict(
                _summary(f"{product.address} contradicts what is registered", self.conflicts),
                findings=tuple(self.conflicts),
            )


def _summary(message: str, findings: Sequence[str]) -> str:
    return f"{message}: {findings[0]}" if len(findings) == 1 else f"{message} in {len(findings)} ways"


def register_product(
    connection: Connection,
    declaration: ProductDeclaration,
    cluster: DefaultCluster,
    judged: Judged,
    *,
    dry_run: bool = False,
) -> Registration:
    """Register a product, or update it. Registering the same declaration again changes nothing.

    Args:
        connection: the writing transaction.
        declaration: the product with its schemas.
        cluster: the registry's default cluster.
        judged: the judgements of the declaration that were made before the transaction.
        dry_run: do everything, then roll it back, so that the answer is what a registration would do.

    Raises:
        RequestRefused: ports and schemas do not fit each other, an input port is not registered or lacks a field that
            is read, or no Kafka cluster is known.
        Conflict: the address or the id belongs to another product.
        Incompatible: the gate refuses the change of a port.
        JudgeFirst: what the judgement of the declaration depends on has changed, or it was not judged yet.
        RollBack: carries the answer of a dry run.
    """
    plan = _RegistrationPlan()
    row = _find_registered(connection, declaration.product, plan)
    product = _with_lifecycle(declaration.product, row, plan)
    nameless = any(port.cluster is None for port in product.output_ports)
    if nameless and not (declaration.bootstrap_servers or cluster.bootstrap_servers):
        plan.refused.append("no Kafka cluster is named, and this registry was started without one")
    refuse_read_only(str(product.address), effective_mode(None, registry_settings(connection)))
    plan.refused += [*unmatched(declaration), *declaration.misfits]
    inputs = _check_inputs(connection, product, plan, lenient=dry_run)
    plan.raise_if_refused(product)
    plan.refused += [each for port in product.output_ports for each in _bound_elsewhere(connection, product, port)]
    plan.raise_if_refused(product)
    _apply_verdicts(judged.result(gate_judgement(connection, declaration, utc_today())), plan)
    plan.raise_if_conflicting(product)
    _plan_descriptor(product, row, plan)
    guid, now = str(product.id), now_us()
    if row is None:
        new = {"guid": guid, "created_at": now, "updated_at": now, "revision": next_revision(connection)}
        connection.execute(_INSERT_PRODUCT, _row(product) | new)
    placement = Placement(declaration, cluster)
    _write_bindings(connection, declaration, product, plan, judged, placement=placement, dry_run=dry_run)
    plan.raise_if_refused(product)
    if row is not None and plan.changed:
        values = _row(product) | {"updated_at": now, "revision": next_revision(connection)}
        connection.execute(update(tables.product).where(tables.product.c.guid == guid).values(**values))
        connection.execute(delete(tables.tag).where(tables.tag.c.guid == guid))
        connection.execute(delete(tables.input_port).where(tables.input_port.c.guid == guid))
    if plan.changed:
        _write_tags_and_inputs(connection, product, inputs)
    stored = find_guid(connection, guid)
    assert stored is not None  # noqa: S101 - this transaction wrote it above
    answer = Registration(
        product=registered_product(connection, stored, cluster),
        ports=tuple(plan.ports),
        changed=tuple(plan.changed),
        unresolved=tuple(each.address for each in plan.unresolved),
        notes=tuple(plan.notes),
        dry_run=dry_run,
    )
    if dry_run:
        raise RollBack(answer)
    if plan.changed:
        record(connection, _change(stored, product, plan, new=row is None))
    return answer


def _change(stored: Row[Any], product: Product, plan: _RegistrationPlan, *, new: bool) -> MeshChange:
    changed = [each.item for each in plan.changed]
    summary = f"{product.address} is registered" if new else f"{product.address} is changed: {', '.join(changed)}"
    kind = MeshChangeKind.REGISTERED if new else MeshChangeKind.CHANGED
    return MeshChange.of_product(kind, stored, product.address, summary, changed=changed, notes=plan.notes)


def _find_registered(connection: Connection, product: Product, plan: _RegistrationPlan) -> Row[Any] | None:
    """Return the product's row by its GUID. A GUID and an address stay paired for ever; another pairing is a conflict."""
    by_guid, by_address = find_guid(connection, str(product.id)), find_address(connection, product.address)
    if by_guid is not None and descriptor_of(by_guid).address != product.address:
        plan.conflicts.append(
            f"id {product.id} is {descriptor_of(by_guid).address}: an address is permanent, a new one needs a new id"
        )
    if by_address is not None and by_address.guid != str(product.id):
        plan.conflicts.append(f"{product.address} has the id {by_address.guid}: an id never changes, nor is it reused")
    return by_guid


def _with_lifecycle(product: Product, row: Row[Any] | None, plan: _RegistrationPlan) -> Product:
    """Return the descriptor with the registered lifecycle, unless its own is further along."""
    kept = product if row is None else keep_lifecycle(product, descriptor_of(row))
    if kept is not product:
        note = f"the status stays {kept.status}, though the descriptor says {product.status}"
        undo = f" (`meshport deprecate {product.address.key} --undo`)" if kept.status is Status.DEPRECATED else ""
        plan.notes.append(note + undo)
    return kept


def _apply_verdicts(verdicts: tuple[Verdict, ...], plan: _RegistrationPlan) -> None:
    """Refuse a product that breaks its readers, and note the findings that the gate lets pass.

    Raises:
        Incompatible: a finding refuses the product; the error carries every verdict.
    """
    refusing = [(each, finding) for each in verdicts for finding in each.findings if finding.refuses]
    if refusing:
        findings = tuple(
            dict.fromkeys(str(finding) for _, finding in refusing)
        )  # each port repeats a product's finding
        ports = ", ".join(dict.fromkeys(str(each.address) for each, _ in refusing))
        raise Incompatible(
            _summary(f"{ports} would not be what was promised", findings),
            findings=findings,
            verdicts=verdicts,
            hint="`meshport gate check --against registry` says who breaks and what to do",
        )
    plan.notes += dict.fromkeys(
        _note(each, finding) for each in verdicts for finding in each.findings if each.outcome is not Outcome.UNCHANGED
    )


def _note(verdict: Verdict, finding: Finding) -> str:
    text = str(finding)
    if finding.part is not Part.PRODUCT:
        text = f"{verdict.address.port}@{verdict.address.major}: {text}"
    if finding.state is State.WAIVED:
        waiver = next(each for each in verdict.waivers if each.id == finding.waiver)
        return f"{text}; waived by {waiver.approver} until {waiver.until}"
    if finding.state is State.SETTLED:
        return f"{text}; the version before does so already"
    if finding.state is State.UNREAD:
        return f"{text}; no declared reader reads it"
    if finding.state is State.UNUSED:
        return f"{text}; the port has no event and no reader"
    return f"{text}; a warning" if finding.severity is Severity.WARNING else text


def _check_inputs(
    connection: Connection, product: Product, plan: _RegistrationPlan, *, lenient: bool
) -> list[tuple[str, str, InputPort]]:
    """Return the product's GUID and the port that each registered input resolves to."""
    found: list[tuple[str, str, InputPort]] = []
    ports: dict[Address, ReadPort] = {}
    for each in product.input_ports:
        row = find_address(connection, each.address)
        if row is None:
            if lenient:
                plan.unresolved.append(each)
            else:
                plan.refused.append(f"the input port {each.address} is not registered; register it first")
            continue
        bindings = bindings_of(connection, row, DefaultCluster())
        try:
            binding = choose_binding(bindings, each.address)
        except NotInMesh as error:
            plan.refused.append(f"the input port {error.message}; {error.hint}")
            continue
        if binding.status is Status.RETIRED:
            successor = f"; its successor is {binding.successor}" if binding.successor else ""
            plan.refused.append(f"the input port {each.address} is retired{successor}")
        ports[binding.address] = read_port(binding, bindings)
        found.append((row.guid, str(binding.address.port), each))
    for address in addresses_read(product):
        row = find_address(connection, address)
        if row is not None:
            bindings = bindings_of(connection, row, DefaultCluster())
            with suppress(NotInMesh):
                binding = choose_binding(bindings, address)
                ports[binding.address] = read_port(binding, bindings)
    try:
        plan.refused += map(str, wrong_declarations(product, list(ports.values())))
    except ProcessError as error:
        plan.refused.append(error.message + (f"; {error.hint}" if error.hint else ""))
    return found


def _plan_descriptor(product: Product, row: Row[Any] | None, plan: _RegistrationPlan) -> None:
    if row is None:
        plan.compare("product", None, str(product.address))
        return
    before, after = json.loads(row.descriptor), json.loads(_dump(product))
    for key in sorted(before.keys() | after.keys()):
        plan.compare(f"descriptor.{key}", before.get(key), after.get(key))


def _write_bindings(
    connection: Connection,
    declaration: ProductDeclaration,
    product: Product,
    plan: _RegistrationPlan,
    judged: Judged,
    *,
    placement: Placement,
    dry_run: bool,
) -> None:
    own = tables.binding
    known = {
        (each.port, each.major): each for each in connection.execute(select(own).where(own.c.guid == str(product.id)))
    }
    declared = {line_of(port) for port in product.output_ports}
    dropped = [each for line, each in known.items() if line not in declared]  # the gate lets only retired lines go
    for position, each in enumerate(dropped, len(declared)):
        rows = (own.c.guid == each.guid) & (own.c.port == each.port) & (own.c.major == each.major)
        connection.execute(update(own).where(rows).values(position=position))
    for position, port in enumerate(product.output_ports):
        line, before = f"{port.name}@{port.major}", known.get(line_of(port))
        candidate = declaration.contracts[line_of(port)]
        assert isinstance(candidate, CandidateSchema)  # noqa: S101 - the gate refused a declaration with a SchemaError
        generation = before.generation if before else 1
        version = _write_contract(connection, product, port, candidate, judged, before=before)
        address = product.port_address(port)
        topic = product.topic(port, generation=generation)
        if before is not None and before.partitions != port.partitions and not port.adopted:
            plan.refused.append(
                f"{address} has {before.partitions} partitions in generation {generation}, {port.partitions} are declared: "
                f"`meshport rebuild {address.of_product.key} --partitions {port.partitions} --swap always` first binds a "
                "generation that has as many"
            )
        plan.refused += placement.refusals(port, before, topic)
        values = {
            "position": position,
            "bootstrap_servers": placement.servers_on(port, before),
            "cluster": port.cluster,
            "topic": topic,
            "topic_id": declaration.topic_ids.get(topic, before.topic_id if before else None),
            "partitions": port.partitions,
            "key": json.dumps(port.key_fields),
            "time": port.time,
            "type": product.event_type(port),
            "cleanup": port.cleanup,
            "schema_id": version.id,
        }
        if before is None:
            plan.compare(f"{line}.topic", None, topic)
            new = {
                "guid": str(product.id),
                "port": port.name,
                "major": port.major,
                "generation": generation,
                "subject_id": version.subject_id,
                "status": Status.DRAFT,
            }
            connection.execute(_INSERT_BINDING, values | new)
        else:
            for name, value in values.items():
                plan.compare(f"{line}.{name}", getattr(before, name), value)
            rows = (own.c.guid == str(product.id)) & (own.c.port == port.name) & (own.c.major == port.major)
            connection.execute(update(own).where(rows).values(**values))
        plan.ports.append(
            PortVersion(
                address=address,
                topic=topic,
                subject=product.subject(port),
                schema_id=None if dry_run and version.created else version.id,
                version=version.version,
                fingerprint=candidate.schema.fingerprint,
            )
        )


def _bound_elsewhere(connection: Connection, product: Product, port: OutputPort) -> Iterator[str]:
    """Report the line of another port or product that has the topic, or the subject of its schema, of a port."""
    own, owner, topic, address = tables.binding, tables.product.c, product.topic(port), product.address
    # By address, since a rule of the gate judges the same product with another id.
    other_product = (owner.domain != address.domain) | (owner.name != address.product)
    other = other_product | (own.c.port != port.name) | (own.c.major != port.major)
    subject = select(tables.subject.c.id).where(tables.subject.c.name == product.subject(port)).scalar_subquery()
    named = (own.c.topic == topic) | (own.c.subject_id == subject)  # each has an index of `binding`
    found = connection.execute(
        select(tables.product.c.domain, tables.product.c.name, own.c.port, own.c.major)
        .select_from(own.join(tables.product, tables.product.c.guid == own.c.guid))
        .where(other & named)
    ).first()
    if found is not None:
        theirs = Address(found.domain, found.name, found.port, found.major)
        yield f"{product.port_address(port)} would have the topic {topic}, which is that of {theirs}: read that port instead"


def _write_contract(
    connection: Connection,
    product: Product,
    port: OutputPort,
    candidate: CandidateSchema,
    judged: Judged,
    *,
    before: Row[Any] | None,
) -> RegisteredVersion:
    """Make the schema a version of the port's subject if it is none yet, and set the descriptor's level.

    Raises:
        Incompatible: the subject had versions before it became this product's, and the level forbids the schema.
        JudgeFirst: that is to be judged before.
    """
    name, level = product.subject(port), product.compatibility(port)
    history = find_history(connection, name)
    known = registered_id(connection, candidate)
    # The topic's other writers may have registered the same schema with references.
    same = history.like(candidate, known) if port.adopted else None
    version = existing_version(history, same.schema_id if same else known)
    if version is None and before is None:
        version = add_version(connection, history, candidate, level, judged, known=known)
    elif version is None:
        version = insert_version(connection, history, candidate, history.next_number, known=known)
    if history.subject is None or history.subject.level is not level:
        connection.execute(_SET_LEVEL, {"row": version.subject_id, "level": level})
    return version


def _write_tags_and_inputs(connection: Connection, product: Product, inputs: list[tuple[str, str, InputPort]]) -> None:
    guid = str(product.id)
    if product.tags:
        connection.execute(insert(tables.tag), [{"guid": guid, "tag": tag} for tag in dict.fromkeys(product.tags)])
    if inputs:
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
                for position, (source, port, each) in enumerate(inputs)
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
