"""The figures of the group `processors`: our batch engine, each peer in a line of its own.

    live JOB           events a second from a backlog, behind the first half of it (`watch`)
    live JOB cpu       CPU time an event, all threads of the process
    live JOB memory    the most that was resident
    rebuild            events a second of `window` over the whole input, from the start of the process to its end
    latency RATE/s     from publish to the derived event, `transform`, p50 and p99

Every run has an output topic, a group and state of its own, is checked against a recount, and is one of three, whose
median counts; who is first changes from round to round. Slow peers read the beginning of the same orders, and are rated
by what they read.
A runner that cannot be had, does not come to its end, or whose outputs are wrong, is said on stderr and left out; where
that is our own, the bench fails at its end.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, get_args

import platformdirs

from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.local.cluster import open_cluster
from tests.bench.figures import Figure, say
from tests.bench.processors import verify
from tests.bench.processors.latency import Latency, latency
from tests.bench.processors.mesh import Session
from tests.bench.processors.peers import Name, NoPeer, Runner, runner
from tests.bench.processors.schemas import JOBS, Job
from tests.bench.processors.watch import Run, RunFailed, watch

ROUNDS: Final = "3"
EVENTS: Final[dict[Name, int]] = {
    "batch": 400_000,
    "faust engine": 40_000,
    "faust": 20_000,
    "quixstreams": 120_000,
    "kafka-streams": 400_000,
}
RATES: Final = (1_000, 10_000)

_OURS: Final[Name] = "batch"
_REBUILT: Final[Job] = "window"
_WHOLE: Final = ("batch", "kafka-streams")
_ALL: Final = (*JOBS, "rebuild", "latency")


def figures(parts: str = "", peers: str = "", rounds: str = ROUNDS) -> Iterator[Figure]:
    """Measure.

    Args:
        parts: jobs, `rebuild` and `latency`, with commas between; all by default.
        peers: who stands beside the batch engine, with commas between; all by default, `none` for nobody.
        rounds: how many runs the median is of.
    """
    wanted = _chosen(parts, _ALL)
    names = _chosen(peers, (*get_args(Name), "none"))
    cache = platformdirs.user_cache_path("meshport")
    if (load := os.getloadavg()[0]) > 1:
        say(f"others keep {load:.0f} processors of {os.cpu_count()} busy: figures are soft")
    runners = [each for name in EVENTS if name in {_OURS, *names} and (each := _runner(name, cache))]
    with (
        tempfile.TemporaryDirectory(prefix="meshport-bench-") as folder,
        open_cluster(None, cache_dir=cache, notice=sys.exit) as cluster,
    ):
        bench = _Bench(Session(cluster.bootstrap_servers), runners, Path(folder), int(rounds))
        for job in JOBS:
            if job in wanted:
                yield from bench.live(job)
        if "rebuild" in wanted:
            yield from bench.rebuild()
        if "latency" in wanted:
            yield from bench.latencies()
        if bench.failures:
            raise RunFailed("; ".join(bench.failures))


def _chosen(text: str, known: Sequence[str]) -> list[str]:
    chosen = text.split(",") if text else list(known)
    if unknown := [each for each in chosen if each not in known]:
        sys.exit(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def _runner(name: Name, cache: Path) -> Runner | None:
    try:
        return runner(name, EVENTS[name], cache)
    except NoPeer as error:
        say(f"{name} is left out: {error}")
        return None


class _Bench:
    """One session's runs.

    Attributes:
        failures: what our own engine did not do.
    """

    def __init__(self, session: Session, runners: Sequence[Runner], folder: Path, rounds: int) -> None:
        self._session = session
        self._runners = list(runners)
        self._folder = folder
        self._rounds = rounds
        self.failures: list[str] = []
        self._admin = Admin(KafkaConfig(session.bootstrap_servers))
        session.publish_customers()
        for events in {each.events for each in runners}:
            session.publish_orders(events)

    def live(self, job: Job) -> Iterator[Figure]:
        """Rate, CPU time and memory of a job."""
        runs = self._runs(job, self._runners)
        if (ours := runs.pop(_OURS, None)) is None:
            return
        yield from _beside(f"live {job}", "events/s", ours.rate, {name: each.rate for name, each in runs.items()})
        cpu = {name: each.cpu_us for name, each in runs.items()}
        yield from _beside(f"live {job} cpu", "us/event", ours.cpu_us, cpu)
        memory = {name: each.memory_mb for name, each in runs.items()}
        yield from _beside(f"live {job} memory", "MB", ours.memory_mb, memory)

    def rebuild(self) -> Iterator[Figure]:
        """The same engine, bounded, over all of the input, its start and end included."""
        whole = [each for each in self._runners if each.name in _WHOLE]
        runs = self._runs(_REBUILT, whole, until_end=True)
        rates: dict[str, float] = {
            each.name: each.events / runs[each.name].whole_s for each in whole if each.name in runs
        }
        yield from _beside("rebuild", "events/s", rates.pop(_OURS, None), rates)

    def latencies(self) -> Iterator[Figure]:
        """At each rate."""
        number = 0
        for rate in RATES:
            found: dict[str, Latency] = {}
            for each in self._runners:
                number += 1
                if each.name in _WHOLE:
                    folder = self._new_folder()
                    try:
                        found[each.name] = latency(self._session, each, rate, folder, number)
                    except RunFailed as error:
                        self._leave_out(f"latency {rate}/s", each, error)
            ours = found.pop(_OURS, None)
            for quantile in ("p50", "p99"):
                if ours is not None:
                    peers = {name: getattr(each, quantile) for name, each in found.items()}
                    yield from _beside(f"latency {rate}/s {quantile}", "ms", getattr(ours, quantile), peers)

    def _runs(self, job: Job, runners: Sequence[Runner], *, until_end: bool = False) -> dict[str, Run]:
        """The median of each runner's rounds; they begin in turn."""
        runs: dict[str, list[Run]] = defaultdict(list)
        out: set[str] = set()
        for number in range(self._rounds):
            turn = number % len(runners)
            for each in [*runners[turn:], *runners[:turn]]:
                if each.name in out:
                    continue
                try:
                    runs[each.name].append(self._run(job, each, until_end=until_end and each.name == _OURS))
                except (RunFailed, verify.WrongOutputs) as error:
                    self._leave_out(job, each, error)
                    out.add(each.name)
        return {name: _median(each) for name, each in runs.items() if name not in out}

    def _leave_out(self, what: str, runner: Runner, error: AssertionError) -> None:
        words = f"{what} of {runner.name} is left out: {error}"
        say(words)
        if runner.name == _OURS:
            self.failures.append(words)

    def _run(self, job: Job, runner: Runner, *, until_end: bool) -> Run:
        expected = self._session.expected(job, runner.events)
        folder = self._new_folder()
        spec = self._session.spec(job, runner.events, folder, until_end=until_end)
        run = watch(runner.command(spec), spec, expected.rows, folder / "run.log")
        verify.check(spec, expected)
        self._admin.delete_topic(spec.output)
        return run

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))


def _median(runs: Sequence[Run]) -> Run:
    cpu = [each.cpu_us for each in runs if each.cpu_us is not None]
    memory = [each.memory_mb for each in runs if each.memory_mb is not None]
    return Run(
        statistics.median(each.rate for each in runs),
        statistics.median(cpu) if cpu else None,
        statistics.median(memory) if memory else None,
        statistics.median(each.whole_s for each in runs),
    )


def _beside(figure: str, unit: str, value: float | None, peers: Mapping[str, float | None]) -> Iterator[Figure]:
    if value is None:
        return
    for name, each in peers.items():
        if each is not None:
            yield Figure(figure, value, unit, name, each)
    if not peers:
        yield Figure(figure, value, unit, None, None)
