"""Apply a project: register its products and create their topics, after a plan; nothing is deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from meshport.address import Address, topic_name
from meshport.binding import Binding
from meshport.catalog import Registration
from meshport.errors import NotRegistered, RegistrationRefused, TopicError
from meshport.kafka.admin import Topic
from meshport.kafka.config import KafkaConfig
from meshport.product import OutputPort, Product
from meshport.project.check import Contracts, check_process
from meshport.project.project import ProjectProduct
from meshport.project.topic_use import is_unused
from meshport.schema import Schema

_FOREVER: Final = "-1"


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
        topic_ids: Mapping[str, str] | None = None,
        unused: Collection[str] = (),
        dry_run: bool = False,
    ) -> Registration:
        """Register a product; see `meshport.Registry.register`."""


class TopicAdmin(Protocol):
    """Where topics are created: `meshport.kafka.admin.Admin`, or the topics of a mesh in memory."""

    @property
    def kafka(self) -> KafkaConfig:
        """The connection to the cluster, as its readers reach it."""

    def topic(self, name: str) -> Topic | None:
        """Return a topic, or None if it does not exist."""

    def topic_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return Kafka's ids of topics, by topic; a topic that has none, or does not exist, is left out."""

    def ensure_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> bool:
        """Create a topic unless it exists; return whether it was created."""

    def set_config(self, name: str, config: Mapping[str, str]) -> None:
        """Change settings of a topic; those that are not named stay."""

    def records(self, name: str) -> int:
        """Return how many offsets a topic holds."""

    def groups_of(self, name: str) -> list[str]:
        """Return the consumer groups that read a topic."""


@dataclass(frozen=True, slots=True)
class TopicChange:
    """The creation of a topic, or a change of its settings.

    Attributes:
        name: of the topic.
        partitions: its number of partitions.
        new: whether the topic is created.
        config: the settings that are set.
    """

    name: str
    partitions: int
    new: bool
    config: dict[str, str]

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in sorted(self.config.items()))
        if self.new:
            return f"make topic {self.name} ({self.partitions} partitions, {settings})"
        return f"set {settings} on topic {self.name}"


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


def plan(products: Iterable[ProjectProduct], registry: ProductRegistry, admin: TopicAdmin) -> list[ProductPlan]:
    """Return the changes that applying some products would make, without making them.

    Args:
        products: each after the products that it reads.
        registry: where they are to be registered.
        admin: of the cluster; the products are registered with its bootstrap servers.

    Raises:
        ProcessError, DescriptorError: a process cannot run on its inputs, or reads more than its `inputPorts` declare;
            see `meshport.project.check.check_process`.
        RegistrationRefused: a product's declaration, or a change of its contract, is refused, or it reads a port that
            neither the registry nor this plan has.
        TopicError: a topic exists with another number of partitions.
        RegistryUnavailable, BrokerUnavailable: the registry or the cluster did not answer.
    """
    products = tuple(products)
    contracts = Contracts(products, registry.resolve)
    for product in products:
        with suppress(NotRegistered):  # an input that is not registered is reported below
            check_process(product, contracts)
    planned = [_plan(each, registry, admin) for each in products]
    here = {each.product.product.address for each in planned}
    for each in planned:
        # The registry refuses these too, but only after their topics were created.
        if missing := [str(port) for port in each.registration.unresolved if port.of_product not in here]:
            raise RegistrationRefused(
                f"{each.product.product.address} reads {', '.join(missing)}, which nobody has registered",
                hint=f"correct the inputPorts of {each.product.descriptor_file}, or apply the project that has it first",
            )
    return planned


def carry_out(planned: ProductPlan, registry: ProductRegistry, admin: TopicAdmin) -> Registration:
    """Make the planned changes of one product: topics first, so that a binding never names a topic that does not exist.

    Args:
        planned: one of the plans that `plan` returned, in their order.
        registry: where the product is registered.
        admin: of the cluster; the products are registered with its bootstrap servers.
    """
    for change in planned.topics:
        if change.new:
            admin.ensure_topic(change.name, change.partitions, change.config)
        else:
            admin.set_config(change.name, change.config)
    # An event may have been published since the plan was made.
    unused = planned.unused and planned.unused & _unused(planned.product.product, registry, admin)
    return registry.register(
        planned.product.product,
        _schemas(planned.product),
        bootstrap_servers=admin.kafka.bootstrap_servers,
        unused=unused,
        topic_ids=admin.topic_ids([each.topic for each in planned.registration.ports]),
    )


def topic_config(port: OutputPort) -> dict[str, str]:
    """Return the Kafka settings of a port's topic."""
    retention = _FOREVER if port.retention is None else str(port.retention // timedelta(milliseconds=1))
    return {"cleanup.policy": port.cleanup, "retention.ms": retention}


def _plan(product: ProjectProduct, registry: ProductRegistry, admin: TopicAdmin) -> ProductPlan:
    schemas = _schemas(product)
    unused: frozenset[str] = frozenset()
    servers = admin.kafka.bootstrap_servers
    try:
        registration = registry.register(product.product, schemas, bootstrap_servers=servers, dry_run=True)
    except RegistrationRefused:
        unused = _unused(product.product, registry, admin)
        if not unused:
            raise
        registration = registry.register(
            product.product, schemas, bootstrap_servers=servers, unused=unused, dry_run=True
        )
    topics = {each.address: each.topic for each in registration.ports}
    changes = []
    for port in product.product.output_ports:
        address = product.product.port_address(port)
        name = topics.get(address, topic_name(address))
        wanted = topic_config(port)
        found = admin.topic(name)
        if found is None:
            changes.append(TopicChange(name, port.partitions, True, wanted))
            continue
        if found.partitions != port.partitions:
            raise TopicError(
                f"the topic {name} has {found.partitions} partitions, {product.descriptor_file} declares {port.partitions}",
                topic=name,
                hint="the number never changes under one generation, since keys would move: `meshport rebuild "
                f"{product.product.address.key} --partitions {max(found.partitions, port.partitions)} --swap always` binds a "
                "generation that has as many; then declare that number",
            )
        different = {key: value for key, value in wanted.items() if found.config.get(key) != value}
        if different:
            changes.append(TopicChange(name, found.partitions, False, different))
    missing = {each.name for each in changes if each.new}
    ids = tuple(_id_changes(registration, admin, missing))
    return ProductPlan(product, registration, tuple(changes), ids, unused)


def _unused(product: Product, registry: ProductRegistry, admin: TopicAdmin) -> frozenset[str]:
    """Return the bound topics of a product that hold nothing and that no group reads."""
    found = set()
    for port in product.output_ports:
        with suppress(NotRegistered):
            binding = registry.resolve(product.port_address(port))
            if is_unused(binding, admin):
                found.add(binding.topic)
    return frozenset(found)


def _id_changes(registration: Registration, admin: TopicAdmin, missing: Collection[str]) -> Iterator[TopicIdChange]:
    names = [each.topic for each in registration.ports]
    bound, found = {each.topic: each.topic_id for each in registration.product.bindings}, admin.topic_ids(names)
    for name in names:
        before, after = bound.get(name), found.get(name)
        if before != after and (after is not None or name in missing):
            yield TopicIdChange(name, before, after)


def _schemas(product: ProjectProduct) -> dict[str, Schema]:
    return {f"{port}@{major}": schema for (port, major), schema in product.schemas.items()}
