"""Members join and leave without pause, one to four at a time, some in order and some by kill -9, while the feed runs."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import platformdirs

from meshport.local.embedded import EmbeddedKafka
from tests.campaigns.lane import Child, Lane
from tests.campaigns.ledger import Report
from tests.campaigns.outcome import Outcome, say
from tests.campaigns.points import Engine

LANES = 3
MEMBERS = 4
_BURST = 12
_TOLD_EVERY = 20
# Every so many moves something has to be processed, or the storm would be one long rebalance.
_LULL = 8
_LULL_S = 45.0
_LEAVES_S = 60.0


@dataclass(frozen=True)
class Storm:
    """What is asked for.

    Attributes:
        engine: `batch` or `faust`.
        plan: `windows` or `rekeyed`.
        moves: joins and leaves in all.
        seed: of feed and moves.
        lanes: processors beside each other, each with its own members.
    """

    engine: Engine
    plan: str
    moves: int
    seed: int = 1
    lanes: int = LANES


class _Score:
    """What was moved so far."""

    def __init__(self, storm: Storm) -> None:
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._wanted = storm.moves
        self.moves: Counter[str] = Counter()
        self.lulls = 0

    def take(self, move: str) -> bool:
        """Count a move; False where there were enough."""
        with self._lock:
            if self.moves.total() >= self._wanted:
                return False
            self.moves[move] += 1
            if self.moves.total() % _TOLD_EVERY == 0:
                say(f"{self.moves.total()} of {self._wanted} moves after {time.monotonic() - self._begun:.0f} s")
            return True


class _Crew:
    """The members of one processor."""

    def __init__(self, lane: Lane, seed: int, score: _Score) -> None:
        self._lane = lane
        self._dice = random.Random(seed)
        self._score = score
        self._members: dict[str, Child] = {}
        self._leaving: list[Child] = []
        self._joined = 0

    def blow(self) -> None:
        """Move until there were moves enough; then all leave in order."""
        moves = 0
        while self._move():
            moves += 1
            time.sleep(self._dice.uniform(0.1, 1.5))
            if moves % _LULL == 0:
                self._wait_for_work()
        for child in self._members.values():
            child.send(signal.SIGTERM)
        self._leaving += self._members.values()
        self._members.clear()
        self._reap(_LEAVES_S)

    def _move(self) -> bool:
        dice = self._dice
        for name in [name for name, child in self._members.items() if not child.running]:
            self._leaving.append(self._members.pop(name))  # it gave up, as one may who is put out of the group
        self._reap(0)
        few = len(self._members)
        if few == 0 or (few < MEMBERS and dice.random() < 0.5):
            if not self._score.take("joins"):
                return False
            self._joined += 1
            # Every third has a name of its own, for which the group waits when it goes (KIP-345).
            name = f"member-{self._joined}"
            self._members[name] = self._lane.start(member="" if self._joined % 3 else name)
            return True
        number, move = dice.choice([(signal.SIGTERM, "leaves by SIGTERM"), (signal.SIGKILL, "leaves by SIGKILL")])
        if not self._score.take(move):
            return False
        child = self._members.pop(dice.choice(list(self._members)))
        child.send(number)
        self._leaving.append(child)
        return True

    def _reap(self, timeout_s: float) -> None:
        for child in list(self._leaving):
            if timeout_s or not child.running:
                self._lane.ends.note(child, child.ended(timeout_s))
                child.close()
                self._leaving.remove(child)

    def _wait_for_work(self) -> None:
        if not self._members:
            return
        before, deadline = self._lane.topics.written(), time.monotonic() + _LULL_S
        while time.monotonic() < deadline:
            if self._lane.topics.written() > before:
                self._score.lulls += 1
                return
            time.sleep(0.2)


def run(storm: Storm) -> Outcome:
    """Run a storm and print its report; it is right if the ledger is clean."""
    begun = time.monotonic()
    score = _Score(storm)
    with EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), brokers=3) as cluster:
        lanes = [
            Lane(cluster.bootstrap_servers, storm.engine, storm.plan, storm.seed * 1000 + number)
            for number in range(storm.lanes)
        ]

        def blow(lane: Lane) -> tuple[int, float, Report]:
            with lane.flow(_BURST):
                _Crew(lane, lane.spec.seed, score).blow()
            return lane.topics.written(), time.monotonic() - begun, lane.finish()

        report, ends, written, stormy_s = Report(), Counter[str](), 0, 0.0
        with ThreadPoolExecutor(storm.lanes) as pool:
            for meanwhile, took_s, found in pool.map(blow, lanes):
                report.add(found)
                written += meanwhile
                stormy_s = max(stormy_s, took_s)
        for lane in lanes:
            ends += lane.ends.words
            lane.close()
    say(
        f"{storm.engine}, {storm.plan}, seed {storm.seed}: {score.moves.total()} moves of members, 1 to {MEMBERS} at once"
    )
    for move, count in score.moves.items():
        say(f"  {count:4} {move}")
    say(f"  {written} outputs in the storm, the others when it was over")
    for words, count in ends.most_common():
        say(f"  {count:4} members ended by themselves: {words}")
    say(str(report))
    took_s = time.monotonic() - begun
    say(f"{stormy_s:.0f} s of storm, {took_s:.0f} s in all")
    done = f"{score.moves.total()} moves of members"
    return Outcome(f"storm, {storm.engine}, {storm.plan}", done, report, took_s, report.clean)
