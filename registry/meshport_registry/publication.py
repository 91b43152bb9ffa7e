"""Registering a data product from its descriptor: checked as a whole, then written as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from meshport.address import nearest, subject_name, topic_name
from meshport.catalog import Change, PortVersion, Registration
from meshport.compat import Finding, Outcome, Part, Severity, State, Verdict
from meshport.product import InputPort, OutputPort, Product, Status
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.contracts import Candidate, known_id
from meshport_registry.declaration import Declared, kept_on, line_of, unfit, unmatched
from meshport_registry.errors import Conflict, Incompatible, NotInMesh, Refused
from meshport_registry.gate import Judgement, judge
from meshport_registry.lifecycle import next_revision
from meshport_registry.products import (
    Cluster,
    bindings_of,
    choose,
    descriptor_of,
    find_address,
    find_guid,
    registered,
)
from meshport_registry.registration import Registered, add_version, already, put_version, refuse_read_only
from meshport_registry.store import Undo, now_us
from meshport_registry.subjects import find_history, global_settings, mode_of

_INSERT_PRODUCT: Final = insert(tables.product)
_INSERT_BINDING: Final = insert(tables.binding)
_SET_LEVEL: Final = (
    update(tables.subject).where(tables.subject.c.id == bindparam("row")).values(level=bindparam("level"), mode=None)
)


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

    def raise_if_contradicting(self, product: Product) -> None:
        if self.conflicts:  # the gate has said so already, with its rule, unless no port is the same
            raise Conflict(
                _told(f"{product.address} contradicts what is registered", self.conflicts),
                findings=tuple(self.conflicts),
            )


def _told(message: str, findings: Sequence[str]) -> str:
    return f"{message}: {findings[0]}" if len(findings) == 1 else f"{message} in {len(findings)} ways"


def publish(
    connection: Connection,
    wanted: Declared,
    cluster: Cluster,
    *,
    judged: Judgement | None = None,
    dry_run: bool = False,
) -> Registration:
    """Register a product, or bring it up to date; the same again changes nothing.

    Args:
        connection: the writing transaction.
        wanted: the product.
        cluster: the registry's own cluster.
        judged: the gate's judgement of it from before the transaction.
        dry_run: do everything, then undo it: the plan is what would really happen.

    Raises:
        Refused: the declaration does not hold together, or reads what is not there.
        Conflict: its address or its id belongs to another product.
        Incompatible: a port would break what it promised.
        Undo: the answer of a dry run.
    """
    plan = _Plan()
    row = _identify(connection, wanted.product, plan)
    product = _with_lifecycle(wanted.product, row, plan)
    if not (wanted.bootstrap_servers or cluster.bootstrap_servers):
        plan.refused.append("no Kafka cluster is named, and this registry was started without one")
    refuse_read_only(str(product.address), mode_of(None, global_settings(connection)))
    plan.refused += [*unmatched(wanted), *unfit(wanted)]
    sources = _check_inputs(connection, product, plan, lenient=dry_run)
    plan.raise_if_refused(product)
    _heed(judge(connection, wanted, utc_today(), before=judged).verdicts, plan)
    plan.raise_if_contradicting(product)
    _plan_descriptor(product, row, plan)
    guid, now = str(product.id), now_us()
    if row is None:
        new = {"guid": guid, "created_at": now, "updated_at": now, "revision": next_revision(connection)}
        connection.execute(_INSERT_PRODUCT, _row(product) | new)
    _write_bindings(connection, wanted, product, plan, dry_run=dry_run)
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
    """The product's row by its GUID; GUID and address belong together for ever."""
    by_guid, by_address = find_guid(connection, str(product.id)), find_address(connection, product.address)
    if by_guid is not None and descriptor_of(by_guid).address != product.address:
        plan.conflicts.append(
            f"id {product.id} is {descriptor_of(by_guid).address}: an address is permanent, a new one needs a new id"
        )
    if by_address is not None and by_address.guid != str(product.id):
        plan.conflicts.append(f"{product.address} has the id {by_address.guid}: an id never changes, nor is it reused")
    return by_guid


def _with_lifecycle(product: Product, row: Row[Any] | None, plan: _Plan) -> Product:
    """The descriptor, with a lifecycle that never goes back by itself."""
    kept = product if row is None else kept_on(product, descriptor_of(row))
    if kept is not product:
        plan.notes.append(f"the status stays {kept.status}, though the descriptor says {product.status}")
    return kept


def _heed(verdicts: tuple[Verdict, ...], plan: _Plan) -> None:
    """Refuse what breaks somebody; note what is let pass.

    Raises:
        Incompatible: with every verdict.
    """
    refusing = [(each, finding) for each in verdicts for finding in each.findings if finding.refuses]
    if refusing:
        findings = tuple(dict.fromkeys(str(finding) for _, finding in refusing))  # of the product: at each of its ports
        ports = ", ".join(dict.fromkeys(str(each.address) for each, _ in refusing))
        raise Incompatible(
            _told(f"{ports} would not be what was promised", findings),
            findings=findings,
            verdicts=verdicts,
            hint="`meshport gate check --against registry` says who breaks and what to do",
        )
    plan.notes += dict.fromkeys(
        _note(each, finding) for each in verdicts for finding in each.findings if each.outcome is not Outcome.UNCHANGED
    )


def _note(verdict: Verdict, finding: Finding) -> str:
    said = str(finding)
    if finding.part is not Part.PRODUCT:
        said = f"{verdict.address.port}@{verdict.address.major}: {said}"
    if finding.state is State.WAIVED:
        waiver = next(each for each in verdict.waivers if each.id == finding.waiver)
        return f"{said}; waived by {waiver.approver} until {waiver.until}"
    if finding.state is State.SETTLED:
        return f"{said}; the version before does so already"
    if finding.state is State.UNREAD:
        return f"{said}; no declared reader reads it"
    return f"{said}; a warning" if finding.severity is Severity.WARNING else said


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


def _write_bindings(connection: Connection, wanted: Declared, product: Product, plan: _Plan, *, dry_run: bool) -> None:
    own = tables.binding
    known = {
        (each.port, each.major): each for each in connection.execute(select(own).where(own.c.guid == str(product.id)))
    }
    declared = {line_of(port) for port in product.output_ports}
    dropped = [each for line, each in known.items() if line not in declared]  # retired ones: the gate was asked
    for position, each in enumerate(dropped, len(declared)):
        rows = (own.c.guid == each.guid) & (own.c.port == each.port) & (own.c.major == each.major)
        connection.execute(update(own).where(rows).values(position=position))
    for position, port in enumerate(product.output_ports):
        called, before = f"{port.name}@{port.major}", known.get(line_of(port))
        candidate = wanted.contracts[line_of(port)]
        assert isinstance(candidate, Candidate)  # noqa: S101 - the gate refused whatever is none
        generation = before.generation if before else 1
        at = _write_contract(connection, product, port, candidate, before)
        address = product.port_address(port)
        topic = topic_name(address, generation=generation)
        values = {
            "position": position,
            "bootstrap_servers": wanted.bootstrap_servers,
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


def _write_contract(
    connection: Connection, product: Product, port: OutputPort, candidate: Candidate, before: Row[Any] | None
) -> Registered:
    """Make the schema the subject's latest version, if it is none yet, at the level of the descriptor.

    Raises:
        Incompatible: the subject had versions before it was this product's, and the level forbids what follows.
    """
    name, level = subject_name(product.port_address(port)), product.compatibility(port)
    history = find_history(connection, name)
    known = known_id(connection, candidate)
    at = already(history, known)
    if at is None and before is None:
        at = add_version(connection, history, candidate, level, known=known)
    elif at is None:
        at = put_version(connection, history, candidate, history.next_number, known=known)
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
