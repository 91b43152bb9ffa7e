"""`meshport registry relay`: the registry's own changes, published as the data product `mesh://mesh/changes`."""

from __future__ import annotations

from typing import Annotated

import typer

from meshport.cli.acls import admit_own
from meshport.cli.applying import admin_of
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import say
from meshport.cli.registry_database import DatabaseUrl
from meshport.cli.relay import database_url
from meshport.cli.session import (
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    topics_clusters,
)
from meshport.cli.signals import stop_on_signal
from meshport.kafka.admins import ClusterAdmins
from meshport.project.apply import carry_out, plan
from meshport.project.project import Project


def changes_project() -> Project:
    """Return the mesh project of the product, which the registry's package has."""
    from meshport_registry.changes import PROJECT  # noqa: PLC0415 - the service is an extra

    return Project(PROJECT)


def relay(
    database: DatabaseUrl,
    keep: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="For how long published rows are kept in the table.")
    ] = 600.0,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Publish the registry's own changes as mesh/changes, until interrupted.

    The first run registers the product and creates its topic and its ACLs, for which its login needs the right to register
    mesh/changes; the changes are recorded from then on, in the database, also while no relay runs. Later runs may log in to
    Kafka as mesh.changes, which may only write the topic. `meshport up` runs one by itself.

    Examples:
        meshport registry relay --database 'postgresql://meshport:${file:password}@db/registry'
        meshport tail mesh/changes
    """
    from meshport.outbox.relay import Relay  # noqa: PLC0415 - slow to import

    url = database_url(database)
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    stopped = stop_on_signal()
    with open_registry(registry) as mesh:
        work = Relay(url, mesh, kafka=clusters, keep_s=keep)
        admins = ClusterAdmins(clusters, admin_of)
        for each in plan(changes_project().products, mesh, admins):
            address = each.product.product.address
            if each.changes:
                carry_out(each, mesh, admins)
                say(f"{address.key}: registered; changes are recorded from now on")
            for line in admit_own(mesh, clusters, address, registered=bool(each.changes)):
                say(line)
        with serving_metrics(metrics, work.readiness):
            work.run(stopped)
