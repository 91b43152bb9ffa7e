"""`meshport access`: who may reach what, who asks for it, and what the clusters enforce."""

from __future__ import annotations

import typer

from meshport.cli import grants
from meshport.cli.acls import MeshAcls, acl_as_dict
from meshport.cli.output import FINDINGS, emit, say
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    topics_clusters,
)

access_app = typer.Typer(no_args_is_help=True)
access_app.command("request")(grants.request)
access_app.command("grant")(grants.grant)
access_app.command("refuse")(grants.refuse)
access_app.command("revoke")(grants.revoke)
access_app.command("list")(grants.list_grants)
access_app.command("enforce")(grants.enforce)


@access_app.callback()
def _access() -> None:
    """Who reads what: requests, grants, and the ACLs that follow at Kafka.

    Example: meshport access list
    """


@access_app.command()
def drift(
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the ACLs of the mesh's clusters with those that follow from its products and readers; change nothing.

    Ends with 1 where they differ. `meshport apply` adds those that are missing for the products of its project, and removes
    an unexpected one that `--revoke` names. Unexpected are ACLs that reach a topic, a group or a transactional id of the mesh,
    or a principal of it, and follow from nothing; those of other applications and of the cluster's administrators are not.

    Example: meshport access drift --json
    """
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    differ = False
    with open_registry(registry) as mesh:
        for each in MeshAcls(mesh, clusters).of_mesh():
            if each.unseen:
                raise each.unseen
            cluster = f"cluster {each.cluster}" if each.cluster else "the default cluster"
            if not each.enforced:
                say(f"{cluster} runs no authorizer: every login may do everything there")
            elif not each.drift:
                say(f"{cluster}: its ACLs are those that follow from the mesh")
            for acl, because in each.drift.missing.items():
                say(f"{cluster}: missing {acl} ({because})")
                if json:
                    emit({"cluster": each.cluster, "drift": "missing", **acl_as_dict(acl), "because": because})
            for acl in each.drift.unexpected:
                say(f"{cluster}: unexpected {acl}")
                if json:
                    emit({"cluster": each.cluster, "drift": "unexpected", **acl_as_dict(acl)})
            differ = differ or bool(each.drift)
    if differ:
        raise typer.Exit(FINDINGS)
