"""How far the processors of a mesh are, seen from outside: what is stored on their ports, and what still waits.

Events are counted by reading them, once whole and then what is new: offsets are no count of them, since each transaction
takes one more on every partition that it wrote to, for a marker that nobody reads.
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
class Standing:
    """One product at one moment.

    Attributes:
        address: of the product.
        stored: how many events its default port's log held when it was first looked at, and has taken in since.
        waiting: how many of its inputs' events its processor has not yet committed; 0 for a source.
        quarantined: how many events its processor put aside.
        late: how many events came after their window's lateness.
    """

    address: Address
    stored: int
    waiting: int = 0
    quarantined: int = 0
    late: int = 0


@dataclass
class Tally:
    """The events of one partition, counted in the order of their offsets.

    Attributes:
        events: how many there are.
    """

    events: int = 0
    _next: int = -1
    # The first offset of each run of events without a gap, and how many events there are before it.
    _starts: list[int] = field(default_factory=list)
    _before: list[int] = field(default_factory=list)

    def take(self, offset: int) -> None:
        """Count the event at this offset."""
        if offset != self._next:
            self._starts.append(offset)
            self._before.append(self.events)
        self._next = offset + 1
        self.events += 1

    def waiting(self, place: int) -> int:
        """How many events are at this offset or behind it."""
        run = bisect_right(self._starts, place) - 1
        if run < 0:
            return self.events
        end = self._before[run + 1] if run + 1 < len(self._before) else self.events
        return self.events - min(end, self._before[run] + place - self._starts[run])


class Watch:
    """Looks at the products of a project, as often as one likes.

    Args:
        products: registered all, on one cluster, their processors started.
        resolver: a registry.
        kafka: the connection to the cluster.
    """

    def __init__(
        self, products: Iterable[ProjectProduct], resolver: Resolver, *, kafka: KafkaConfig = PLAINTEXT
    ) -> None:
        self._ports: dict[Address, str] = {}
        self._plans: dict[Address, Plan] = {}
        self._groups: dict[Address, Consumer] = {}
        self._tallies: dict[str, dict[int, Tally]] = {}
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

    def standings(self) -> list[Standing]:
        """Each product as it stands now.

        Raises:
            TopicError: a topic is missing.
            BrokerUnavailable: no broker answers.
        """
        self._count()
        found = []
        for address, topic in self._ports.items():
            stored = self._stored(topic)
            plan = self._plans.get(address)
            if plan is None:
                found.append(Standing(address, stored))
                continue
            waiting = sum(self._waiting(address, stage.topic) for stage in plan.stages)
            late = self._stored(plan.late_topic) if plan.timed else 0
            found.append(Standing(address, stored, waiting, self._stored(plan.quarantine_topic), late))
        return found

    def _count(self) -> None:
        if self._follower is None:
            topics = dict.fromkeys(self._ports.values())
            for plan in self._plans.values():
                topics |= dict.fromkeys([stage.topic for stage in plan.stages] + [plan.quarantine_topic])
                topics |= {plan.late_topic: None} if plan.timed else {}
            self._follower = TopicFollower(self._kafka, *topics)
            self._opened.callback(self._follower.close)
            self._tallies = {topic: defaultdict(Tally) for topic in topics}
        for messages in self._follower.catch_up():
            for each in messages:
                self._tallies[each.topic()][each.partition()].take(each.offset())

    def _stored(self, topic: str) -> int:
        return sum(tally.events for tally in self._tallies[topic].values())

    def _waiting(self, address: Address, topic: str) -> int:
        committed = self._groups[address].committed(topic)
        return sum(tally.waiting(committed.get(partition, 0)) for partition, tally in self._tallies[topic].items())

    def close(self) -> None:
        """Let go of the connections."""
        self._opened.close()
