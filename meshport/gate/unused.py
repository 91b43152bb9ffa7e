"""Ports without an event and a reader: no reader relies on their contract yet."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Final

from meshport.compat import RULES, Case, Scope, Verdict
from meshport.errors import KafkaError, NotRegistered
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.project.topic_use import is_unused
from meshport.registry import Registry

_REACH_S: Final = 3.0


class UnusedPorts:
    """Looks at the topics of ports that are refused and have no declared reader, each cluster once.

    Args:
        registry: knows the bindings of the ports.
        kafka: the connections to Kafka; servers that they name win over the bindings'.

    Attributes:
        notes: the clusters that did not answer; their ports are judged as if they were used.
    """

    def __init__(self, registry: Registry, *, kafka: KafkaAccess = PLAINTEXT) -> None:
        self.notes: list[str] = []
        self._registry = registry
        self._kafka = kafka
        self._clusters: dict[KafkaConfig, Admin | None] = {}

    def marked(self, cases: Iterable[Case], today: date) -> tuple[Case, ...]:
        """Return cases whose pasts say whether their port is unused, where the verdict depends on it."""
        return tuple(self._marked(each, today) for each in cases)

    def _marked(self, case: Case, today: date) -> Case:
        if case.past is None or case.past.readers or not _depends(case.verdict(today)):
            return case
        try:
            binding = self._registry.resolve(case.past.contract.address)
        except NotRegistered:
            return case
        admin = self._admin(self._kafka.to(binding))
        if admin is None or not is_unused(binding, admin):
            return case
        return replace(case, past=replace(case.past, unused=True))

    def _admin(self, cluster: KafkaConfig) -> Admin | None:
        if cluster not in self._clusters:
            self._clusters[cluster] = _open(cluster)
            if self._clusters[cluster] is None:
                self.notes.append(
                    f"no broker answers at {cluster.bootstrap_servers}: whether a refused port has events or readers is not "
                    "known"
                )
        return self._clusters[cluster]


def _open(cluster: KafkaConfig) -> Admin | None:
    """Return a client of a cluster; None if none of its brokers can be reached, which a client would try for 15 s."""
    for server in cluster.bootstrap_servers.split(","):
        host, _, port = server.rpartition("://")[2].rpartition(":")
        with (
            suppress(OSError, ValueError, KafkaError),
            socket.create_connection((host.strip("[]"), int(port)), _REACH_S),
        ):
            return Admin(cluster)
    return None


def _depends(verdict: Verdict) -> bool:
    """Return whether a verdict would pass, or pass in part, if the port were unused."""
    return any(
        each.refuses and RULES[each.rule].scope is not Scope.DECLARATION and not RULES[each.rule].holds_unused
        for each in verdict.findings
    )
