"""The lag of a mesh's processors, from outside: how many events their ports have stored, and how many of the inputs wait.

Events are counted by reading them, all of them once and then the new ones. Offsets do not count them: each transaction
takes one more on every partition that it wrote to, for its marker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from meshport.address import Address
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.ports.resolver import Resolver
from meshport.ports.scan import TopicFollower
from meshport.process.logic.load import load_pipeline
from meshport.process.wire.plan import Plan, make_plan
from meshport.project.project import ProjectProduct


@dataclass(frozen=True, slots=True)
class ProductLag:
    """The lag of one product at one moment.

    Attributes:
        address: the product's.
        stored: how many events its default port's log had when the monitor first read it, and has taken in since.
        waiting: how many of its inputs' events its processor has not committed yet; 0 for a source.
        quarantined: how many events its processor has quarantined.
        late: how many events came too late for their window.
    """

    address: Address
    stored: int
    waiting: int = 0
    quarantined: int = 0
    late: int = 0


@dataclass
class EventCounter:
    """Counts the events of one partition, in the order of their offsets.

    Attributes:
        events: how many were counted.
    """

    events: int = 0
    _next: int = -1
    # The first offset of each run of events without a gap, and how many events come before it.
    _starts: list[int] = field(default_factory=list)
    _before: list[int] = field(default_factory=list)

    def take(self, offset: int) -> None:
        """Count the event at this offset."""
        if offset != self._next:
            self._starts.append(offset)
            self._before.append(self.events)
        self._next = offset + 1
        self.events += 1

    def waiting(self, offset: int) -> int:
        """Return how many events have this offset or a later one."""
        run = bisect_right(self._starts, offset) - 1
        if run < 0:
            return self.events
        end = self._before[run + 1] if run + 1 < len(self._before) else self.events
        return self.events - min(end, self._before[run] + offset - self._starts[run])


class LagMonitor:
    """Measures the lag of a project's products.

    Args:
        products: all are registered, on one cluster, and their processors are started.
        resolver: a registry.
        kafka: the connection to the cluster.
    """

    def __init__(
        self, products: Iterable[ProjectProduct], resolver: Resolver, *, kafka: KafkaConfig = PLAINTEXT
    ) -> None:
        self._ports: dict[Address, str] = {}
        self._plans: dict[Address, Plan] = {}
        self._groups: dict[Address, Consumer] = {}
        self._counters: dict[str, dict[int, EventCounter]] = {}
        self._follower: TopicFollower | None = None
        self._kafka = kafka
        with ExitStack() as opened:
            for each in products:
                address = each.product.address
                binding = resolver.resolve(address)
                self._kafka = self._kafka.at(binding.bootstrap_servers)
                self._ports[address] = binding.topic
                if each.product.process:
                    plan = make_plan(load_pipeline(each.product, each.folder), address, resolver, kafka=kafka)
                    self._plans[address] = plan
                    self._groups[address] = opened.enter_context(Consumer(self._kafka, group=plan.group))
            self._opened = opened.pop_all()

    def lags(self) -> list[ProductLag]:
        """Return the present lag of each product.

        Raises:
            TopicError: a topic is missing.
            BrokerUnavailable: no broker answers.
        """
        self._read_new()
        found = []
        for address, topic in self._ports.items():
            stored = self._count_stored(topic)
            plan = self._plans.get(address)
            if plan is None:
                found.append(ProductLag(address, stored))
                continue
            waiting = sum(self._waiting(address, stage.topic) for stage in plan.stages)
            late = self._count_stored(plan.late_topic) if plan.timed else 0
            found.append(ProductLag(address, stored, waiting, self._count_stored(plan.quarantine_topic), late))
        return found

    def _read_new(self) -> None:
        if self._follower is None:
            topics = dict.fromkeys(self._ports.values())
            for plan in self._plans.values():
                topics |= dict.fromkeys([stage.topic for stage in plan.stages] + [plan.quarantine_topic])
                topics |= {plan.late_topic: None} if plan.timed else {}
            self._follower = TopicFollower(self._kafka, *topics)
            self._opened.callback(self._follower.close)
            self._counters = {topic: defaultdict(EventCounter) for topic in topics}
        for messages in self._follower.catch_up():
            for each in messages:
                self._counters[each.topic()][each.partition()].take(each.offset())

    def _count_stored(self, topic: str) -> int:
        return sum(counter.events for counter in self._counters[topic].values())

    def _waiting(self, address: Address, topic: str) -> int:
        committed = self._groups[address].committed(topic)
        return sum(counter.waiting(committed.get(partition, 0)) for partition, counter in self._counters[topic].items())

    def close(self) -> None:
        """Close the connections."""
        self._opened.close()
