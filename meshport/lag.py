"""How far the processors of a mesh are, seen from outside: what is stored on their ports, and what still waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from meshport.address import Address
from meshport.kafka.consumer import Consumer
from meshport.process.load import load_pipeline
from meshport.process.plan import Plan, make_plan
from meshport.project import ProjectProduct
from meshport.publish import Resolver


@dataclass(frozen=True, slots=True)
class Standing:
    """One product at one moment.

    Attributes:
        address: of the product.
        stored: how many events its default port's log has taken in.
        waiting: how many events its processor has not yet committed; 0 for a source.
        quarantined: how many events its processor put aside.
        late: how many events came after their window's lateness.
    """

    address: Address
    stored: int
    waiting: int = 0
    quarantined: int = 0
    late: int = 0


class Watch:
    """Looks at the products of a project, as often as one likes.

    Args:
        products: registered all, on one cluster, their processors started.
        resolver: a registry.
    """

    def __init__(self, products: Iterable[ProjectProduct], resolver: Resolver) -> None:
        self._ports: dict[Address, str] = {}
        self._plans: dict[Address, Plan] = {}
        self._groups: dict[Address, Consumer] = {}
        with ExitStack() as opened:
            for each in products:
                address = each.product.address
                binding = resolver.resolve(address)
                if not self._ports:
                    self._look = opened.enter_context(Consumer(binding.bootstrap_servers))
                self._ports[address] = binding.topic
                if each.product.process:
                    plan = make_plan(load_pipeline(each.product, each.folder), address, resolver)
                    self._plans[address] = plan
                    self._groups[address] = opened.enter_context(Consumer(binding.bootstrap_servers, group=plan.group))
            self.close = opened.pop_all().close
            """Let go of the connections."""

    def standings(self) -> list[Standing]:
        """Each product as it stands now.

        Raises:
            TopicError: a topic is missing.
            BrokerUnavailable: no broker answers.
        """
        ends: dict[str, Mapping[int, int]] = {}
        found = []
        for address, topic in self._ports.items():
            stored = self._stored(topic, ends)
            plan = self._plans.get(address)
            if plan is None:
                found.append(Standing(address, stored))
                continue
            waiting = sum(self._waiting(address, stage.topic, ends) for stage in plan.stages)
            late = self._stored(plan.late_topic, ends) if plan.timed else 0
            found.append(Standing(address, stored, waiting, self._stored(plan.quarantine_topic, ends), late))
        return found

    def _stored(self, topic: str, ends: dict[str, Mapping[int, int]]) -> int:
        return sum(self._ends(topic, ends).values())

    def _waiting(self, address: Address, topic: str, ends: dict[str, Mapping[int, int]]) -> int:
        committed = self._groups[address].committed(topic)
        return sum(max(0, end - committed.get(partition, 0)) for partition, end in self._ends(topic, ends).items())

    def _ends(self, topic: str, ends: dict[str, Mapping[int, int]]) -> Mapping[int, int]:
        if topic not in ends:
            ends[topic] = self._look.end_offsets(topic)
        return ends[topic]
