"""The observer of a mesh: looks at every port again and again, and reports how its promises are kept.

It reads with consumers of its own, without a group, and commits nothing. A cluster that does not answer counts against the
availability of its ports. While the registry does not answer, what was measured is kept and reported later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, Self

from meshport.address import Address, quarantine_name
from meshport.binding import Binding, RegisteredProduct
from meshport.errors import KafkaError, MeshError, RegistryUnavailable, UnknownCluster
from meshport.event import SchemaSource
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import KafkaConfig
from meshport.observe.levels.cluster_reader import ClusterReader
from meshport.observe.levels.port_observation import PortObservation
from meshport.observe.products import RegisteredProducts, registered_products
from meshport.port_profile import PortProfile
from meshport.product import Status
from meshport.service_levels import MeasuredLevels, SourceCount

__all__ = ["INTERVAL_S", "LIMIT", "ObservedMesh", "Observer", "PortReport"]

_log: Final = logging.getLogger(__name__)
INTERVAL_S: Final = 10.0
"""Seconds from one look to the next, by default."""
LIMIT: Final = 2_000
"""The most messages of a port that are read at a look, about, by default."""
_VALID: Final = timedelta(minutes=2)
_PRODUCTS_EVERY_MS: Final = 30_000


class ReportedCounts(Protocol):
    """What sources counted; `Registry.service_levels` is it."""

    def counts(
        self, port: Address | str, *, since: datetime | None = None, limit: int = 100
    ) -> tuple[SourceCount, ...]:
        """Return how many events the source of a port has, newest interval first."""
        ...


class ObservedMesh(RegisteredProducts, SchemaSource, Protocol):
    """What an observer asks of a registry: the products of the mesh, schemas, and what sources counted."""

    @property
    def service_levels(self) -> ReportedCounts:
        """What sources counted."""
        ...


@dataclass(frozen=True)
class PortReport:
    """What a look found of one port.

    Attributes:
        address: of the port, with its major.
        measured: what was measured.
        changed: the promises whose state has changed, in words; all of them at the first look.
        events: how many messages of the port the look read.
        profile: what its events look like; None where that is not due.
    """

    address: Address
    measured: MeasuredLevels
    changed: frozenset[str]
    events: int
    profile: PortProfile | None = None


def wall_clock_ms() -> int:
    """Return the present, Unix time in ms."""
    return time.time_ns() // 1_000_000


def _counts(mesh: ObservedMesh, address: Address, since: datetime) -> tuple[SourceCount, ...]:
    return mesh.service_levels.counts(address, since=since)


class Observer:
    """Looks at the ports of a mesh.

    Args:
        mesh: a registry.
        kafka: the connections to Kafka.
        interval_s: seconds from one look to the next; a report counts for two minutes, or three intervals.
        limit: the most messages of a port that are read at a look, about.
        clock: returns the present, Unix time in ms.
    """

    def __init__(
        self,
        mesh: ObservedMesh,
        kafka: KafkaAccess,
        *,
        interval_s: float = INTERVAL_S,
        limit: int = LIMIT,
        clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._mesh = mesh
        self._kafka = kafka
        self._valid = max(_VALID, timedelta(seconds=3 * interval_s))
        self._limit = limit
        self._clock = clock
        self._ports: dict[Address, PortObservation] = {}
        self._derived: set[Address] = set()
        self._readers: dict[KafkaConfig, ClusterReader] = {}
        self._products_due_ms = 0
        self.products: list[RegisteredProduct] = []
        """The products of the mesh, as the last look knew them."""

    @property
    def bindings(self) -> list[Binding]:
        """The bindings of the ports that are looked at."""
        return [each.binding for each in self._ports.values()]

    def look(self) -> list[PortReport]:
        """Look at every port once, and return what was found, by address.

        Raises:
            RegistryUnavailable: the registry did not answer, and never did.
        """
        now_ms = self._clock()
        if now_ms >= self._products_due_ms:
            self._take_up_products(now_ms)
        by_cluster: dict[KafkaConfig, list[PortObservation]] = {}
        for each in self._ports.values():
            by_cluster.setdefault(self._kafka.to(each.binding), []).append(each)
        found = [report for config, ports in by_cluster.items() for report in self._look_at(config, ports, now_ms)]
        return sorted(found, key=lambda each: each.address)

    def _take_up_products(self, now_ms: int) -> None:
        try:
            products = list(registered_products(self._mesh))
        except RegistryUnavailable:
            if not self._ports:
                raise
            _log.warning("the registry does not answer: the ports are observed that it had before")
            return
        self._products_due_ms = now_ms + _PRODUCTS_EVERY_MS
        kept: dict[Address, PortObservation] = {}
        self._derived.clear()
        self.products = products
        for product in products:
            for each in self._observations(product):
                kept[each.address] = each
        self._ports = kept

    def _observations(self, product: RegisteredProduct) -> Iterator[PortObservation]:
        if not product.is_readable:
            return
        for binding in product.bindings:
            port = product.descriptor.port(binding.address.port or "", binding.address.major or 0)
            if port is None or binding.status is Status.RETIRED or not self._is_reachable(binding):
                continue
            if product.descriptor.process is not None:
                self._derived.add(binding.address)
            try:
                counts = partial(_counts, self._mesh, binding.address)
                made = PortObservation(binding, product.descriptor, port, self._mesh, self._limit, counts)
            except MeshError as error:
                _log.warning("%s is not observed: %s", binding.address, error.message)
                continue
            known = self._ports.get(binding.address)
            is_same = known is not None and known.binding.topic == binding.topic and known.promises == made.promises
            yield known if known is not None and is_same else made

    def _is_reachable(self, binding: Binding) -> bool:
        try:
            self._kafka.to(binding)
        except UnknownCluster as error:
            _log.warning("%s is not observed: %s", binding.address, error.message)
            return False
        return True

    def _look_at(self, config: KafkaConfig, ports: list[PortObservation], now_ms: int) -> Iterator[PortReport]:
        counts: dict[str, int] = {}
        try:
            if config not in self._readers:
                self._readers[config] = ClusterReader(config)
            counts = self._read(self._readers[config], ports, now_ms)
        except KafkaError as error:
            _log.warning("the cluster at %s did not answer: %s", config.bootstrap_servers, error.message)
            for each in ports:
                each.note_away(now_ms)
        at = datetime.fromtimestamp(now_ms / 1000, UTC)
        for each in ports:
            levels, measurement, changed = each.judge(now_ms)
            measured = MeasuredLevels(at=at, valid_until=at + self._valid, levels=levels, measurement=measurement)
            events = counts.get(each.binding.topic, 0)
            yield PortReport(each.address, measured, changed, events, each.profile(now_ms))

    def _read(self, cluster: ClusterReader, ports: list[PortObservation], now_ms: int) -> dict[str, int]:
        """Read what came of some ports of a cluster, and return how many messages of each topic."""
        topics = {each.binding.topic: each.binding.partitions for each in ports}
        quarantines = {
            quarantine_name(each.binding.topic): each.binding.partitions
            for each in ports
            if each.address in self._derived
        }
        bounds = cluster.bounds({**topics, **quarantines})
        begins = {}
        for each in ports:
            begins.update(each.begins(cluster, bounds, now_ms))
        by_topic = {each.binding.topic: each for each in ports}
        counts = dict.fromkeys(topics, 0)
        for messages in cluster.read(begins, bounds):
            for topic in {each.topic() for each in messages}:
                own = [each for each in messages if each.topic() == topic]
                counts[topic] += len(own)
                by_topic[topic].note(own, now_ms)
        unread = set(cluster.unread)
        for each in ports:
            each.end_look(bounds, unread, now_ms)
            own_quarantine = quarantine_name(each.binding.topic)
            ends = [end for partition, (_, end) in bounds.items() if partition.topic == own_quarantine]
            if ends:
                each.note_quarantine(sum(ends), now_ms)
            each.look_back(cluster, bounds, now_ms)
        return counts

    def close(self) -> None:
        """Close the connections."""
        for each in self._readers.values():
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
