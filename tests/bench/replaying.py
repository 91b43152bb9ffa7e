"""A replay job beside a live reader: the time from an event's recording to its handler, with the job and without it.

A port of half a million events gets 500 more a second, which a group reads live. A job in a process of its own replays the
port from its beginning into a file: under a cap, and then as fast as it can. `replaying:60` measures for 60 seconds each; 20 by
default.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meshport.binding import Binding
from meshport.kafka.consumer import Consumer
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.bench.archive import fill, one_broker
from tests.bench.figures import Figure, say
from tests.bench.ports import ORDER, orders
from tests.mesh_session import Mesh

_HISTORY: Final = 500_000
_RATE: Final = 500
_TICK_S: Final = 0.02
_CAP: Final = 5000
_GROUP: Final = "live"


def figures(seconds: str = "20") -> Iterator[Figure]:
    """The figures of one port, on one embedded broker.

    Args:
        seconds: of each measurement.
    """
    length_s = float(seconds)
    with one_broker() as (mesh, folder):
        binding = mesh.product(ORDER, key="customer", time="ordered_at", partitions=4)
        say(f"{_HISTORY:,} events are published first")
        fill(binding, _HISTORY)
        _begin_live(mesh, binding)
        alone = _latencies(mesh, binding, length_s)
        for name, cap in (("under a cap of 5,000 events/s", ["--rate", str(_CAP)]), ("without a cap", [])):
            with _replaying(mesh, binding, folder / f"{len(cap)}.jsonl", cap) as job:
                beside = _latencies(mesh, binding, length_s)
                say(f"{name}: the job {'still runs' if job.poll() is None else 'has ended'}")
            for part, at in (("p50", 49), ("p99", 98)):
                yield Figure(
                    f"live reader beside a replay {name}: {part}",
                    statistics.quantiles(beside, n=100)[at],
                    "ms",
                    "the same without a replay",
                    statistics.quantiles(alone, n=100)[at],
                )


def _begin_live(mesh: Mesh, binding: Binding) -> None:
    """Have the live group at the present end."""
    with Consumer(mesh.kafka, group=_GROUP) as group:
        group.commit(binding.topic, {each: end for each, (_, end) in group.bounds(binding.topic).items()})


@contextmanager
def _replaying(mesh: Mesh, binding: Binding, file: Path, cap: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "meshport", "replay", "start", binding.address.key, "--purpose", "a bench", *cap]
    job = subprocess.Popen(
        [*command, "--to-file", str(file), "--registry", mesh.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and job.poll() is None and time.monotonic() < deadline:
            time.sleep(_TICK_S)
        yield job
    finally:
        job.terminate()
        job.wait()


def _latencies(mesh: Mesh, binding: Binding, length_s: float) -> list[float]:
    """Return for each event that is published meanwhile how many milliseconds it took from its recording to the handler."""
    found: list[float] = []
    over = threading.Event()
    begun = datetime.now(UTC)

    def publish() -> None:
        records = orders(10_000)
        number = 0
        with Publisher(binding.address, mesh.registry, kafka=mesh.kafka) as publisher:
            while not over.wait(_TICK_S):
                for _ in range(round(_RATE * _TICK_S)):
                    publisher.publish(records[number % len(records)])
                    number += 1

    with Subscriber(binding.address, mesh.registry, group=_GROUP, kafka=mesh.kafka) as subscriber:
        publishing = threading.Thread(target=publish)
        publishing.start()
        ends = time.monotonic() + length_s
        for batch in subscriber.batches(500, wait_s=0.1):
            now = datetime.now(UTC)
            found += [
                (now - each.recorded_time).total_seconds() * 1000
                for each in batch
                if each.recorded_time is not None and each.recorded_time >= begun
            ]
            if time.monotonic() > ends:
                break
        over.set()
        publishing.join()
    # Joining the group is no part of it: the first fifth of the events is left out.
    return found[len(found) // 5 :]
