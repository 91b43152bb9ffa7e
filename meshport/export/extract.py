"""What a document is made of: registered products, and the ports that they read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from meshport.address import Address, topic_name
from meshport.binding import Binding, RegisteredProduct
from meshport.export.avro_form import with_namespaces
from meshport.field_flows import FieldFlow
from meshport.product import OutputPort, Product, Status
from meshport.schema import Schema


class PortLine(NamedTuple):
    """One major line of an output port: what its team declares, and what the registry bound it to.

    Attributes:
        product: that has the port.
        port: its entry in the descriptor.
        binding: of its address.
    """

    product: Product
    port: OutputPort
    binding: Binding

    @property
    def id(self) -> str:
        """The name of the line in documents: `<domain>.<product>.<port>.v<major>`, also where it adopts a topic."""
        return line_id(self.binding.address)

    @property
    def title(self) -> str:
        """The name that people read."""
        name = self.product.display_name or self.product.address.key
        return name if len(self.product.output_ports) == 1 else f"{name}: {self.port.name} v{self.port.major}"

    @property
    def schema(self) -> Any:
        """The Avro schema as JSON data, its types with name and namespace."""
        return with_namespaces(Schema(self.binding.schema_text).form)

    @property
    def has_envelope(self) -> bool:
        """Whether the port's events are CloudEvents."""
        return self.binding.envelope == "cloudevents"


@dataclass(frozen=True)
class Extract:
    """The part of a mesh that a document is about.

    Attributes:
        products: what the document describes, in its order.
        registry_url: of the registry that knows them, without a slash at its end.
        upstream: further products, whose ports these read; the document refers to them only.
        flows: which field of a product is made from which field of those that it reads; only for formats of lineage.
    """

    products: tuple[RegisteredProduct, ...]
    registry_url: str
    upstream: tuple[RegisteredProduct, ...] = ()
    flows: tuple[FieldFlow, ...] = ()

    def lines(self) -> Iterator[PortLine]:
        """Yield each line that can be read, of all products: those that are not retired."""
        for each in self.products:
            yield from lines_of(each)

    def line(self, address: Address) -> PortLine | None:
        """Return the line that an input port's address leads to, in the products or upstream of them.

        Without a port it is the product's default port, without a major the live one; None where there is no such line.
        """
        product = self._by_address.get(address.of_product)
        port = None if product is None else product.descriptor.port(address.port, address.major)
        if product is None or port is None:
            return None
        return next((each for each in lines_of(product) if each.port == port), None)

    @cached_property
    def _by_address(self) -> dict[Address, RegisteredProduct]:
        return {each.descriptor.address: each for each in (*self.upstream, *self.products)}


def lines_of(product: RegisteredProduct) -> Iterator[PortLine]:
    """Yield the lines of a product that can be read: those of its descriptor that are not retired."""
    descriptor = product.descriptor
    for binding in product.bindings:
        address = binding.address
        port = next((each for each in descriptor.output_ports if (each.name, each.major) == _line(address)), None)
        if port is not None and binding.status != Status.RETIRED:
            yield PortLine(descriptor, port, binding)


def line_id(address: Address) -> str:
    """Return the id of a full address in a document: the topic name of its first generation, which no rebuild changes."""
    return topic_name(address)


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object of a document without the keys that have no value, at any depth: None, empty lists and empty objects.

    Avro schemas are not to be passed through here, since an empty list means something in one.
    """
    kept = {key: _plain(each) for key, each in value.items()}
    return {key: each for key, each in kept.items() if each not in (None, [], {})}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _line(address: Address) -> tuple[str | None, int | None]:
    return address.port, address.major
