"""`meshport adopt`: an existing topic as a data product."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.output import emit, say
from meshport.cli.peer import PeerCaOption, PeerCertificateOption, PeerKeyOption, PeerNetrcOption, open_peer, peer_login
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    topics_clusters,
)
from meshport.errors import AddressError, RegistryUnavailable, UnknownCluster
from meshport.product import Archetype
from meshport.project.adopt import Adoption, Wanted, unknown_ids
from meshport.project.adopt import adopt as look
from meshport.project.project import Project
from meshport.project.scaffold import Draft, write_product


def adopt(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic, which is there already.")],
    address: Annotated[
        str, typer.Option("--as", metavar="ADDRESS", help="domain/product, or domain/product/port, of the new product.")
    ],
    from_registry: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The registry that the topic's writers use, as Confluent's clients take it; by default the mesh's.",
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The subject of the topic's values; by default <topic>-value.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="A field of the record key, repeated for a composite one; by default the field whose text the keys are.",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="The field of the event time; by default it is Kafka's timestamp."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="NAME", help="The cluster in meshport.toml that has the topic.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="The team that answers for it; by default you.")] = None,
    description: Annotated[str | None, typer.Option(help="One sentence.")] = None,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    netrc: PeerNetrcOption = None,
    ca: PeerCaOption = None,
    certificate: PeerCertificateOption = None,
    peer_key: PeerKeyOption = None,
    json: JsonOption = False,
) -> None:
    """Write a product for a topic that is there already; the topic is only read.

    Its name, partitions, retention, compatibility level and schema stay as they are. Events that are no CloudEvents get their
    id from topic, partition and offset. What a reader may not expect is said. `meshport apply` registers the product.

    Examples:
        meshport adopt orders --as shop/orders
        meshport adopt orders --as shop/orders --from-registry http://peer:8081 --time ordered_at
    """
    project = Project.find(Path.cwd())
    named = Address.parse(address)
    if named.major is not None:
        raise AddressError(
            f"{named} names a major; an adopted topic is the first one", hint=f"leave out @{named.major}"
        )
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    config = clusters.cluster(cluster)
    if not config.bootstrap_servers:
        raise UnknownCluster(
            "no Kafka was named, and no mesh runs here" if cluster is None else f"no cluster {cluster} is known",
            cluster=cluster,
            hint="--kafka HOST:PORT, --kafka-config FILE, or [clusters.NAME] in meshport.toml with --cluster NAME",
        )
    wanted = Wanted(topic, named, subject, tuple(key or ()), time, cluster)
    if from_registry is None:
        with open_registry(registry) as mesh:
            found = look(wanted, config, mesh.subjects)
            notes = [*found.notes, *unknown_ids(found, mesh)]
    else:
        login = peer_login(from_registry, netrc=netrc, ca=ca, certificate=certificate, key=peer_key)
        with open_peer(from_registry, login) as peer:
            found = look(wanted, config, peer)
        notes = [*found.notes, *_unknown_here(found, registry)]
    draft = Draft(
        address=named.of_product,
        archetype=Archetype.SOURCE_ALIGNED,
        owner=owner or getpass.getuser(),
        description=description or f"TODO: what {named.of_product.key} holds.",
        schema=found.schema,
        port=found.port,
    )
    written = write_product(project, draft)
    for file in written:
        say(f"wrote {file.relative_to(project.root)}")
    for note in notes:
        say(f"note: {note}")
    if json:
        emit(
            {
                "address": str(named.of_product),
                "topic": topic,
                "port": found.port,
                "schemaIds": sorted(found.schema_ids),
                "sampled": found.messages,
                "notes": notes,
                "wrote": [str(each) for each in written],
            }
        )


def _unknown_here(found: Adoption, registry: str | None) -> list[str]:
    """Return what the mesh's registry lacks; a note where it does not answer, since the files can be written without it."""
    try:
        with open_registry(registry) as mesh:
            return unknown_ids(found, mesh)
    except RegistryUnavailable as error:
        return [f"whether the mesh's registry knows the schema ids of the topic was not seen: {error.message}"]
