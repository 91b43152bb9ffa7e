"""Tests the ledger: it has to report every defect that is planted in a processor, in memory and on a broker."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import platformdirs

from meshport.local.cluster import open_cluster
from tests.campaigns import memory
from tests.campaigns.defects import DEFECTS, Defect, planted
from tests.campaigns.lane import Lane
from tests.campaigns.ledger import Report, judge
from tests.campaigns.outcome import Outcome, say
from tests.campaigns.points import Engine

_LANES = 4
_EVENTS = 250
_BURST = 40
_KILL_S = 30.0
# Where a kill makes a defect do harm: before the state, before the checkpoint, before the group's offset, after all of it.
_KILLS = (
    "after outputs, before rows",
    "after rows, before the checkpoint",
    "after the checkpoint",
    "after the group's place",
)


@dataclass(frozen=True)
class Verdict:
    """The verdict of the ledger on one run.

    Attributes:
        name: of the defect; "" for none.
        where: `memory`, or the engine.
        report: of the ledger.
        right: whether it is what it should be.
    """

    name: str
    where: str
    report: Report
    right: bool

    def line(self) -> str:
        """For people."""
        found = ", ".join(f"{kind} {len(found)}" for kind, found in self.report.faults.items()) or "clean"
        word = "right" if self.right else "WRONG"
        return f"  {word}  {self.where:7} {self.name or '(no defect)'}: {found}"


def run(engines: Sequence[Engine], seed: int) -> Outcome:
    """Run all of them and print the verdicts; it is right if each defect was caught, and nothing where there was none."""
    begun = time.monotonic()
    verdicts = [*_in_memory(seed)]
    with open_cluster(None, cache_dir=platformdirs.user_cache_path("meshport")) as cluster:
        jobs: list[tuple[Engine, Defect | None]] = []
        for engine in engines:
            jobs += [(engine, None), *((engine, each) for each in DEFECTS.values() if engine in each.engines)]

        def one(job: tuple[Engine, Defect | None]) -> Verdict:
            verdict = _on_kafka(cluster.bootstrap_servers, *job, seed)
            say(verdict.line())
            return verdict

        with ThreadPoolExecutor(_LANES) as pool:
            verdicts += pool.map(one, jobs)
    wrong = [each for each in verdicts if not each.right]
    caught = {each.name for each in verdicts if each.right and each.name}
    took_s = time.monotonic() - begun
    done = f"{len(caught)} of {len(DEFECTS)} defects caught, {len(verdicts)} runs"
    say(f"{done}, {took_s:.0f} s")
    for each in wrong:
        say(each.line())
    return Outcome("defects", done, None, took_s, not wrong)


def _in_memory(seed: int) -> list[Verdict]:
    verdicts = []
    for scene in (memory.killed, memory.by_columns, memory.cut_off, memory.moved):
        report = judge(scene(random.Random(seed)))
        verdicts.append(Verdict("", "memory", report, report.clean))
    for defect in DEFECTS.values():
        with planted(defect.name, random.Random(seed)):
            evidence = defect.scene(random.Random(seed))
        verdicts.append(_verdict(defect, "memory", judge(evidence)))
    for verdict in verdicts:
        say(verdict.line())
    return verdicts


def _on_kafka(bootstrap_servers: str, engine: Engine, defect: Defect | None, seed: int) -> Verdict:
    name = defect.name if defect else ""
    lane = Lane(bootstrap_servers, engine, "windows", seed, defect=name, member="one")
    lane.publish(_EVENTS)
    with lane.flow(_BURST):
        for point in _KILLS:
            victim = lane.start(member=lane.member, point=point, crossings=3)
            victim.ended(_KILL_S)
            victim.close()
    report = lane.finish()
    lane.close()
    return _verdict(defect, engine, report) if defect else Verdict("", engine, report, report.clean)


def _verdict(defect: Defect, where: str, report: Report) -> Verdict:
    return Verdict(defect.name, where, report, bool(report.faults.keys() & defect.shows))
