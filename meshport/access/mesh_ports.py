"""The ports of a mesh with their topics: those of the registry, and those that a plan is about to register."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from meshport.address import Address, topic_name
from meshport.binding import Binding, RegisteredProduct
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.generations import Generations, GenerationState
from meshport.product import Status

__all__ = ["BoundPort", "EveryPort", "MeshPorts", "PortGenerationsClient", "ProductsRegistry"]

# A reader reads a replaced generation to its end, and has to be let in before the address is bound to a new one.
_READ: Final = frozenset({GenerationState.LIVE, GenerationState.BUILDING, GenerationState.REPLACED})


class PortGenerationsClient(Protocol):
    """The generations of one port: `meshport.registry.PortGenerations`."""

    def list(self) -> Generations:
        """Return every generation; see `meshport.registry.PortGenerations.list`."""


class ProductsRegistry(Protocol):
    """Where products are found: `meshport.Registry`."""

    def product(self, which: Address) -> RegisteredProduct:
        """Return a product; see `meshport.Registry.product`."""

    def generations(self, address: Address) -> PortGenerationsClient:
        """Return the generations of a port; see `meshport.Registry.generations`."""


@dataclass(frozen=True, slots=True)
class BoundPort:
    """A port with its topics.

    Attributes:
        address: of the port, with its major.
        cluster: the name of its Kafka cluster; None for the default one.
        topic: the topic of the first generation, with which the names of all others begin.
        topics: the topics that its readers need: of the live generation, one that is being built, and those that were replaced.
        migrates: the major whose events are read as events of this line; None where there is none.
    """

    address: Address
    cluster: str | None
    topic: str
    topics: tuple[str, ...]
    migrates: int | None = None

    @classmethod
    def of(cls, binding: Binding, generations: Generations) -> BoundPort:
        """Return the port of a binding."""
        listed = sorted(generations.generations, key=lambda each: each.number)
        read = (each.topic for each in listed if each.state in _READ)
        first = listed[0].topic if listed else binding.topic
        topics = tuple(dict.fromkeys([*read, binding.topic]))
        migration = binding.migration
        migrates = None if migration is None else migration.earlier(binding.address.major or 1)
        return cls(binding.address, binding.cluster, first, topics, migrates)


class MeshPorts:
    """Finds the ports of a mesh.

    Args:
        registry: where products are registered.
        planned: ports that are about to be registered.

    Attributes:
        servers: the bootstrap servers of the clusters of registered ports that were found so far, by the cluster's name.
    """

    def __init__(self, registry: ProductsRegistry, planned: Iterable[BoundPort] = ()) -> None:
        self._registry = registry
        self._planned: dict[Address, dict[Address, BoundPort]] = {}
        for each in planned:
            self._planned.setdefault(each.address.of_product, {})[each.address] = each
        self._known: dict[Address, tuple[BoundPort, ...]] = {}
        self.servers: dict[str | None, str] = {}

    def of_product(self, product: Address) -> tuple[BoundPort, ...]:
        """Return the output ports of a product that are not retired, in its order; none where it is not known.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        product = product.of_product
        if product not in self._known:
            self._known[product] = self._found(product)
        return self._known[product]

    def read_by(self, address: Address) -> tuple[BoundPort, ...]:
        """Return the ports that an input port leads to: every major line of the port, unless the address names one.

        A reader that names no major follows the live one, and has to be let into the next before its day. A reader of a line that
        migrates an earlier one reads that too.
        """
        ports = self.of_product(address)
        name = address.port or (ports[0].address.port if ports else None)
        lines = {each.address.major: each for each in ports if each.address.port == name}
        if address.major is None:
            return tuple(lines.values())
        found, major = [], address.major
        while (line := lines.pop(major, None)) is not None:
            found.append(line)
            major = line.migrates or 0
        return tuple(found)

    def _found(self, product: Address) -> tuple[BoundPort, ...]:
        planned = self._planned.get(product, {})
        try:
            bindings = self._registry.product(product).bindings
        except NotRegistered:
            return tuple(planned.values())
        self.servers |= {each.cluster: each.bootstrap_servers for each in bindings}
        bound = (self._bound(each) for each in bindings)
        found = {each.address: each for each in bound if each is not None}
        # A plan may move a port to another name of its cluster; what was there before has further generations.
        moved = {address: replace(found.get(address, each), cluster=each.cluster) for address, each in planned.items()}
        return tuple({**found, **moved}.values())

    def _bound(self, binding: Binding) -> BoundPort | None:
        """Return the port of a binding; None where it is retired."""
        if binding.status is Status.RETIRED:
            return None
        return BoundPort.of(binding, self._registry.generations(binding.address).list())


class EveryPort(MeshPorts):
    """Finds the ports of a mesh, retired ones included: rights that were derived before a port retired lead to them."""

    def _bound(self, binding: Binding) -> BoundPort | None:
        with suppress(NotRegistered, RegistrationRefused):  # a retired line lists no generations
            return BoundPort.of(binding, self._registry.generations(binding.address).list())
        first = binding.topic if binding.generation == 1 else topic_name(binding.address)
        read = (first, *(each.topic for each in binding.continues), binding.topic)
        return BoundPort(binding.address, binding.cluster, first, tuple(dict.fromkeys(read)))
