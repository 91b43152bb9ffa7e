"""The observer of processors: whether each runs, what it has not processed, and what it quarantined.

It asks the brokers for the processors' groups, joins none and commits nothing. Of a cluster that does not answer it reports
nothing: what was reported before ends by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from meshport.binding import RegisteredProduct
from meshport.errors import BrokerUnavailable, KafkaError, MeshError, NotRegistered, RegistrationRefused, UnknownCluster
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import KafkaConfig
from meshport.kafka.groups import ConsumerGroup
from meshport.observe.lag import GroupLags, PartitionLag, total_of
from meshport.observe.levels.cluster_reader import ClusterReader
from meshport.observe.levels.observer import wall_clock_ms
from meshport.observe.processors.kept_events import Kept, KeptReader
from meshport.observe.processors.processed_port import ProcessedPort, WholeMesh
from meshport.processor_reports import MOST_CLIENTS, MOST_PARTITIONS, PartitionBacklog, ProcessorReport
from meshport.quarantine_report import QuarantineEntry, QuarantineReport
from meshport.registry import Registry

__all__ = ["EVERY_S", "ProcessorLook", "ProcessorObserver", "ProcessorReporting"]

_log: Final = logging.getLogger(__name__)
EVERY_S: Final = 20.0
"""Seconds from one look at the processors to the next, at least: a look at one that is late reads of the log."""
_VALID: Final = timedelta(minutes=2)
_AGAIN: Final = timedelta(minutes=5)
_NOTHING: Final = Kept(None, None)


@dataclass(frozen=True)
class ProcessorLook:
    """What a look found of the processor of one port.

    Attributes:
        report: of the processor.
        quarantine: its newest quarantined and late events.
    """

    report: ProcessorReport
    quarantine: QuarantineReport


class ProcessorObserver:
    """Looks at the processors of a mesh.

    Args:
        kafka: the connections to Kafka.
        interval_s: seconds from one call to the next; a report counts for two minutes, or three intervals.
        clock: returns the present, Unix time in ms.
    """

    def __init__(
        self, kafka: KafkaAccess, *, interval_s: float = EVERY_S, clock: Callable[[], int] = wall_clock_ms
    ) -> None:
        self._kafka = kafka
        self._valid = max(_VALID, timedelta(seconds=3 * interval_s))
        self._clock = clock
        self._due_ms = 0
        self._clusters: dict[KafkaConfig, _ObservedCluster] = {}

    def look(self, products: Iterable[RegisteredProduct]) -> list[ProcessorLook]:
        """Look at every processor once, and return what was found, by address; nothing where no look is due.

        Args:
            products: those of the mesh.
        """
        now_ms = self._clock()
        if now_ms < self._due_ms:
            return []
        self._due_ms = now_ms + int(EVERY_S * 1000)
        mesh, now = WholeMesh.of(products), datetime.fromtimestamp(now_ms / 1000, UTC)
        by_cluster: dict[KafkaConfig, list[ProcessedPort]] = {}
        for each in mesh.processed:
            try:
                by_cluster.setdefault(self._kafka.to(each.binding), []).append(each)
            except UnknownCluster as error:
                _log.warning("the processor of %s is not observed: %s", each.binding.address, error.message)
        found = []
        for config, ports in by_cluster.items():
            try:
                if config not in self._clusters:
                    self._clusters[config] = _ObservedCluster(config)
                found += list(self._clusters[config].look(ports, mesh, now, now + self._valid))
            except KafkaError as error:
                _log.warning("processors at %s are not observed: %s", config.bootstrap_servers, error.message)
        return sorted(found, key=lambda each: each.quarantine.address)

    def close(self) -> None:
        """Close the connections."""
        for each in self._clusters.values():
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _ObservedCluster:
    """Looks at the processors of one cluster."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._hidden = ""
        self._lags: GroupLags | None = None
        self._reader = ClusterReader(kafka)
        self._kept = KeptReader(self._reader)
        try:
            self._lags = GroupLags(kafka)
        except BrokerUnavailable:
            self._reader.close()
            raise
        except KafkaError as error:
            self._hidden = error.message

    def look(
        self, ports: Sequence[ProcessedPort], mesh: WholeMesh, now: datetime, until: datetime
    ) -> Iterator[ProcessorLook]:
        groups: list[ConsumerGroup] = []
        hidden: frozenset[str] = frozenset()
        lags: list[PartitionLag] = []
        if self._lags is not None:
            groups, hidden = self._lags.groups(each.group for each in ports)
            lags = self._lags.of(groups)
        by_name = {each.name: each for each in groups}
        # A processor writes the line that was live when it started: a further line without members is none that stopped.
        observed = [
            each for each in ports if each.live or ((group := by_name.get(each.group)) is not None and group.members)
        ]
        kept = self._kept.look(observed, mesh)
        for each in observed:
            own = [lag for lag in lags if lag.group == each.group]
            why = self._hidden or (f"this observer may not see the group {each.group}" if each.group in hidden else "")
            found = by_name.get(each.group)
            members = None if why else 0 if found is None else found.members
            held = kept.get(each.binding.topic, _NOTHING)
            yield ProcessorLook(
                _report(each, own, held, members=members, hidden=why, now=now, until=until),
                QuarantineReport(
                    address=each.binding.address,
                    at=now,
                    sources=each.sources[:100],
                    withheld=each.closed,
                    entries=held.entries,
                ),
            )

    def close(self) -> None:
        self._reader.close()
        if self._lags is not None:
            self._lags.close()


def _report(
    port: ProcessedPort,
    lags: Sequence[PartitionLag],
    kept: Kept,
    *,
    members: int | None,
    hidden: str,
    now: datetime,
    until: datetime,
) -> ProcessorReport:
    known = [each for each in lags if each.unread is not None]
    total = total_of(known)
    seconds = [each.seconds for each in known if each.seconds is not None]
    worst = sorted(lags, key=lambda each: (-(each.seconds or 0), -(each.unread.events if each.unread else 0)))
    clients = sorted({each.member.client for each in lags if each.member is not None})
    return ProcessorReport(
        at=now,
        valid_until=until,
        group=port.group,
        members=members,
        hidden=hidden,
        clients=tuple(each[:300] for each in clients[:MOST_CLIENTS]),
        events=total.events if known else None,
        at_most=total.at_most,
        seconds=max(seconds, default=None),
        partitions=tuple(map(_backlog, sorted(worst[:MOST_PARTITIONS], key=lambda each: each.partition))),
        more_partitions=max(0, len(lags) - MOST_PARTITIONS),
        quarantined=kept.quarantined,
        late=kept.late,
    )


def _backlog(lag: PartitionLag) -> PartitionBacklog:
    return PartitionBacklog(
        topic=lag.partition.topic,
        partition=lag.partition.partition,
        events=None if lag.unread is None else lag.unread.events,
        at_most=lag.unread is not None and lag.unread.at_most,
        seconds=None if lag.seconds is None else round(lag.seconds, 3),
        client=None if lag.member is None else lag.member.client[:300],
    )


@dataclass
class ProcessorReporting:
    """Passes what was found of processors on to a registry. Quarantined events are sent where they changed, and now and then.

    Attributes:
        registry: which keeps it.
    """

    registry: Registry
    _sent: dict[str, tuple[datetime, tuple[QuarantineEntry, ...]]] = field(default_factory=dict)

    def report(self, looks: Iterable[ProcessorLook]) -> bool:
        """Pass looks on; return whether the registry took them.

        Raises:
            RegistrationRefused: the caller may not report what it observes.
        """
        for each in looks:
            address = each.quarantine.address
            try:
                self.registry.processors.report(address, each.report)
                at, entries = self._sent.get(str(address), (None, ()))
                if at is None or entries != each.quarantine.entries or each.quarantine.at - at >= _AGAIN:
                    self.registry.processors.report_quarantine(each.quarantine)
                    self._sent[str(address)] = each.quarantine.at, each.quarantine.entries
            except NotRegistered:
                continue  # it was retired or dropped since the observer looked
            except RegistrationRefused:
                raise
            except MeshError as error:
                _log.warning("the registry did not take what was found of processors: %s", error.message)
                return False
        return True
