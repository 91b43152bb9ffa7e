"""The consumer groups that read each port, as its brokers show them, reported to the registry once a minute.

A report has the sum of the offsets that a group has committed in the topics of a port, not only of its present generation: the
registry compares it with the one before, and so knows when the group read, also over a restart of the observer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Protocol

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import KafkaError, NotRegistered
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import KafkaConfig
from meshport.kafka.groups import ClusterGroups, ConsumerGroup
from meshport.seen_readers import LONGEST_NAME, MOST_GROUPS, GroupReport, GroupReports, LineReaders

__all__ = ["GroupObserver", "GroupReporting", "groups_by_line"]

EVERY_S: Final = 60.0
"""Seconds between two reports, at least."""
_log: Final = logging.getLogger(__name__)


class GroupReporting(Protocol):
    """Where groups are reported: `meshport.Registry`."""

    def report_groups(self, line: Address, reports: GroupReports) -> LineReaders:
        """Report all consumer groups that read a line; see `meshport.Registry.report_groups`."""


class GroupObserver:
    """Reports the consumer groups of the ports of a mesh.

    A cluster that does not answer, or shows no groups, is passed over: nothing is reported of its ports, so that the registry
    takes none of their readers for silent.

    Args:
        registry: takes the reports.
        kafka: the connections to Kafka.
        monotonic: returns seconds.
        now: returns the present.
    """

    def __init__(
        self,
        registry: GroupReporting,
        kafka: KafkaAccess,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = registry
        self._kafka = kafka
        self._monotonic = monotonic
        self._now = now
        self._due = monotonic()
        self._clusters: dict[KafkaConfig, ClusterGroups] = {}

    def report(self, bindings: Iterable[Binding]) -> None:
        """Report the groups of some ports, unless that was done in the last minute.

        Args:
            bindings: of the ports.

        Raises:
            RegistrationRefused: the caller may not report what it observes.
            RegistryUnavailable: the registry did not answer.
        """
        if self._monotonic() < self._due:
            return
        self._due = self._monotonic() + EVERY_S
        by_cluster: dict[KafkaConfig, list[Binding]] = {}
        for each in bindings:
            by_cluster.setdefault(self._kafka.to(each), []).append(each)
        for config, ports in by_cluster.items():
            at = self._now()
            try:
                groups = self._groups(config)
            except KafkaError as error:
                _log.warning("the consumer groups at %s are not seen: %s", config.bootstrap_servers, error.message)
                continue
            for address, found in groups_by_line(ports, groups).items():
                with suppress(NotRegistered):  # it was retired or dropped since the observer looked
                    self._registry.report_groups(address, GroupReports(at=at, groups=found))

    def _groups(self, config: KafkaConfig) -> list[ConsumerGroup]:
        if config not in self._clusters:
            self._clusters[config] = ClusterGroups(config)
        cluster = self._clusters[config]
        return cluster.describe(cluster.names())


def groups_by_line(
    bindings: Iterable[Binding], groups: Iterable[ConsumerGroup]
) -> Mapping[Address, tuple[GroupReport, ...]]:
    """Return the groups that read each line, by name; for a line that no group reads, none.

    Args:
        bindings: of the lines.
        groups: of their cluster.
    """
    topics = {each.address: {each.topic, *(one.topic for one in each.continues)} for each in bindings}
    line_of = {topic: line for line, own in topics.items() for topic in own}
    found: dict[Address, list[GroupReport]] = {line: [] for line in topics}
    for group in sorted(groups, key=lambda each: each.name):
        lines = dict.fromkeys(line for one in group.partitions if (line := line_of.get(one.topic)) is not None)
        for line in lines if len(group.name) <= LONGEST_NAME else ():
            found[line].append(_report(group, topics[line]))
    for line, reports in found.items():
        if len(reports) > MOST_GROUPS:
            _log.warning("%s has %s consumer groups: %s are reported", line, len(reports), MOST_GROUPS)
    return {line: tuple(reports[:MOST_GROUPS]) for line, reports in found.items()}


def _report(group: ConsumerGroup, topics: set[str]) -> GroupReport:
    committed = [offset for one, offset in group.committed.items() if one.topic in topics]
    live = any(one.topic in topics for one in group.assigned)
    return GroupReport(name=group.name, committed=sum(committed) if committed else None, live=live)
