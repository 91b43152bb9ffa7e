"""kill -9 of one broker of three under a running processor, again and again: seconds until the processor works again."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import platformdirs
from confluent_kafka.admin import AdminClient

from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import headers_of
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.embedded import EmbeddedKafka
from tests.campaigns.lane import Child, Lane
from tests.campaigns.logic import PARTITIONS
from tests.campaigns.outcome import Outcome, say
from tests.campaigns.points import Engine

_BURST: Final = 40
_PAUSE_S: Final = 0.25
_GIVE_UP_S: Final = 180.0
_REPLICAS: Final = 3
AIM_S: Final = 20.0
"""Seconds within which a processor is to work again, at the 99th percentile."""


@dataclass(frozen=True)
class Outages:
    """What is asked for.

    Attributes:
        engine: `batch` or `faust`.
        plan: a name of `tests.campaigns.logic.KEYS` whose outputs are named after their events: `windows` or `columns`.
        kills: of brokers.
        seed: of the feed and of the brokers that are killed.
    """

    engine: Engine
    plan: str
    kills: int
    seed: int = 1


@dataclass
class _Stored:
    """The first offset of each input partition that was stored by a burst begun after a moment."""

    offsets: dict[int, int] = field(default_factory=dict)
    since: float = 0.0


class Flow:
    """Publishes bursts to a lane's input all the time, and knows what was begun since the last kill.

    Args:
        lane: the processor's topics.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._lock = threading.Lock()
        self._stored = _Stored()
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def mark(self) -> None:
        """Forget what was stored; only bursts that begin from now on count."""
        with self._lock:
            self._stored = _Stored(since=time.monotonic())

    def first_offsets(self) -> dict[int, int]:
        """Return by partition the first offset that was stored by a burst begun since `mark`."""
        with self._lock:
            return dict(self._stored.offsets)

    def _run(self) -> None:
        try:
            while not self._over.wait(_PAUSE_S):
                began = time.monotonic()
                places = self._lane.publish(_BURST)
                with self._lock:
                    if began >= self._stored.since:
                        for partition, offset in places:
                            self._stored.offsets.setdefault(partition, offset)
        except BaseException as error:  # noqa: BLE001 - raised by `__exit__`
            self._failed.append(error)

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]


class Watch:
    """Reads the processor's outputs as a committed reader, and notes the newest input offset that each partition's show.

    Args:
        lane: the processor's topics.
    """

    def __init__(self, lane: Lane) -> None:
        output = lane.topics.plan.output
        self._consumer = Consumer(KafkaConfig(output.bootstrap_servers))
        ends = self._consumer.end_offsets(output.topic)
        self._consumer.assign({TopicPartition(output.topic, each): end for each, end in ends.items()})
        self._newest: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def has(self, partition: int, offset: int) -> bool:
        """Return whether an output of this event or a later one of its partition is committed."""
        return self._newest.get(partition, -1) >= offset

    def _run(self) -> None:
        while not self._over.is_set():
            for message in self._consumer.read(1000, 0.1):
                id_ = dict(headers_of(message) or ())["ce_id"]
                # <topic>-<partition>-<offset>-<number>-<index>
                _, partition, offset, _, _ = (id_ or b"").decode().rsplit("-", 4)
                self._newest[int(partition)] = max(self._newest.get(int(partition), -1), int(offset))

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        self._consumer.close()


class Kept:
    """A processor that is started again whenever it ends, as by a supervisor.

    Args:
        lane: what to run.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._over = threading.Event()
        self.restarts = 0
        self._child = self._start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _start(self) -> Child:
        return self._lane.start(member=self._lane.member)

    def _run(self) -> None:
        while not self._over.wait(0.2):
            if not self._child.running:
                self._lane.ends.note(self._child, self._child.ended(1))
                self._child.close()
                self._child = self._start()
                self.restarts += 1

    def stacks(self) -> str:
        """Return the stacks of its threads."""
        before = len(self._child.said())
        self._child.send(signal.SIGUSR1)
        time.sleep(1)
        return self._child.said()[before:]

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()
        self._child.close()


@dataclass(frozen=True)
class Gap:
    """The work that a kill of a broker held up, in seconds after the kill.

    Attributes:
        first: until an event that was published after the kill had a committed output.
        all: until there was one of each input partition.
    """

    first: float
    all: float


def run(asked: Outages) -> Outcome:
    """Kill brokers and print the percentiles; it is right if the ledger is clean and the 99th is no more than `AIM_S`."""
    begun = time.monotonic()
    dice = random.Random(asked.seed)
    gaps: list[Gap] = []
    with EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), brokers=3) as cluster:
        lane = Lane(cluster.bootstrap_servers, asked.engine, asked.plan, asked.seed * 1000, member="one")
        lane.publish(600)
        lane.drain()
        with _running(lane) as (flow, watch, kept):
            flow.mark()
            _await_work(flow, watch, time.monotonic(), kept)
            for number in range(asked.kills):
                _await_replicas(cluster.bootstrap_servers)
                time.sleep(dice.uniform(0.5, 1.5))
                node = dice.randint(1, cluster.brokers)
                flow.mark()
                killed = time.monotonic()
                cluster.kill(node)
                gaps.append(gap := _await_work(flow, watch, killed, kept))
                say(f"  {number + 1:3}: broker {node}: works again after {gap.first:.1f} s, everywhere {gap.all:.1f} s")
                cluster.restart(node)
            restarts = kept.restarts
        report = lane.finish()
        ends = lane.ends.words
        lane.close()
    first, everywhere = ([getattr(gap, name) for gap in gaps] for name in ("first", "all"))
    say(
        f"{asked.engine}, {asked.plan}, seed {asked.seed}: {len(gaps)} kills of brokers, {restarts} restarts of the processor"
    )
    for name, seconds in (("works again", first), ("on every partition", everywhere)):
        figures = ", ".join(f"p{at} {percentile(seconds, at):.1f} s" for at in (50, 99))
        say(f"  {name}: {figures}, most {max(seconds):.1f} s")
    for words, count in ends.most_common():
        say(f"  {count:4} processors ended by themselves: {words}")
    say(str(report))
    took_s = time.monotonic() - begun
    done = f"{len(gaps)} kills, p50 {percentile(first, 50):.1f} s, p99 {percentile(first, 99):.1f} s"
    right = report.clean and percentile(first, 99) <= AIM_S
    return Outcome(f"outages, {asked.engine}, {asked.plan}", done, report, took_s, right)


def percentile(seconds: Sequence[float], at: int) -> float:
    """Return the least value that `at` percent of all values do not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, -(-len(ordered) * at // 100) - 1)]


@contextmanager
def _running(lane: Lane) -> Iterator[tuple[Flow, Watch, Kept]]:
    watch, kept = Watch(lane), Kept(lane)
    try:
        with Flow(lane) as flow:
            yield flow, watch, kept
    finally:
        kept.close()
        watch.close()


def _await_work(flow: Flow, watch: Watch, since: float, kept: Kept) -> Gap:
    """Wait until events that were published since `Flow.mark` have committed outputs on every partition."""
    first, shown = None, False
    partitions = PARTITIONS
    while (now := time.monotonic()) - since < _GIVE_UP_S:
        wanted = flow.first_offsets()
        done = [watch.has(partition, offset) for partition, offset in wanted.items()]
        if first is None and any(done):
            first = now - since
        if len(done) == partitions and all(done):
            return Gap(now - since if first is None else first, now - since)
        if not shown and now - since > AIM_S:
            shown = True
            say(f"  not yet at work everywhere after {AIM_S:g} s; stored since: {wanted}\n{kept.stacks()}")
        time.sleep(0.02)
    raise TimeoutError(f"no output on every partition within {_GIVE_UP_S:g} s")


def _await_replicas(bootstrap_servers: str) -> None:
    """Wait until every partition has all of its replicas in sync, so that it survives the next kill."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    while True:
        topics = admin.list_topics(timeout=30).topics.values()
        if all(len(each.isrs) == _REPLICAS for topic in topics for each in topic.partitions.values()):
            return
        time.sleep(0.2)
