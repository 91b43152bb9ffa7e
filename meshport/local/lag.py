"""The lag of a mesh's processors, from outside: how many events their ports have stored, and how many of the inputs wait.

Events are counted by reading them, all of them once and then the new ones. Offsets do not count them: each transaction
takes one more on every partition that it wrote to, for its marker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from meshport.address import Address
from meshport.kafka.clusters import KafkaAccess
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
        products: all are registered, and their processors are started.
        resolver: a registry.
        kafka: the connections to Kafka; servers that they name win over the bindings'.
    """

    def __init__(
        self, products: Iterable[ProjectProduct], resolver: Resolver, *, kafka: KafkaAccess = PLAINTEXT
    ) -> None:
        self._ports: dict[Address, str] = {}
        self._clusters: dict[Address, KafkaConfig] = {}
        self._plans: dict[Address, Plan] = {}
        self._groups: dict[Address, Consumer] = {}
        self._counters: dict[str, dict[int, EventCounter]] = {}
        self._followers: list[TopicFollower] = []
        with ExitStack() as opened:
            for each in products:
                address = each.product.address
                binding = resolver.resolve(address)
                self._clusters[address] = kafka.to(binding)
                self._ports[address] = binding.topic
                if each.product.process:
                    plan = make_plan(load_pipeline(each.product, each.folder), address, resolver, kafka=kafka)
                    self._plans[address] = plan
                    self._groups[address] = opened.enter_context(group_reader(plan.kafka, plan.group))
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
        if not self._followers:
            self._follow()
        for follower in self._followers:
            for messages in follower.catch_up():
                for each in messages:
                    self._counters[each.topic()][each.partition()].take(each.offset())

    def _follow(self) -> None:
        """Open a follower of each cluster's topics; none where a topic is missing yet."""
        clusters = {topic: self._clusters[address] for address, topic in self._ports.items()}
        for plan in self._plans.values():
            topics = [*(stage.topic for stage in plan.stages), plan.quarantine_topic]
            topics += [plan.late_topic] if plan.timed else []
            clusters = dict.fromkeys(topics, plan.kafka) | clusters
        with ExitStack() as opened:
            followers = [
                opened.enter_context(
                    closing(TopicFollower(each, *(name for name in clusters if clusters[name] == each)))
                )
                for each in set(clusters.values())
            ]
            self._opened.push(opened.pop_all())
        self._followers = followers
        self._counters = {topic: defaultdict(EventCounter) for topic in clusters}

    def _count_stored(self, topic: str) -> int:
        return sum(counter.events for counter in self._counters[topic].values())

    def _waiting(self, address: Address, topic: str) -> int:
        committed = self._groups[address].committed(topic)
        return sum(counter.waiting(committed.get(partition, 0)) for partition, counter in self._counters[topic].items())

    def close(self) -> None:
        """Close the connections."""
        self._opened.close()


def group_reader(kafka: KafkaConfig, group: str) -> Consumer:
    """Return a consumer that reads a group's committed offsets at once, beside an open transaction that has others.

    A committed reader is not answered before such a transaction has ended (KIP-447): after a kill, up to its timeout.
    """
    return Consumer(kafka, group=group, settings={"isolation.level": "read_uncommitted"})
