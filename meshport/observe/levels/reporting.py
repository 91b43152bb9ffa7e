"""Where the reports of an observer go: the registry, the data product `mesh/service-levels`, and the metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Self

from meshport.address import Address
from meshport.errors import MeshError, NotRegistered, RegistrationRefused
from meshport.kafka.clusters import KafkaAccess
from meshport.metrics.levels import BUDGET, LAST_LOOK, LEVEL, OBSERVED_EVENTS
from meshport.observe.levels.observer import PortReport
from meshport.observe.levels.results import RESULTS, record_of
from meshport.ports.publisher import Publisher
from meshport.registry import Registry
from meshport.service_levels import LevelState

__all__ = ["Reporting"]

_log: Final = logging.getLogger(__name__)
_PUBLISHED_EVERY: Final = timedelta(minutes=1)
_NUMBERS: Final = {LevelState.MET: 0, LevelState.AT_RISK: 1, LevelState.BROKEN: 2, LevelState.UNKNOWN: -1}


class Reporting:
    """Passes reports on. What one receiver does not take costs the others nothing, and is logged.

    Args:
        registry: which keeps the reports.
        kafka: the connections to Kafka.
    """

    def __init__(self, registry: Registry, kafka: KafkaAccess) -> None:
        self._registry = registry
        self._kafka = kafka
        self._publisher: Publisher | None = None
        self._published: dict[Address, datetime] = {}
        self._shown: set[tuple[str, str]] = set()

    def report(self, reports: Iterable[PortReport]) -> bool:
        """Pass reports on; return whether the registry took them, and the events are stored.

        Raises:
            RegistrationRefused: the caller may not report service levels.
        """
        reports = list(reports)
        self._show(reports)
        taken = self._keep(reports)
        return self._publish(reports) and taken

    def _keep(self, reports: list[PortReport]) -> bool:
        for each in reports:
            try:
                self._registry.service_levels.report(each.address, each.measured)
                if each.profile is not None:
                    self._registry.service_levels.report_profile(each.profile)
            except NotRegistered:
                continue  # it was retired or dropped since the observer looked
            except RegistrationRefused:
                raise
            except MeshError as error:
                _log.warning("the registry did not take what was measured: %s", error.message)
                return False
        return True

    def _publish(self, reports: list[PortReport]) -> bool:
        due = [each for each in reports if each.changed or self._is_due(each)]
        if not due:
            return True
        try:
            if self._publisher is None:
                self._publisher = Publisher(RESULTS, self._registry, kafka=self._kafka)
            for each in due:
                self._publisher.publish(record_of(each.address, each.measured, each.changed))
                self._published[each.address] = each.measured.at
            self._publisher.flush()
        except MeshError as error:
            _log.warning("what was measured is not published in %s: %s", RESULTS, error.message)
            return False
        return True

    def _is_due(self, report: PortReport) -> bool:
        last = self._published.get(report.address)
        return last is None or report.measured.at - last >= _PUBLISHED_EVERY

    def _show(self, reports: list[PortReport]) -> None:
        shown: set[tuple[str, str]] = set()
        for each in reports:
            if each.events:
                OBSERVED_EVENTS.labels(str(each.address)).inc(each.events)
            for level in each.measured.levels:
                labels = str(each.address), level.name()
                shown.add(labels)
                LEVEL.labels(*labels).set(_NUMBERS.get(level.state, -1))
                BUDGET.labels(*labels).set(float("nan") if level.budget_left is None else level.budget_left)
        for labels in self._shown - shown:
            LEVEL.remove(*labels)
            BUDGET.remove(*labels)
        self._shown = shown
        LAST_LOOK.set_to_current_time()

    def close(self) -> None:
        """Close the connection of the publisher."""
        if self._publisher is not None:
            self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
