"""The ports that processors build, and which data their quarantined events may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from meshport.address import Address, late_name, quarantine_name, redrive_name
from meshport.binding import Binding, RegisteredProduct
from meshport.observe.masking import SHOWN, Masking
from meshport.process.wire.plan import processor_group
from meshport.product import Product, Status
from meshport.product.lines import live_major, utc_today
from meshport.schema import Schema

__all__ = ["KnownPort", "ProcessedPort", "WholeMesh"]

_MOST_FIELDS: Final = 10_000
_MOST_NAMED: Final = 3


@dataclass(frozen=True)
class KnownPort:
    """A port of the mesh: its binding, and the product that declares it."""

    binding: Binding
    product: Product

    @cached_property
    def secret(self) -> str:
        """What of its data is confidential or restricted, in words; "" where nothing is."""
        if self.product.classification not in SHOWN:
            return f"{self.product.address} is {self.product.classification}"
        leaves = Masking(Schema(self.binding.schema_text), self.product.classification).leaves(_MOST_FIELDS)
        if len(leaves) == _MOST_FIELDS:
            return f"{self.binding.address} has more fields than are looked at"
        found = [f"{each.path} is {each.classification}" for each in leaves if each.classification not in SHOWN]
        if not found:
            return ""
        more = f", and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        return f"in {self.binding.address}, {', '.join(found[:_MOST_NAMED])}{more}"


@dataclass(frozen=True)
class ProcessedPort:
    """A port that a processor builds.

    Attributes:
        port: it.
        live: whether it is the line that a processor writes which starts now.
        redrive_partitions: how many its redrive topic may have.
        sources: the products that the processor reads.
        closed: why reasons are not shown, in words; "" where they are.
    """

    port: KnownPort
    live: bool
    redrive_partitions: int
    sources: tuple[Address, ...]
    closed: str

    @property
    def binding(self) -> Binding:
        """The binding of the port."""
        return self.port.binding

    @property
    def group(self) -> str:
        """The consumer group of the processor."""
        return processor_group(self.binding.topic)

    @property
    def kept_topics(self) -> dict[str, int]:
        """The topics of quarantined, late and redriven events, in this order, with how many partitions they may have."""
        topic, partitions = self.binding.topic, self.binding.partitions
        return {
            quarantine_name(topic): partitions,
            late_name(topic): partitions,
            redrive_name(topic): max(partitions, self.redrive_partitions),
        }


class WholeMesh:
    """The ports of a mesh, by what an observer knows of them.

    Attributes:
        processed: the ports that processors build.
    """

    def __init__(self, by_topic: Mapping[str, KnownPort], processed: Iterable[ProcessedPort]) -> None:
        self._by_topic = by_topic
        self.processed = tuple(processed)

    @classmethod
    def of(cls, products: Iterable[RegisteredProduct]) -> Self:
        """Return the ports of products that are registered; one whose descriptor this version cannot read is left out."""
        known = [each for each in products if each.is_readable]
        by_topic: dict[str, KnownPort] = {}
        by_product: dict[Address, list[KnownPort]] = {}
        for product in known:
            for binding in product.bindings:
                port = KnownPort(binding, product.descriptor)
                by_product.setdefault(binding.address.of_product, []).append(port)
                by_topic[binding.topic] = port
                by_topic.update({each.topic: port for each in binding.continues})
        return cls(by_topic, (port for each in known for port in _processed(each, by_product)))

    def port_of(self, topic: str) -> KnownPort | None:
        """Return the port that has a topic; None where none does."""
        return self._by_topic.get(topic)


def _processed(product: RegisteredProduct, by_product: Mapping[Address, list[KnownPort]]) -> Iterator[ProcessedPort]:
    """Yield the lines of the port that a product's process builds: its default port."""
    declared = product.descriptor
    if declared.process is None:
        return
    read = dict.fromkeys([*declared.process.addresses, *(each.address for each in declared.input_ports)])
    sources = tuple(dict.fromkeys(each.of_product for each in read))
    inputs = [port for each in sources for port in by_product.get(each, ())]
    lines = [
        each
        for each in by_product.get(declared.address.of_product, ())
        if each.binding.address.port == declared.default_port.name and each.binding.status is not Status.RETIRED
    ]
    live = live_major({each.binding.address.major or 0: each.binding.live_from for each in lines}, utc_today())
    missing = [f"{each} is not registered" for each in sources if each not in by_product]
    for each in lines:
        secrets = dict.fromkeys(filter(None, (*missing, *(one.secret for one in (*inputs, each)))))
        yield ProcessedPort(
            each,
            each.binding.address.major == live,
            max((one.binding.partitions for one in inputs), default=1),
            sources,
            "; ".join(secrets)[:900],
        )
