"""kill -9 of one broker of three under a running processor, again and again: seconds until the processor works again.

For each kill a line says what the broker did for the processor, when the cluster had replaced it, and when the processor
worked again; for the slow ones, which lines of the library its threads waited at. The cluster takes a killed broker
for lost after `broker.session.timeout.ms` (`meshport.local.kraft`: 4 s; Kafka's default is 9 s). No client is faster than that.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import platformdirs
from confluent_kafka.admin import AdminClient

from meshport.local.embedded import EmbeddedKafka
from tests.campaigns.brokers import ROLES, Roles
from tests.campaigns.lane import Lane
from tests.campaigns.logic import PARTITIONS
from tests.campaigns.outcome import Outcome, say
from tests.campaigns.points import Engine
from tests.campaigns.supervised import Flow, Kept, Watch
from tests.campaigns.waits import Waits

_GIVE_UP_S: Final = 180.0
_REPLICAS: Final = 3
_SAMPLE_S: Final = 0.5
# A processor that works again so long after the cluster has replaced a broker has waited for something else.
_SLOW_S: Final = 3.0
_SHOWN: Final = 4
_WIDTH: Final = 220
AIM_S: Final = 20.0
"""Seconds within which a processor is to work again, at the 99th percentile."""


@dataclass(frozen=True)
class Outages:
    """What is asked for.

    Attributes:
        engine: `batch` or `faust`.
        plan: a name of `tests.campaigns.logic.KEYS` whose outputs are named after their events: `windows` or `columns`.
        kills: of brokers.
        seed: of the feed, and of the brokers that are killed where several have the role whose turn it is.
    """

    engine: Engine
    plan: str
    kills: int
    seed: int = 1


@dataclass(frozen=True)
class Gap:
    """The work that a kill of a broker held up, in seconds after the kill.

    Attributes:
        first: until an event that was published after the kill had a committed output.
        all: until there was one of each input partition.
        replaced: until the broker led nothing and was no in-sync replica, by the metadata of the cluster.
        restarts: of the processor.
        waits: the lines of the library at which its threads were longest, with seconds.
        warnings: what the processor logged.
    """

    first: float
    all: float
    replaced: float = 0.0
    restarts: int = 0
    waits: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def slow(self) -> bool:
        """Whether the processor waited for more than the cluster."""
        return self.restarts > 0 or self.all - self.replaced > _SLOW_S

    def __str__(self) -> str:
        again = f", {self.restarts} restarts" if self.restarts else ""
        return f"replaced {self.replaced:.1f} s, works {self.first:.1f} s, on every partition {self.all:.1f} s{again}"


class Samples:
    """Looks at a processor and at the cluster from a kill of a broker on, until it is closed.

    Args:
        kept: the processor.
        roles: of the brokers.
        node: the broker.
    """

    def __init__(self, kept: Kept, roles: Roles, node: int) -> None:
        self._kept, self._roles, self._node = kept, roles, node
        self._killed = time.monotonic()
        self._restarts = kept.restarts
        _, self._place = kept.said_since()
        self._waits = Waits(_SAMPLE_S)
        self._replaced: float | None = None
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._sample, self._look)]
        for thread in self._threads:
            thread.start()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self._read()
            self._kept.ask_for_waits()

    def _look(self) -> None:
        while self._replaced is None and not self._over.is_set():
            if self._roles.replaced(self._node):
                self._replaced = time.monotonic() - self._killed
            self._over.wait(_SAMPLE_S / 5)

    def _read(self) -> None:
        said, self._place = self._kept.said_since(self._place)
        self._waits.note(said)

    def close(self, first: float, everywhere: float) -> Gap:
        """Return what the kill held up."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._read()
        restarts = self._kept.restarts - self._restarts
        replaced = everywhere if self._replaced is None else self._replaced
        return Gap(first, everywhere, replaced, restarts, self._waits.lines(_SHOWN), self._waits.others)


def run(asked: Outages) -> Outcome:
    """Kill brokers and print the percentiles; it is right if the ledger is clean and the 99th is no more than `AIM_S`."""
    begun = time.monotonic()
    dice = random.Random(asked.seed)
    gaps: list[tuple[str, Gap]] = []
    with EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), brokers=3) as cluster:
        lane = Lane(cluster.bootstrap_servers, asked.engine, asked.plan, asked.seed * 1000, member="one")
        roles = Roles(cluster, lane)
        lane.publish(600)
        lane.drain()
        with _running(lane) as (flow, watch, kept):
            flow.mark()
            _await_work(flow, watch)
            for number in range(asked.kills):
                _await_replicas(cluster.bootstrap_servers)
                time.sleep(dice.uniform(0.5, 1.5))
                node, does = _chosen(roles.found(), ROLES[number % len(ROLES)], dice)
                flow.mark()
                cluster.kill(node)
                samples = Samples(kept, roles, node)
                gap = samples.close(*_await_work(flow, watch))
                gaps.append((f"broker {node} ({does})", gap))
                say(f"  {number + 1:3}: {gap}; broker {node}: {does}")
                if gap.slow:
                    for line in [*(f"waited {each}" for each in gap.waits), *_logged(gap.warnings)]:
                        say(f"       {line[:_WIDTH]}")
                cluster.restart(node)
            restarts = kept.restarts
        report = lane.finish()
        ends = lane.ends.words
        lane.close()
    say(
        f"{asked.engine}, {asked.plan}, seed {asked.seed}: {len(gaps)} kills of brokers, {restarts} restarts of the processor"
    )
    for name, seconds in (
        ("replaced", [gap.replaced for _, gap in gaps]),
        ("works again", first := [gap.first for _, gap in gaps]),
        ("on every partition", [gap.all for _, gap in gaps]),
    ):
        figures = ", ".join(f"p{at} {percentile(seconds, at):.1f} s" for at in (50, 99))
        say(f"  {name}: {figures}, most {max(seconds):.1f} s")
    words, slowest = max(gaps, key=lambda each: each[1].first)
    say(f"  slowest: {slowest}; {words}; waited {'; '.join(slowest.waits)}")
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


def _logged(warnings: Sequence[str]) -> list[str]:
    """Return the lines that were logged most often, each once, with how often."""
    return [f"logged {count} times: {line}" for line, count in Counter(warnings).most_common(_SHOWN)]


@contextmanager
def _running(lane: Lane) -> Iterator[tuple[Flow, Watch, Kept]]:
    watch, kept = Watch(lane), Kept(lane)
    try:
        with Flow(lane) as flow:
            yield flow, watch, kept
    finally:
        kept.close()
        watch.close()


def _chosen(found: Mapping[int, Sequence[str]], role: str, dice: random.Random) -> tuple[int, str]:
    """Return the broker that has a role, one of them where several have it, and what it does."""
    having = [node for node, roles in found.items() if any(each.startswith(role) for each in roles)]
    node = dice.choice(having or [*found])
    return node, ", ".join(found[node]) or "leads nothing"


def _await_work(flow: Flow, watch: Watch) -> tuple[float, float]:
    """Wait until events that were published since `Flow.mark` have committed outputs.

    Returns:
        Seconds until one of them had, and until one of each partition had.
    """
    since, first = time.monotonic(), None
    while (now := time.monotonic() - since) < _GIVE_UP_S:
        done = [watch.has(partition, offset) for partition, offset in flow.first_offsets().items()]
        if first is None and any(done):
            first = now
        if len(done) == PARTITIONS and all(done):
            return now if first is None else first, now
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
