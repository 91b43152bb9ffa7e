"""The faust engine on a real Kafka: kills, rebalances, and events that faust alone would lose."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
import pytest
from faust.contrib.asgi import faust_app_running

from meshport.errors import ProcessError, TopicRemade
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import Cluster
from meshport.process.engines import faust as engine
from meshport.process.engines.faust import run_processor
from meshport.process.engines.faust_login import credentials
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.operators import Apply, Filter
from meshport.process.runtime import watchdog
from meshport.process.runtime.engine import Engine
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.own_topics import ensure_topics
from meshport.process.runtime.starting_offset import starting_offset
from meshport.process.runtime.worker import Worker
from meshport.process.wire.plan import make_plan
from tests.connections import CONNECTIONS
from tests.process.plays import OUT, PLAY, at, pipeline, play, ports, record
from tests.process.plays import field as avro
from tests.process.processor import mesh
from tests.process.topics import Topics, at_least, check, members_come_and_go, world
from tests.waiting import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def topics(kafka: Cluster) -> Iterator[Topics]:
    """The processor of `tests.process.processor`, with topics of its own."""
    made = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    yield made
    made.log.close()


def test_totals_survive_kills(topics: Topics) -> None:
    """After two SIGKILLs the totals are those of a recount: no play is lost or counted twice."""
    topics.publish(world(5000))
    command = [sys.executable, "-m", "tests.process.processor", topics.plan.output.bootstrap_servers]
    prefix = topics.plan.output.topic.removesuffix("listening.out.events.v1")
    kills = 0
    for goal in (200, 2000):
        process = subprocess.Popen([*command, prefix], cwd=ROOT)
        try:
            wait_for(partial(at_least, topics, goal))
            assert process.poll() is None
        finally:
            process.kill()
            kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    assert topics.written() < 5000
    run_processor(topics.plan, topics.ports, until_end=True)
    check(topics)


def test_sigterm_stops_it_in_order(topics: Topics) -> None:
    """On SIGTERM the processor finishes its batch, commits, leaves the group and exits with 0."""
    topics.publish(world(500))
    prefix = topics.plan.output.topic.removesuffix("listening.out.events.v1")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.process.processor", topics.plan.output.bootstrap_servers, prefix],
        cwd=ROOT, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_for(lambda: topics.written() >= 100)
        process.terminate()
        _, stderr = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, stderr) == (0, b"")
    with Consumer(topics.plan.kafka, group=topics.plan.group) as consumer:
        committed = consumer.committed(topics.plan.source.topic)
    assert sum(committed.values()) > 0
    run_processor(topics.plan, topics.ports, until_end=True)
    check(topics)


def test_members_come_and_go(topics: Topics) -> None:
    """No play is lost or counted twice while a second member joins and the first one leaves."""
    members_come_and_go(topics, run_processor)
    check(topics)


class WithoutPartitions(Engine):
    """An engine whose group has given it nothing."""

    loaded = 0
    fetched: Mapping[TopicPartition, int] = {}

    def _run(self) -> None:
        self.assigned = self.restored = True
        self._stopping.wait()


def test_a_member_without_partitions_is_an_error_where_it_is_alone(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded run ends with an error that says so; one of several members may wait for partitions for ever."""
    ensure_topics(topics.plan, Admin(topics.plan.kafka))
    monkeypatch.setattr(watchdog, "_LOOK_S", 0.05)
    with pytest.raises(ProcessError, match="was given no partitions"):
        watchdog.Watchdog(topics.plan, WithoutPartitions("one"), topics.log, 0).run(
            threading.Event(), until_end=True, on_progress=None
        )
    stop, looks = threading.Event(), list[float]()
    look = watchdog.Watchdog._look

    def counted(dog: watchdog.Watchdog, now: float) -> None:
        look(dog, now)
        looks.append(now)
        if len(looks) == 3:
            stop.set()

    monkeypatch.setattr(watchdog.Watchdog, "_look", counted)
    watchdog.Watchdog(topics.plan, WithoutPartitions("two"), topics.log, 0).run(stop, until_end=False, on_progress=None)
    assert len(looks) == 3


def test_a_stalled_engine_is_an_error(kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog raises once no event is processed while events wait, though faust's event loop is alive."""
    bound = Ports(
        ports(record("N", avro("user", "string")), ("user",)),
        bootstrap_servers=kafka.bootstrap_servers,
        prefix=f"t{uuid4().hex[:8]}.",
    )
    released = threading.Event()

    def hang(state: Any, _: object) -> tuple[Any, list[dict[str, Any]]]:
        watching.patience_s = 0  # from now on; joining the group may take its time
        released.wait(PATIENCE_S)
        return state, []

    plan = make_plan(pipeline(Apply(hang, by=("user",))), OUT, bound, kafka=CONNECTIONS)
    topics = Topics(plan, bound)
    topics.publish([("p0", play())])
    monkeypatch.setattr(watchdog, "_LOOK_S", 0.05)
    hung = engine.FaustEngine(plan, Worker(plan, bound, topics.log), topics.log, tmp_path)
    with closing(KafkaLog(plan.kafka)) as log:
        watching = watchdog.Watchdog(plan, hung, log, PATIENCE_S)
        with pytest.raises(ProcessError, match="has stalled: 1 events wait"):
            watching.run(threading.Event(), until_end=False, on_progress=None)
        assert hung.running
    released.set()
    hung.stop()
    topics.log.close()


def test_what_faust_leaves_out_is_read_from_kafka(kafka: Cluster, tmp_path: Path) -> None:
    """Messages that faust left out (faust#216) are read before the messages that follow them are processed."""
    bound = Ports(
        ports(PLAY, ("user",), plays=1), bootstrap_servers=kafka.bootstrap_servers, prefix=f"t{uuid4().hex[:8]}."
    )
    plan = make_plan(pipeline(Filter("ms >= 0")), OUT, bound, kafka=CONNECTIONS)
    topics = Topics(plan, bound)
    topics.publish([(f"p{number}", play(minutes=number)) for number in range(20)])
    stored = topics.stored(plan.source.topic)
    partition = TopicPartition(plan.source.topic, 0)
    alone = engine.FaustEngine(plan, Worker(plan, bound, topics.log), topics.log, tmp_path)
    alone._work([partition], {partition: stored[5:8]}, {})
    alone._work([], {partition: [stored[15], stored[19]]}, {})
    alone.stop()
    assert {event.id: event.time for event in topics.events(plan.source.topic)} == {f"p{n}": at(n) for n in range(20)}
    assert len(topics.events(plan.output.topic)) == 20
    topics.log.close()


def test_a_log_that_ends_before_the_state_is_refused(topics: Topics) -> None:
    """A topic that ends before the state's offset is an error; one that reaches it is read from there."""
    partition = TopicPartition(topics.plan.source.topic, 0)
    end = topics.log.bounds(partition.topic)[0][1]
    assert starting_offset(topics.plan, partition, end, topics.log) == end
    with pytest.raises(TopicRemade, match="was deleted and made again"):
        starting_offset(topics.plan, partition, end + 1, topics.log)


def test_a_handler_that_raises_loses_the_event_in_faust_alone(topics: Topics, tmp_path: Path) -> None:
    """Faust alone commits past an event whose handler raised, and loses it; the engine quarantines it."""
    topics.publish([(f"p{number}", play("u1", ms=number)) for number in range(8)])
    source = topics.plan.source
    handled: list[bytes] = []

    async def alone() -> None:
        app = faust.App(
            f"alone-{uuid4().hex[:8]}",
            broker=f"kafka://{source.bootstrap_servers}",
            broker_credentials=credentials(topics.plan.kafka),
            datadir=tmp_path,
            web_enabled=False,
            topic_disable_leader=True,
            store="memory://",
            broker_commit_interval=0.2,
        )
        topic = app.topic(source.topic, value_type=bytes, value_serializer="raw")
        done = asyncio.Event()

        @app.agent(topic)
        async def handle(stream: Any) -> None:
            async for event in stream.events():
                headers = dict(event.message.headers)
                if headers["ce_id"] == b"p3" and b"p3" not in handled:
                    handled.append(b"p3")
                    raise ValueError("the handler fails")
                handled.append(headers["ce_id"])
                if headers["ce_id"] == b"p7":
                    done.set()

        with Consumer(topics.plan.kafka, group=app.conf.id) as group:
            async with faust_app_running(app), asyncio.timeout(PATIENCE_S):
                await done.wait()
                await asyncio.to_thread(wait_for, lambda: sum(group.committed(source.topic).values()) == 8)

    asyncio.run(alone())
    assert handled == [b"p%d" % number for number in range(8)]  # p3 once, the time that it failed

    def picky(record_: Any) -> bool:
        if record_["ms"] == 3:
            raise ValueError("the handler fails")
        return True

    bound = Ports(
        ports(PLAY, ("user",), plays=3), bootstrap_servers=source.bootstrap_servers, prefix=f"t{uuid4().hex[:8]}."
    )
    plan = make_plan(pipeline(Filter(picky)), OUT, bound, kafka=CONNECTIONS)
    ours = Topics(plan, bound)
    ours.publish([(f"p{number}", play("u1", ms=number)) for number in range(8)])
    progress = run_processor(plan, bound, until_end=True)
    assert (progress.read, progress.written, progress.quarantined) == (8, 7, 1)
    (quarantined,) = ours.stored(plan.quarantine_topic)
    assert dict(quarantined.headers)["ce_id"] == b"p3"
    ours.log.close()


def test_poison_in_a_row_stops_no_good_event(kafka: Cluster) -> None:
    """Ten thousand bad messages in a row are all quarantined, and the good one after them is processed."""
    bound = Ports(
        ports(PLAY, ("user",), plays=1), bootstrap_servers=kafka.bootstrap_servers, prefix=f"t{uuid4().hex[:8]}."
    )
    plan = make_plan(pipeline(Filter("ms >= 0")), OUT, bound, kafka=CONNECTIONS)
    topics = Topics(plan, bound)
    topics.publish([("first", play())])
    with Producer(kafka.config) as producer:
        producer.deliver(Message(plan.source.topic, b"%d" % number, b"poison", ()) for number in range(10_000))
    topics.publish([("last", play())])
    progress = run_processor(plan, bound, until_end=True)
    assert (progress.written, progress.quarantined) == (2, 10_000)
    assert {each.key for each in topics.stored(plan.quarantine_topic)} == {b"%d" % number for number in range(10_000)}
    topics.log.close()
