"""`meshport check` and `apply`: a project is checked, and brought into the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from meshport.address import Address
from meshport.cli.acls import AclPlan, MeshAcls
from meshport.cli.glossary_changes import GlossaryChanges
from meshport.cli.output import emit, say
from meshport.cli.policy_changes import PolicyChanges
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    resolve_at,
    running_mesh,
    topics_clusters,
)
from meshport.kafka.admin import Admin
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.kafka.one_machine import OneMachineAdmin
from meshport.policy import PolicySet
from meshport.product.lines import utc_today
from meshport.project.apply import ProductPlan, carry_out, plan
from meshport.project.check import Contracts, check_process, unknown_inputs
from meshport.project.contracts import check_contracts
from meshport.project.follow import follow_process
from meshport.project.glossary import project_glossary
from meshport.project.policies import policy_texts
from meshport.project.project import Project, ProjectProduct
from meshport.registry import Registry


def check(
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Before that, have the contracts of derived products follow what their processes make."
        ),
    ] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Check every descriptor, contract and process of this project.

    A contract is checked by itself here, such as its defaults; `meshport gate check` compares it with what readers know.

    Inputs that belong to other projects are looked up in the registry, if one is named or runs here. An input that no
    product has is an error.

    After a step of a process was changed, --write adds to the Avro file of its port the fields that are new, and takes out
    those that are no longer made. Where the port is registered, a new field is nullable with default null, since stored
    events do not have it.

    Examples:
        meshport check
        meshport check --write
    """
    project = Project.find(Path.cwd())
    if write:
        project = _written(project, registry)
    contracts = Contracts(project.products, resolve_at(registry))
    unchecked = 0
    for each in project.products:
        for finding in check_contracts(each, today=utc_today()):
            words = f"{finding.rule} at {finding.path}: {finding.message}; {finding.advice}"
            say(f"note: {each.product.address.key}: {words}")
        unknown = unknown_inputs(each, contracts)
        if unknown:
            unchecked += 1
        else:
            check_process(each, contracts)
        inputs = f"; {', '.join(address.key for address in unknown)} is not known here" if unknown else ""
        say(f"{each.product.address.key}: {each.product.archetype}, {_counted(len(each.schemas), 'port')}{inputs}")
        if json:
            emit(_checked(each, unknown))
    if texts := policy_texts(project):
        PolicySet(texts)
        say(f"{_counted(len(texts), 'file')} of policies well-formed; `meshport policy test` runs their tests")
    if terms := sum(len(each) for each in project_glossary(project).values()):
        say(f"{_counted(terms, 'term')} in the glossary")
    say(
        f"{_counted(len(project.products), 'product')} well-formed"
        + (f"; {unchecked} not checked against their inputs" if unchecked else "")
    )


def _written(project: Project, registry: str | None) -> Project:
    """Return the project after the contracts were changed; each product is read after those that it reads."""
    for address in [each.product.address for each in project.products]:
        product, contracts = project.product(address), Contracts(project.products, resolve_at(registry))
        followed = None if unknown_inputs(product, contracts) else follow_process(project, product, contracts)
        if followed is not None:
            followed.file.write_text(followed.text, encoding="utf-8")
            say(f"wrote {followed.file.relative_to(project.root)}: {'; '.join(followed.changes)}")
            project = Project.find(project.root)
    return project


def _checked(product: ProjectProduct, unknown: list[Address]) -> dict[str, Any]:
    descriptor = product.product
    return {
        "address": str(descriptor.address),
        "archetype": str(descriptor.archetype),
        "file": str(product.descriptor_file),
        "ports": [str(descriptor.port_address(each)) for each in descriptor.output_ports],
        "unknownInputs": [str(each) for each in unknown],
    }


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def apply(
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show the plan and end: nothing is registered, created or changed.")
    ] = False,
    revoke: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACL", help="Remove an unexpected ACL, as `meshport access drift` names it; may be repeated."
        ),
    ] = None,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Register this project's products and create their topics; nothing is deleted.

    Policies of the project are applied last: policies/*.cedar, and policies.cedar beside the products of a domain; and the terms
    of glossary.yaml.

    Where the cluster runs an authorizer, the ACLs that the process of each product needs are created too.

    The plan is shown first. If any product is refused, none is applied: a file that is wrong, a process that does not fit
    its contracts or reads a field that `inputPorts` does not declare, a change that breaks a reader.

    Example: meshport apply
    """
    project = Project.find(Path.cwd())
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    nameless = any(port.cluster is None for each in project.products for port in each.product.output_ports)
    if nameless and not clusters.default.bootstrap_servers:
        raise typer.BadParameter(
            "no Kafka was named, and no mesh runs here: MESHPORT_KAFKA, --kafka-config or `meshport up`",
            param_hint="--kafka",
        )
    with open_registry(registry) as mesh:
        planned = plan(project.products, mesh, admins := ClusterAdmins(clusters, admin_of))
        acls = AclPlan(MeshAcls(mesh, clusters, planned), planned, revoke or ())
        texts = (PolicyChanges(project, mesh), GlossaryChanges(project, mesh))
        _apply(planned, acls, texts, mesh, admins, plan_only, json)


def admin_of(cluster: KafkaConfig) -> Admin:
    """Return the admin client of a cluster; of the mesh that runs here, it makes do with the brokers that there are."""
    here = running_mesh(Path.cwd())
    return OneMachineAdmin(cluster) if here and here.bootstrap_servers == cluster.bootstrap_servers else Admin(cluster)


def _apply(
    planned: list[ProductPlan],
    acls: AclPlan,
    texts: Sequence[PolicyChanges | GlossaryChanges],
    mesh: Registry,
    admins: ClusterAdmins,
    plan_only: bool,
    json: bool,
) -> None:
    for each in planned:
        address = each.product.product.address
        changes = (*each.topics, *each.ids, *each.registration.changed, *each.registration.notes, *acls.lines(address))
        if not (each.changes or acls.missing(address)):
            say(f"{address.key}: as it is")
        for change in changes:
            say(f"{address.key}: {change}")
    for note in (*acls.notes(), *(line for each in texts for line in each.lines())):
        say(note)
    for each in planned:
        if not plan_only:
            if each.changes:
                carry_out(each, mesh, admins)
            acls.carry_out(each.product.product.address)
        if json:
            emit(_applied(each, acls, not plan_only))
    if not plan_only:
        acls.revoke()
        for line in acls.carry_out_grants():
            say(line)
        for scope in texts:
            scope.carry_out()
    if json:
        for scope in texts:
            scope.emit(done=not plan_only)
    todo = sum(each.changes or bool(acls.missing(each.product.product.address)) for each in planned)
    if plan_only:
        say(f"{todo} of {_counted(len(planned), 'product')} would change; nothing was done")
    else:
        say(f"{todo} of {_counted(len(planned), 'product')} changed")


def _applied(planned: ProductPlan, acls: AclPlan, done: bool) -> dict[str, Any]:
    return {
        "address": str(planned.product.product.address),
        "changed": [change.model_dump(mode="json") for change in planned.registration.changed],
        "topics": [topic.as_dict() for topic in planned.topics],
        "topicIds": [{"topic": each.topic, "before": each.before, "after": each.after} for each in planned.ids],
        "acls": [str(each) for each in sorted(acls.missing(planned.product.product.address))],
        "applied": done,
    }
