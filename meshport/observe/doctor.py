"""What is wrong between a shell, a registry, its Kafka clusters and a project, in the order in which it has to be mended.

A check whose ground is missing is skipped, and says so: of a registry that does not answer nothing more is asked, of a cluster
that does not answer no topic is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from meshport.address import Address, quarantine_name
from meshport.binding import Binding, RegisteredProduct
from meshport.errors import (
    HistoryMissing,
    KafkaError,
    MeshError,
    NotRegistered,
    RegistrationRefused,
    RegistryUnavailable,
)
from meshport.kafka.admin import Admin
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.probe import ClusterProbe
from meshport.observe.diagnosis import Diagnosis
from meshport.observe.lag import GroupLags, total_of
from meshport.observe.products import registered_products
from meshport.process.runtime.quarantine import is_redriven, read_quarantine, read_redriven
from meshport.process.wire.plan import processor_group
from meshport.product import Product, Status
from meshport.project.apply import plan
from meshport.project.check import Contracts, check_process, unknown_inputs
from meshport.project.contracts import check_contracts
from meshport.project.project import Project, ProjectProduct
from meshport.registry import Registry
from meshport.version import __version__

__all__ = ["Doctor"]

_UNAUTHORIZED: Final = 401
_PROBE_S: Final = 5.0
_READ_QUARANTINE: Final = 10_000
"""A quarantine topic of so many records is read, to leave out what was redriven."""
_LATE_S: Final = 60.0


@dataclass
class Doctor:
    """Looks for what is wrong.

    Args:
        registry: a client; None where none was named, or it cannot be used.
        clusters: the connections to Kafka; None where they cannot be read.
        project: the project; None where the shell stands in none, or it cannot be read.
        today: the day (UTC).
    """

    registry: Registry | None
    clusters: KafkaClusters | None
    project: Project | None
    today: date
    _products: dict[str, RegisteredProduct] = field(default_factory=dict, init=False)
    _answering: set[KafkaConfig] = field(default_factory=set, init=False)
    _silent: set[KafkaConfig] = field(default_factory=set, init=False)

    def examine(self) -> Iterator[Diagnosis]:
        """Yield what was found, as soon as it is known."""
        yield from self._registry_state()
        yield from self._cluster_states()
        yield from self._project_state()
        yield from self._product_states()

    # --- the registry

    def _registry_state(self) -> Iterator[Diagnosis]:
        if self.registry is None:
            yield Diagnosis.skipped("registry", "the registry was not asked, since none is known")
            return
        try:
            health = self.registry.health()
        except MeshError as error:
            yield Diagnosis.of("registry", error, "is that its URL, and does it run?")
            self.registry = None
            return
        yield Diagnosis.ok("registry", f"{self.registry.url} answers: Meshport {health.version} on {health.database}")
        if health.version != __version__:
            yield Diagnosis.warning(
                "registry",
                f"the registry runs Meshport {health.version}, this shell {__version__}",
                "update the older one; the two understand each other if they are one version apart",
            )
        try:
            for each in registered_products(self.registry):
                if each.is_readable:
                    self._products[each.descriptor.address.key] = each
                else:
                    yield Diagnosis.warning(
                        "registry",
                        f"this version cannot read the descriptor of {each.readable_key}",
                        "update Meshport here",
                    )
        except RegistrationRefused as error:
            yield Diagnosis.wrong(
                "registry", f"the registry refuses this caller: {error.message}", error.hint or _login(error)
            )
            self.registry = None
        except (RegistryUnavailable, NotRegistered) as error:
            yield Diagnosis.of("registry", error, "see the registry's log")
            self.registry = None
        else:
            yield Diagnosis.ok("registry", f"this caller sees {_counted(len(self._products), 'product')}")

    # --- clusters

    def _cluster_states(self) -> Iterator[Diagnosis]:
        if self.clusters is None:
            yield Diagnosis.skipped("cluster", "no Kafka was asked, since its connection cannot be read")
            return
        wanted = {f"the cluster {name}": each for name, each in self.clusters.named.items() if each.bootstrap_servers}
        if self.clusters.default.bootstrap_servers and self.clusters.default not in wanted.values():
            wanted["the default cluster"] = self.clusters.default
        for product in self._products.values():
            for binding in product.bindings:
                try:
                    config = self.clusters.to(binding)
                except MeshError as error:
                    yield Diagnosis.of("cluster", error, f"name a connection for {binding.address}")
                    continue
                if config not in wanted.values():
                    wanted[f"the cluster {binding.cluster}" if binding.cluster else "the default cluster"] = config
        if not wanted:
            yield Diagnosis.wrong(
                "cluster",
                "no Kafka is known",
                "--kafka-config FILE, [clusters.NAME] in meshport.toml, or `meshport up`",
            )
        for name, config in wanted.items():
            yield from self._cluster_state(name, config)

    def _cluster_state(self, name: str, config: KafkaConfig) -> Iterator[Diagnosis]:
        where = f"{name} at {config.bootstrap_servers}"
        probe = ClusterProbe(config)
        try:
            state = probe.require(_PROBE_S)
        except MeshError as error:
            self._silent.add(config)
            yield Diagnosis.of("cluster", error, "does it run, and does --kafka-config have its login?")
            return
        yield Diagnosis.ok("cluster", f"{where} answers: {_counted(state.brokers, 'broker')}")
        if not is_in_memory(state.cluster_id):
            self._answering.add(config)
        else:
            yield Diagnosis.warning(
                "cluster",
                f"{where} is librdkafka's in-memory cluster: no compaction, no groups to look at, nothing kept",
                "install the extra `kafka`, or name a Kafka with --kafka",
            )
        if state.leaderless:
            yield Diagnosis.wrong(
                "cluster",
                f"{where}: {_counted(len(state.leaderless), 'partition')} without a leader: {_some(state.leaderless)}",
                "start the brokers that have them",
            )
        if state.behind:
            yield Diagnosis.warning(
                "cluster",
                f"{where}: {_counted(len(state.behind), 'partition')} with fewer replicas in sync than there are: "
                f"{_some(state.behind)}",
                "look at the brokers that lag or are down",
            )

    # --- the project

    def _project_state(self) -> Iterator[Diagnosis]:
        if self.project is None:
            return
        try:
            products = self.project.products
        except MeshError as error:
            yield Diagnosis.of("project", error, "`meshport check`")
            self.project = None
            return
        sound = []
        for each in products:
            found = list(self._check(each, products))
            yield from found
            if not found:
                sound.append(each)
        yield Diagnosis.ok(
            "project", f"{self.project.root}: {len(sound)} of {_counted(len(products), 'product')} well-formed"
        )
        if self.registry is None or self.clusters is None:
            yield Diagnosis.skipped(
                "project", "whether it is applied was not looked at, since there is no registry or Kafka"
            )
            return
        admins = ClusterAdmins(self.clusters)
        for each in sound:
            yield from self._applied(each, self.registry, admins)

    def _check(self, product: ProjectProduct, products: tuple[ProjectProduct, ...]) -> Iterator[Diagnosis]:
        contracts = Contracts(products, self._resolve)
        try:
            check_contracts(product, today=self.today)
            if not unknown_inputs(product, contracts):
                check_process(product, contracts)
        except MeshError as error:
            yield Diagnosis.of("project", error, "`meshport check`")

    def _resolve(self, address: Address) -> Binding:
        if self.registry is None:
            raise RegistryUnavailable("no registry is known")
        return self.registry.resolve(address)

    def _applied(self, product: ProjectProduct, registry: Registry, admins: ClusterAdmins) -> Iterator[Diagnosis]:
        name = product.product.address.key
        if name not in self._products:
            yield Diagnosis.warning("project", f"{name} is not registered", "`meshport apply` registers it")
            return
        try:
            (planned,) = plan([product], registry, admins)
        except KafkaError as error:
            if not self._silent:  # else the cluster's own line says it
                yield Diagnosis.of("project", error, "`meshport apply --plan`")
        except MeshError as error:
            yield Diagnosis.wrong(
                "project", f"{name} cannot be applied: {error.message}", error.hint or "`meshport apply --plan`"
            )
        else:
            if planned.changes:
                what = [*map(str, planned.registration.changed), *map(str, planned.topics), *map(str, planned.ids)]
                yield Diagnosis.warning(
                    "project",
                    f"{name} is registered otherwise than declared here: {_some(what)}",
                    "`meshport apply --plan` shows it all, `meshport apply` does it",
                )

    # --- what the products do

    def _product_states(self) -> Iterator[Diagnosis]:
        if self.registry is None or self.clusters is None:
            return
        products = list(self._products.values())
        if self.project is not None:
            here = {each.product.address.key for each in self.project.products}
            products = [each for each in products if each.descriptor.address.key in here]
        for each in products:
            if each.descriptor.status is Status.RETIRED:
                continue
            for binding in each.bindings:
                config = self.clusters.to(binding)
                if config in self._answering:
                    try:
                        yield from _port_state(each.descriptor, binding, config)
                    except KafkaError as error:
                        yield Diagnosis.of("product", error, f"`meshport lag {binding.address.key}`")


def _port_state(product: Product, binding: Binding, config: KafkaConfig) -> Iterator[Diagnosis]:
    """Yield what is wrong with a port's topic, and of a derived one with its processor."""
    admin = Admin(config)
    topic, name = admin.topic(binding.topic), binding.address.key
    if topic is None:
        yield Diagnosis.wrong(
            "product",
            f"{name}: its topic {binding.topic} does not exist",
            "`meshport apply` in its project makes it",
        )
        return
    known = admin.topic_ids([binding.topic]).get(binding.topic)
    if binding.topic_id is not None and known is not None and known != binding.topic_id:
        yield Diagnosis.wrong(
            "product",
            f"{name}: its topic {binding.topic} was deleted and made again since it was applied",
            "`meshport apply` in its project binds the new log; its readers begin anew",
        )
    if product.process is None or binding.status is Status.RETIRED:
        return
    yield from _processor_state(name, binding, config)
    count = admin.records(quarantine_name(binding.topic))
    if 0 < count <= _READ_QUARANTINE:
        redriven = read_redriven(binding, config)
        count = sum(not is_redriven(each, redriven) for each in read_quarantine(binding, config))
    if count:
        yield Diagnosis.warning(
            "product",
            f"{name}: {'about ' if count > _READ_QUARANTINE else ''}{_counted(count, 'event')} quarantined",
            f"`meshport quarantine {name}` has the reasons; after the cause is fixed, `meshport redrive {name}`",
        )


def _processor_state(name: str, binding: Binding, config: KafkaConfig) -> Iterator[Diagnosis]:
    """Yield whether a processor runs and keeps up."""
    with GroupLags(config) as lags:
        try:
            found = lags.look(group=processor_group(binding.topic))
        except HistoryMissing as error:
            yield Diagnosis.of("product", error, f"`meshport lag {name}`")
            return
    total, hidden = total_of(found), total_of(found).undecided
    late = max((each.seconds for each in found if each.seconds is not None), default=0.0)
    behind = f"{'at most ' if total.at_most else ''}{_counted(total.events, 'event')} of its inputs unread"
    if not any(each.member for each in found):
        yield Diagnosis.warning("product", f"{name}: no processor runs; {behind}", f"`meshport run {name}`")
    elif late > _LATE_S:
        yield Diagnosis.warning(
            "product", f"{name}: its processor is {late:.0f} s late, {behind}", f"`meshport lag {name} --watch`"
        )
    else:
        yield Diagnosis.ok("product", f"{name}: its processor runs, {behind}")
    if removed := sum(each.removed for each in found):
        yield Diagnosis.wrong(
            "product",
            f"{name}: retention removed {removed} offsets before its processor read them",
            f"`meshport run {name} --allow-missing` goes on with what is left, `meshport rebuild {name}` builds it anew",
        )
    if hidden:
        yield Diagnosis.warning(
            "product",
            f"{name}: an open transaction hides {hidden} offsets of its inputs",
            "a producer that was killed holds it until its transaction.timeout.ms has passed",
        )


def _login(error: RegistrationRefused) -> str:
    if error.status == _UNAUTHORIZED:
        return "`meshport login`, or an API key in MESHPORT_REGISTRY_TOKEN"
    return "`meshport policy explain` says which policy decides"


def _some(things: Iterable[object]) -> str:
    listed = [str(each) for each in things]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
