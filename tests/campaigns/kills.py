"""kill -9 of a live processor at every named point, on three brokers of which one is killed now and then."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import platformdirs

from meshport.local.embedded import EmbeddedKafka
from tests.campaigns.lane import Child, Lane
from tests.campaigns.ledger import Report
from tests.campaigns.outcome import Outcome, say
from tests.campaigns.points import JOINS, POINTS, Engine, Point, points_of

LANES = 5
_BURST = 12
_PRIMED = 600
_TOLD_EVERY = 20
_BROKER_EVERY = 15
_FALLS_S = 60.0
_MISSES = 8  # of a point, for each kill that is asked for; then it is given up


@dataclass(frozen=True)
class Campaign:
    """What is asked for.

    Attributes:
        engine: `batch` or `faust`.
        plan: `windows` or `rekeyed`.
        kills: how many.
        seed: of feed, points and brokers.
        lanes: processors that are killed beside each other, each with topics of its own.
    """

    engine: Engine
    plan: str
    kills: int
    seed: int = 1
    lanes: int = LANES


class Rotation:
    """Gives the points out in turn, and keeps the score."""

    def __init__(self, campaign: Campaign) -> None:
        points = points_of(campaign.engine, campaign.plan)
        random.Random(campaign.seed).shuffle(points)
        self._due = deque(itertools.islice(itertools.cycle(points), campaign.kills))
        self._misses_left = _MISSES * len(points)
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._wanted = campaign.kills
        self.killed: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    def take(self) -> Point | None:
        """The next one; None once there are enough."""
        with self._lock:
            return self._due.popleft() if self._due else None

    def hit(self, point: Point) -> None:
        """A process died there."""
        with self._lock:
            self.killed[point.name] += 1
            if self.kills % _TOLD_EVERY == 0:
                say(f"{self.kills} of {self._wanted} kills after {time.monotonic() - self._begun:.0f} s")

    def miss(self, point: Point) -> None:
        """A process did not come there; it is tried again."""
        with self._lock:
            self.missed[point.name] += 1
            if self.missed.total() <= self._misses_left:
                self._due.append(point)

    @property
    def kills(self) -> int:
        """So far."""
        return self.killed.total()


class Round:
    """One processor's life between its kills: who runs, and who else is a member."""

    def __init__(self, lane: Lane, seed: int) -> None:
        self._lane = lane
        self._dice = random.Random(seed)
        self._companion: Child | None = None
        self._rounds = 0

    def kill(self, point: Point, *, crossings: int = 0) -> bool:
        """Let a process run into a point, at a crossing that is drawn where none is given; whether it did."""
        if self._companion is not None and (self._rounds == 0 or point.needs == JOINS):
            self.leave()
        self._rounds -= 1
        dice = self._dice
        victim = self._lane.start(
            member=self._lane.member,
            point=point.name,
            crossings=crossings or dice.randint(1, point.most),
            seed=dice.randrange(1 << 30),
        )
        try:
            self._bring_about(point, victim)
            code = victim.ended(_FALLS_S)
            self._lane.ends.note(victim, code)
            return code == -signal.SIGKILL
        finally:
            victim.close()

    def _bring_about(self, point: Point, victim: Child) -> None:
        match point.needs:
            case "nothing":
                return
            case "quiet":
                with self._lane.quiet():
                    victim.ended(_FALLS_S)
            case "a SIGTERM":
                if victim.works(_FALLS_S):
                    victim.send(signal.SIGTERM)
            case "a member that joins":
                if victim.works(_FALLS_S):
                    self._companion, self._rounds = self._lane.start(), 1

    def leave(self) -> None:
        """Let the second member go in order, if there is one."""
        if self._companion is not None:
            self._companion.send(signal.SIGTERM)
            self._lane.ends.note(self._companion, self._companion.ended(_FALLS_S))
            self._companion.close()
            self._companion = None


def run(campaign: Campaign) -> Outcome:
    """Run a campaign and print its report; it is right if the ledger is clean and every kill was made."""
    begun = time.monotonic()
    rotation = Rotation(campaign)
    with EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), brokers=3) as cluster:
        servers = cluster.bootstrap_servers
        lanes = [
            Lane(servers, campaign.engine, campaign.plan, campaign.seed * 1000 + number, member=_member(number))
            for number in range(campaign.lanes)
        ]
        failed: list[BaseException] = []
        threads = [
            threading.Thread(target=_run_lane, args=(lane, campaign.seed + number, rotation, failed))
            for number, lane in enumerate(lanes)
        ]
        with _falling_brokers(cluster, rotation, campaign.seed) as fallen:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if failed:
            raise failed[0]
        killed_s = time.monotonic() - begun
        report, ends = Report(), Counter[str]()
        with ThreadPoolExecutor(len(lanes)) as pool:
            for found in pool.map(Lane.finish, lanes):
                report.add(found)
        for lane in lanes:
            ends += lane.ends.words
            lane.close()
    _tell(campaign, rotation, fallen, ends)
    say(str(report))
    took_s = time.monotonic() - begun
    say(f"{killed_s:.0f} s for the kills, {took_s:.0f} s in all")
    done = f"{rotation.kills} kills, {len(fallen)} of brokers"
    right = report.clean and rotation.kills == campaign.kills
    return Outcome(f"kills, {campaign.engine}, {campaign.plan}", done, report, took_s, right)


def _member(number: int) -> str:
    """In two lanes of three the processor has a static name, under which its successor goes on at once."""
    return "one" if number % 3 else ""


def _run_lane(lane: Lane, seed: int, rotation: Rotation, failed: list[BaseException]) -> None:
    try:
        lane.publish(_PRIMED)
        lane.drain()  # so that there is a state to restore
        with lane.flow(_BURST):
            round_ = Round(lane, seed)
            while (point := rotation.take()) is not None and not failed:
                if round_.kill(point):
                    rotation.hit(point)
                else:
                    rotation.miss(point)
            round_.leave()
    except BaseException as error:  # noqa: BLE001 - raised by `run`
        failed.append(error)


@contextmanager
def _falling_brokers(cluster: EmbeddedKafka, rotation: Rotation, seed: int) -> Iterator[list[int]]:
    """Kill one broker of three after every so many kills, and start it again; gives those that were killed."""
    dice, over, fallen = random.Random(seed), threading.Event(), list[int]()

    def run() -> None:
        while not over.wait(0.2):
            if rotation.kills // _BROKER_EVERY > len(fallen):
                node = dice.randint(1, cluster.brokers)
                cluster.kill(node)
                fallen.append(node)
                over.wait(dice.uniform(0, 3))
                cluster.restart(node)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield fallen
    finally:
        over.set()
        thread.join()


def _tell(campaign: Campaign, rotation: Rotation, fallen: list[int], ends: Counter[str]) -> None:
    say(f"{campaign.engine}, {campaign.plan}, seed {campaign.seed}: {rotation.kills} kills of processors")
    for point in points_of(campaign.engine, campaign.plan):
        missed = rotation.missed[point.name]
        say(f"  {rotation.killed[point.name]:4} {point.name}" + (f" (missed {missed} times)" if missed else ""))
    for name in {point.name for point in POINTS} - {point.name for point in points_of(campaign.engine, campaign.plan)}:
        say(f"     - {name}: there is no such moment here")
    say(f"  {len(fallen):4} kills of a broker ({', '.join(map(str, fallen))})")
    for words, count in ends.most_common():
        say(f"  {count:4} processes ended by themselves and were started again: {words}")
