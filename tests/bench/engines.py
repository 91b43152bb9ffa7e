"""One processor on the engines that there are: hourly totals by the input's own key, on one embedded broker.

A run is timed whole, from the start of the processor, its joining of the group included, to the last event that was
there when it started; the CPU time is the process's own, all threads. Both leave the same outputs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final
from uuid import uuid4

import platformdirs

from meshport.kafka.cluster import open_cluster
from meshport.process import batch, engine
from meshport.process.harness import Ports
from meshport.process.pipeline import Aggregate, Tumbling
from meshport.process.plan import make_plan
from meshport.process.supervisor import Progress
from tests.bench.figures import Figure
from tests.process.plays import OUT, WINDOW, field, pipeline, play, ports, record
from tests.process.topics import Topics

EVENTS: Final = 50_000
ROUNDS: Final = 3

_HOUR: Final = timedelta(hours=1)
_LOGIC: Final = pipeline(Aggregate(("user",), {"n": "count()", "ms": "sum(ms)"}, Tumbling(_HOUR)), lateness=_HOUR)
_TOTALS: Final = record("Totals", field("user", "string"), *WINDOW, field("n", "long"), field("ms", "long"))


def figures() -> Iterator[Figure]:
    """`live window`, events/s and CPU time an event, of the batch engine beside the faust engine."""
    with open_cluster(None, cache_dir=platformdirs.user_cache_path("meshport")) as cluster:
        rate, cpu = _median(batch.run_processor, cluster.bootstrap_servers)
        peer_rate, peer_cpu = _median(engine.run_processor, cluster.bootstrap_servers)
    yield Figure("live window", rate, "events/s", "faust engine", peer_rate)
    yield Figure("live window cpu", cpu, "us/event", "faust engine", peer_cpu)


def _median(run: Callable[..., Progress], bootstrap_servers: str) -> tuple[float, float]:
    rates, cpu = zip(*(_run(run, bootstrap_servers) for _ in range(ROUNDS)), strict=True)
    return statistics.median(rates), statistics.median(cpu)


def _run(run: Callable[..., Progress], bootstrap_servers: str) -> tuple[float, float]:
    """Events a second, and microseconds of CPU time an event, of one run over topics of its own."""
    bound = Ports(
        ports(_TOTALS, ("user", "window_start"), plays=3),
        bootstrap_servers=bootstrap_servers,
        prefix=f"b{uuid4().hex[:8]}.",
    )
    plan = make_plan(_LOGIC, OUT, bound)
    topics = Topics(plan, bound)
    topics.publish(
        [(f"p{number}", play(f"u{number % 200}", minutes=number / 100, ms=number % 1000)) for number in range(EVENTS)]
    )
    cpu, began = time.process_time(), time.perf_counter()
    progress = run(plan, bound, until_end=True)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    topics.log.close()
    if (progress.read, progress.written) != (EVENTS, EVENTS):
        raise AssertionError(progress)
    return EVENTS / took, cpu / EVENTS * 1e6
