"""A processor's topics on a real Kafka, plays to put there, and the recount that its outputs have to equal."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.event import Event, EventReader, EventWriter
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.process.engines.memory_ports import Ports
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.own_topics import ensure_topics
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan
from tests.connections import connection
from tests.process.plays import play
from tests.process.processor import LATENESS, WITHIN
from tests.process.recount import hourly, on_time, unique
from tests.waiting import PATIENCE_S, wait_for


class Topics:
    """The topics of one processor on a real Kafka."""

    def __init__(self, plan: Plan, ports_: Ports) -> None:
        self.plan, self.ports = plan, ports_
        self.log = KafkaLog(plan.kafka)
        admin = Admin(plan.kafka)
        for binding in (*plan.reads, plan.output):
            admin.ensure_topic(binding.topic, binding.partitions)
        ensure_topics(plan, admin)
        self._number = 0

    def publish(self, plays: list[tuple[str, dict[str, Any]]]) -> None:
        """Store plays, (id, data) each."""
        self.store(self.plan.source, plays)

    def store(self, source: Binding, rows: list[tuple[str, dict[str, Any]]]) -> None:
        """Store events of a port, (id, data) each."""
        schema = self.ports.by_id(source.schema_id)
        writer = EventWriter(
            source=str(source.address), type=source.type, codec=codec_for(schema), schema_id=source.schema_id
        )
        with Producer(connection(source.bootstrap_servers)) as producer:
            producer.deliver(
                Message(
                    source.topic,
                    str(data[source.key[0]]).encode(),
                    *writer.message(data, id=id_, time=data[source.time or ""]),
                )
                for id_, data in rows
            )

    def stored(self, topic: str) -> list[InputMessage]:
        """All messages of a topic."""
        return [
            each
            for number, (begin, end) in sorted(self.log.bounds(topic).items())
            for each in self.log.between(topic, number, begin, end)
        ]

    def events(self, topic: str) -> list[Event]:
        """All events of a topic."""
        reader = EventReader(self.ports)
        return [reader.read(*each[3:6], *each[:3], each.timestamp_ms) for each in self.stored(topic)]

    def written(self) -> int:
        """How many outputs there are."""
        return sum(end for _, end in self.log.bounds(self.plan.output.topic).values())


def world(count: int, *, seed: int = 1, start: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Plays over hours: out of order, some late, one in ten sent twice."""
    dice = random.Random(seed)
    plays = []
    for number in range(start, start + count):
        minute = number / 20 - (dice.expovariate(0.05) if dice.random() < 0.3 else 0)
        data = play(f"u{dice.randrange(40)}", f"a{dice.randrange(7)}", minute, dice.randrange(1000))
        plays += [(f"p{number}", data)] * (2 if dice.random() < 0.1 else 1)
    return plays


def check(topics: Topics) -> None:
    """Assert that the table equals a recount, that one id has one content, and that all late plays are on the late port."""
    source = topics.events(topics.plan.source.topic)
    outputs = topics.events(topics.plan.output.topic)
    contents: dict[str, Any] = {}
    for event in outputs:
        assert contents.setdefault(event.id, event) == event
    kept = list(on_time(source, LATENESS))
    assert {(event.key or b"").decode(): event.data for event in outputs} == hourly(unique(kept, WITHIN), "artist")
    late = {
        (dict(each.headers)["mesh_offset"], dict(each.headers)["mesh_partition"])
        for each in topics.stored(topics.plan.late_topic)
    }
    assert len(late) == len(source) - len(kept) > 0


def at_least(topics: Topics, count: int) -> bool:
    """Whether there are that many outputs."""
    return topics.written() >= count


def members_come_and_go(topics: Topics, run: Callable[..., ProcessorProgress]) -> None:
    """Let a second member join and the first one leave while plays come in; then process all of them."""
    stops = [threading.Event(), threading.Event()]
    seen: list[list[ProcessorProgress]] = [[], []]
    failed: list[BaseException] = []

    def member(number: int) -> None:
        try:
            run(topics.plan, topics.ports, stop=stops[number], on_progress=seen[number].append)
        except BaseException as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    threads = [threading.Thread(target=member, args=(number,)) for number in range(2)]
    sent = 0

    def more() -> None:
        nonlocal sent
        topics.publish(world(200, seed=sent, start=sent))
        sent += 200

    def second_reads() -> bool:
        more()
        return any(progress.read or progress.written for progress in seen[1])

    try:
        more()
        threads[0].start()
        wait_for(lambda: topics.written() > 100)
        threads[1].start()
        wait_for(second_reads, pause_s=0.3)
        stops[0].set()
        threads[0].join(PATIENCE_S)
        more()
    finally:
        for stop, thread in zip(stops, threads, strict=True):
            stop.set()
            thread.join(PATIENCE_S)
    assert failed == []
    run(topics.plan, topics.ports, until_end=True)
