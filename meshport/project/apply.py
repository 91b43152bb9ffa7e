"""Apply a project: register its products and create their topics, after a plan; nothing is deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypedDict

from meshport.address import Address, repartition_name, topic_name
from meshport.binding import Binding
from meshport.catalog import Registration
from meshport.errors import NotRegistered, RegistrationRefused, UnknownCluster
from meshport.kafka.clusters import KafkaAccess
from meshport.process.runtime.own_topics import lacking_retention
from meshport.product import Product, line_of
from meshport.project.check import Contracts, check_process
from meshport.project.project import ProjectProduct
from meshport.project.topic_plan import (
    DeclaredPort,
    TopicAdmin,
    TopicChange,
    earlier_settings,
    make_change,
    topic_change,
)
from meshport.project.topic_use import is_unused
from meshport.schema import Schema


class ProductRegistry(Protocol):
    """Where products are registered: `meshport.Registry`, or the registry of a mesh in memory."""

    def resolve(self, address: Address) -> Binding:
        """Return the binding of an address; see `meshport.Registry.resolve`."""

    def register(
        self,
        product: Product,
        schemas: Mapping[str, Schema],
        *,
        bootstrap_servers: str | None = None,
        clusters: Mapping[str, str] | None = None,
        topic_ids: Mapping[str, str] | None = None,
        unused: Collection[str] = (),
        dry_run: bool = False,
    ) -> Registration:
        """Register a product; see `meshport.Registry.register`."""


class TopicAdmins(Protocol):
    """The admins of a mesh's clusters: `meshport.kafka.admins.ClusterAdmins`, or the topics of a mesh in memory."""

    @property
    def kafka(self) -> KafkaAccess:
        """The connections to the clusters."""

    def of(self, cluster: str | None) -> TopicAdmin:
        """Return the admin of a cluster by its name; of the default cluster for None."""

    def to(self, binding: Binding) -> TopicAdmin:
        """Return the admin of the cluster that a binding names."""


@dataclass(frozen=True, slots=True)
class TopicIdChange:
    """A binding that names another topic of the same name than the present one: it was deleted, and maybe made again.

    Attributes:
        topic: the topic.
        before: the id that the binding names; None for a binding that names none yet.
        after: the id of the present topic; None where the topic is missing, and is made.
    """

    topic: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"record the id of topic {self.topic} ({self.after})"
        found = "is not there" if self.after is None else f"was deleted and made again (now {self.after})"
        return (
            f"topic {self.topic} ({self.before}) {found}: bind the present one, in which all of its readers begin anew"
        )


@dataclass(frozen=True, slots=True)
class ProductPlan:
    """The changes that applying one product would make.

    Attributes:
        product: the product.
        registration: the registry's answer to a dry run.
        topics: the topics that would be created or changed; empty if all are as declared.
        ids: the topics whose ids would be registered, other than those of topics that are created for the first time.
        unused: its topics without an event and a group, where a change of their contract passes for that reason alone.
    """

    product: ProjectProduct
    registration: Registration
    topics: tuple[TopicChange, ...]
    ids: tuple[TopicIdChange, ...] = ()
    unused: frozenset[str] = frozenset()

    @property
    def changes(self) -> bool:
        """Whether applying the product would change anything."""
        return bool(self.topics or self.ids or self.registration.changed)


def plan(products: Iterable[ProjectProduct], registry: ProductRegistry, admins: TopicAdmins) -> list[ProductPlan]:
    """Return the changes that applying some products would make, without making them.

    Args:
        products: each after the products that it reads.
        registry: where they are to be registered.
        admins: of the clusters; the products are registered with their bootstrap servers.

    Raises:
        UnknownCluster: a port is on a cluster to which no connection is known.
        ProcessError, DescriptorError: a process cannot run on its inputs, one of which may be on another cluster than its
            output, or reads more than its `inputPorts` declare;
            see `meshport.project.check.check_process`.
        RegistrationRefused: a product's declaration, or a change of its contract, is refused, or it reads a port that
            neither the registry nor this plan has.
        TopicError: a topic exists with another number of partitions or replicas, or the cluster would refuse a topic or a
            setting as it is declared.
        RegistryUnavailable, BrokerUnavailable: the registry or the cluster did not answer.
    """
    products = tuple(products)
    for product in products:
        _refuse_unknown_clusters(product, admins)
    contracts = Contracts(products, registry.resolve, admins.kafka)
    for product in products:
        with suppress(NotRegistered):  # an input that is not registered is reported below
            check_process(product, contracts)
    planned = [_plan(each, registry, admins) for each in products]
    here = {each.product.product.address for each in planned}
    for each in planned:
        # The registry refuses these too, but only after their topics were created.
        if missing := [str(port) for port in each.registration.unresolved if port.of_product not in here]:
            raise RegistrationRefused(
                f"{each.product.product.address} reads {', '.join(missing)}, which nobody has registered",
                hint=f"correct the inputPorts of {each.product.descriptor_file}, or apply the project that has it first",
            )
    return planned


def carry_out(planned: ProductPlan, registry: ProductRegistry, admins: TopicAdmins) -> Registration:
    """Make the planned changes of one product: topics first, so that a binding never names a topic that does not exist.

    Args:
        planned: one of the plans that `plan` returned, in their order.
        registry: where the product is registered.
        admins: of the clusters; the products are registered with their bootstrap servers.
    """
    ports = {each.topic: each for each in _declared_ports(planned.product, planned.registration)}
    for change in planned.topics:
        if change.name in ports:
            make_change(change, ports[change.name], admins.of(change.cluster))
        else:
            admins.of(change.cluster).set_config(change.name, change.config)
    # An event may have been published since the plan was made.
    unused = planned.unused and planned.unused & _unused(planned.product.product, registry, admins)
    return registry.register(
        planned.product.product,
        _schemas(planned.product),
        **_servers(planned.product.product, admins),
        unused=unused,
        topic_ids=_topic_ids(planned.product.product, planned.registration, admins),
    )


def _refuse_unknown_clusters(product: ProjectProduct, admins: TopicAdmins) -> None:
    for index, port in enumerate(product.product.output_ports):
        try:
            admins.of(port.cluster)
        except UnknownCluster as error:
            if port.cluster is not None:
                file = product.descriptor_file
                error.message = f"{file}:{line_of(file, 'outputPorts', index, 'cluster')}: {error.message}"
            raise


class _Servers(TypedDict):
    bootstrap_servers: str | None
    clusters: dict[str, str]


def _servers(product: Product, admins: TopicAdmins) -> _Servers:
    """Return the bootstrap servers of the clusters of a product's ports."""
    names = dict.fromkeys(port.cluster for port in product.output_ports)
    found = {name: admins.of(name).kafka.bootstrap_servers for name in names}
    return {"bootstrap_servers": found.pop(None, None), "clusters": {name: found[name] for name in found if name}}


def _plan(product: ProjectProduct, registry: ProductRegistry, admins: TopicAdmins) -> ProductPlan:
    schemas = _schemas(product)
    unused: frozenset[str] = frozenset()
    servers = _servers(product.product, admins)
    try:
        registration = registry.register(product.product, schemas, **servers, dry_run=True)
    except RegistrationRefused:
        unused, same = _unused(product.product, registry, admins), _same_topics(product.product, registry, admins)
        if not (unused or same):
            raise
        registration = registry.register(
            product.product, schemas, **servers, unused=unused, topic_ids=same, dry_run=True
        )
    changes = [
        change
        for each in _declared_ports(product, registration)
        if (change := topic_change(each, admins.of(each.port.cluster))) is not None
    ]
    missing = {each.name for each in changes if each.new}
    ids = tuple(_id_changes(registration, _topic_ids(product.product, registration, admins), missing))
    if product.product.process is not None:
        changes += _repartition_change(next(_declared_ports(product, registration)), admins)
    return ProductPlan(product, registration, tuple(changes), ids, unused)


def _repartition_change(built: DeclaredPort, admins: TopicAdmins) -> Iterator[TopicChange]:
    """Yield the change of the repartition topic of a processor that an earlier version of Meshport has made.

    Args:
        built: the port that the processor builds.
        admins: of the clusters.
    """
    found = admins.of(built.port.cluster).topic(repartition_name(built.topic))
    if found is not None and (lacking := lacking_retention(found)):
        yield TopicChange(
            found.name,
            found.partitions,
            found.replication,
            False,
            dict(lacking),
            before={name: found.setting(name) for name in lacking},
            inherited=frozenset(name for name in lacking if name in found.defaults),
            cluster=built.port.cluster,
        )


def _declared_ports(product: ProjectProduct, registration: Registration) -> Iterator[DeclaredPort]:
    topics = {each.address: each.topic for each in registration.ports}
    earlier = earlier_settings(registration)
    for index, port in enumerate(product.product.output_ports):
        address = product.product.port_address(port)
        name = topics.get(address, topic_name(address))
        declared = earlier.get((port.name, port.major), frozenset())
        yield DeclaredPort(port, address, name, declared, product.descriptor_file, index)


def _unused(product: Product, registry: ProductRegistry, admins: TopicAdmins) -> frozenset[str]:
    """Return the bound topics of a product that hold nothing and that no group reads."""
    found = set()
    for port in product.output_ports:
        with suppress(NotRegistered):
            binding = registry.resolve(product.port_address(port))
            if is_unused(binding, admins.to(binding)):
                found.add(binding.topic)
    return frozenset(found)


def _same_topics(product: Product, registry: ProductRegistry, admins: TopicAdmins) -> dict[str, str]:
    """Return the ids of bound topics that are found on the cluster that their port now names: only the name is new."""
    found: dict[str, str] = {}
    for port in product.output_ports:
        with suppress(NotRegistered):
            binding = registry.resolve(product.port_address(port))
            if binding.cluster != port.cluster and binding.topic_id is not None:
                ids = admins.of(port.cluster).topic_ids([binding.topic])
                found |= {topic: id for topic, id in ids.items() if id == binding.topic_id}
    return found


def _topic_ids(product: Product, registration: Registration, admins: TopicAdmins) -> dict[str, str]:
    """Return Kafka's ids of a product's topics, by topic; a topic that has none, or does not exist, is left out."""
    found: dict[str, str] = {}
    for cluster in {port.cluster for port in product.output_ports}:
        ports = {product.port_address(port) for port in product.output_ports if port.cluster == cluster}
        found |= admins.of(cluster).topic_ids([each.topic for each in registration.ports if each.address in ports])
    return found


def _id_changes(
    registration: Registration, found: Mapping[str, str], missing: Collection[str]
) -> Iterator[TopicIdChange]:
    bound = {each.topic: each.topic_id for each in registration.product.bindings}
    for name in [each.topic for each in registration.ports]:
        before, after = bound.get(name), found.get(name)
        if before != after and (after is not None or name in missing):
            yield TopicIdChange(name, before, after)


def _schemas(product: ProjectProduct) -> dict[str, Schema]:
    return {f"{port}@{major}": schema for (port, major), schema in product.schemas.items()}
