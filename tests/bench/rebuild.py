"""A rebuild of plays-by-artist from history, swapped in under a live reader: `python -m tests.bench.rebuild [EVENTS]`.

By hand, for it takes minutes. Plays are published, a live processor (batch engine) builds the product of them, a reader in
a group follows it; while 200 plays a second go on to come, the rebuild runs in a process of its own, whose time and memory
are measured, and is swapped in. In the end the reader must have seen every event of the bound generation exactly once.

Five million plays take some 10 GB of disk in the folder of temporary files: the input, two generations, and what each
keeps of its state and between its stages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs
import pyarrow as pa

from meshport.address import Address, changelog_name, repartition_changelog_name
from meshport.kafka.admin import Admin
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import headers_of
from meshport.local.cluster import open_cluster
from meshport.ports.publisher import Publisher
from meshport.ports.scan import read_topic
from meshport.ports.subscriber import Subscriber
from meshport.process.engines import batch
from meshport.process.runtime.own_topics import CHANGELOG_WHILE_BUILT
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.plan import Plan
from meshport.project.apply import carry_out, plan
from meshport.project.project import Project
from meshport.rebuild import Rebuild, Swap
from meshport.rebuild.live import LivePlan, run_live
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.bench.figures import Figure, say

EVENTS: Final = 5_000_000
FED_A_SECOND: Final = 200
ROOT: Final = Path(__file__).parents[2]
PLAYS: Final = Address.parse("player/plays")
TERMS: Final = Address.parse("artists/onboardings")
BUILT: Final = Address.parse("listening/plays-by-artist")
_ARTISTS: Final = 500
_USERS: Final = 20_000
_AT_ONCE: Final = 100_000
_BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
_PATIENCE_S: Final = 3600.0


def figures(events: int = EVENTS) -> Iterator[Figure]:
    """Events/s and memory of the rebuild, how long the processor stood still for the switch, and what the reader saw."""
    with (
        open_cluster(None, cache_dir=platformdirs.user_cache_path("meshport")) as cluster,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = Settings(
            database=f"sqlite:///{folder}/registry.db", port=0, bootstrap_servers=cluster.bootstrap_servers
        )
        with running(settings) as url, Registry(url) as mesh:
            told = _measured(mesh, url, cluster.bootstrap_servers, events)
    for name, (value, unit) in told.items():
        yield Figure(f"rebuild {name}", value, unit, None, None)


def _measured(mesh: Registry, url: str, bootstrap_servers: str, events: int) -> dict[str, tuple[float, str]]:
    _apply(mesh, bootstrap_servers)
    say(f"publishing {events} plays")
    with Publisher(TERMS, mesh) as publisher:
        for number in range(_ARTISTS):
            publisher.publish(_terms(number))
    began = time.monotonic()
    _publish(mesh, events)
    say(f"published in {time.monotonic() - began:.0f} s")
    live = subprocess.Popen([sys.executable, "-m", "tests.bench.rebuild", "live", url], cwd=ROOT)
    try:
        with _Reader(mesh) as reader:
            _await(lambda: reader.count >= events, lambda: f"{reader.count} of {events} read from the live processor")
            say(f"live and read after {time.monotonic() - began:.0f} s")
            _settle(mesh, bootstrap_servers)
            feed = _Feed(mesh, events)
            reader.pause = 0.0
            report, used = _job(url)
            topic = mesh.refresh(BUILT).topic
            _await(lambda: reader.topic == topic, lambda: f"the reader is in {reader.topic}")
            plays = feed.end()
            _await(lambda: reader.count >= plays, lambda: f"{reader.count} of {plays} read")
        bound, missing = _bound(bootstrap_servers, topic, reader.seen)
        say(f"{plays} plays; the longest that the reader saw nothing: {reader.pause:.1f} s")
        say(f"bound {bound}, seen {reader.count}, twice {reader.doubled}, missing {missing}")
        if reader.count != plays or reader.doubled or missing:
            raise AssertionError("a gap or a double")
    finally:
        live.terminate()
        live.wait()
    return {
        "events": (report["read"], "events"),
        "build": (report["seconds"], "s"),
        "pace": (report["read"] / report["seconds"], "events/s"),
        "compare": (report["comparedSeconds"], "s"),
        "standstill": (report["standstillSeconds"], "s"),
        "reader's pause": (reader.pause, "s"),
        "memory": (used.ru_maxrss / 1024, "MB"),
        "cpu": (used.ru_utime + used.ru_stime, "s"),
        "bound": (bound, "events"),
        "seen": (reader.count, "events"),
        "twice": (reader.doubled, "events"),
        "missing": (missing, "events"),
    }


def _job(url: str) -> tuple[dict[str, Any], Any]:
    """The report of a rebuild in a process of its own, and what it used."""
    job = subprocess.Popen([sys.executable, "-m", "tests.bench.rebuild", "job", url], cwd=ROOT, stdout=subprocess.PIPE)
    assert job.stdout is not None
    told = job.stdout.read()
    _, status, used = os.wait4(job.pid, 0)
    job.returncode = os.waitstatus_to_exitcode(status)
    if job.returncode:
        raise AssertionError(f"the rebuild ended with {job.returncode}")
    report: dict[str, Any] = json.loads(told)
    say(told.decode().strip())
    if not report["swapped"]:
        raise AssertionError(report)
    return report, used


def _apply(mesh: Registry, bootstrap_servers: str) -> None:
    admins = ClusterAdmins(KafkaConfig(bootstrap_servers))
    for product in Project(ROOT).products:
        if product.product.address in {PLAYS, TERMS, BUILT}:
            (planned,) = plan([product], mesh, admins)
            carry_out(planned, mesh, admins)


def _settle(mesh: Registry, bootstrap_servers: str) -> None:
    """Let the live state's changelogs be compacted, as those of a processor are that has run for days."""
    admin, topic = Admin(KafkaConfig(bootstrap_servers)), mesh.resolve(BUILT).topic
    for name in (changelog_name(topic), repartition_changelog_name(topic)):
        admin.set_config(name, CHANGELOG_WHILE_BUILT)


def _publish(mesh: Registry, count: int) -> None:
    """The plays that `_play` gives one by one, by columns."""
    with Publisher(PLAYS, mesh) as publisher:
        for begin in range(0, count, _AT_ONCE):
            report = publisher.publish_batch(_plays(np.arange(begin, min(begin + _AT_ONCE, count))))
            if report.refused or report.unknown:
                raise AssertionError(report)


def _plays(numbers: Any) -> pa.RecordBatch:
    rows = len(numbers)
    micros = int(_BEGIN.timestamp() * 1_000_000) + (numbers // 20 - numbers % 7) * 1_000_000

    def named(letter: str, of: Any) -> Any:
        return pa.array([f"{letter}{each}" for each in of.tolist()])

    return pa.RecordBatch.from_pydict(
        {
            "play_id": named("p", numbers),
            "user_id": named("u", numbers * 7919 % _USERS),
            "artist_id": named("a", numbers * 31 % _ARTISTS),
            "track_id": named("t", numbers % 5000),
            "started_at": pa.array(micros).cast(pa.timestamp("us", "UTC")),
            "track_ms": pa.array(np.full(rows, 200_000), pa.int32()),
            "played_ms": pa.array(numbers * 37 % 200_000, pa.int32()),
            "ended": pa.array(["COMPLETED"] * rows),
            "device": pa.array(["PHONE"] * rows),
            "country": pa.array(["SE"] * rows),
            "offline": pa.array([False] * rows),
            "playlist_id": pa.array([None] * rows, pa.string()),
        }
    )


def _play(number: int) -> dict[str, Any]:
    """A play: twenty a second of the world's time, mildly out of order."""
    return {
        "play_id": f"p{number}",
        "user_id": f"u{number * 7919 % _USERS}",
        "artist_id": f"a{number * 31 % _ARTISTS}",
        "track_id": f"t{number % 5000}",
        "started_at": _BEGIN + timedelta(seconds=number // 20 - number % 7),
        "track_ms": 200_000,
        "played_ms": number * 37 % 200_000,
        "ended": "COMPLETED",
        "device": "PHONE",
        "country": "SE",
        "offline": False,
        "playlist_id": None,
    }


def _terms(number: int) -> dict[str, Any]:
    return {
        "artist_id": f"a{number}",
        "name": f"Artist {number}",
        "label": f"l{number % 40}",
        "country": "SE",
        "genres": ["POP"],
        "rate_per_play": Decimal("0.004"),
        "change": "ONBOARDED",
        "signed_at": _BEGIN - timedelta(days=40),
        "valid_from": _BEGIN - timedelta(days=30),
    }


class _Feed:
    """Plays that go on to come."""

    def __init__(self, mesh: Registry, begin: int) -> None:
        self._mesh = mesh
        self._next = begin
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        with Publisher(PLAYS, self._mesh) as publisher:
            while not self._stop.wait(0.1):
                for _ in range(FED_A_SECOND // 10):
                    publisher.publish(_play(self._next), id=f"p{self._next}")
                    self._next += 1

    def end(self) -> int:
        """Stop it; how many plays there are."""
        self._stop.set()
        self._thread.join()
        return self._next


class _Seen:
    """The plays whose events were seen: an event's id holds the play's partition and offset (`wire.outputs.output_id`)."""

    def __init__(self) -> None:
        self._of: dict[str, bytearray] = {}

    def is_first(self, id: str) -> bool:
        """Note an event; False where it was there before."""
        place, offset, _, _ = id.rsplit("-", 3)
        seen, at = self._of.setdefault(place, bytearray()), int(offset)
        if at >= len(seen):
            seen.extend(bytes(at + 1 - len(seen) + 65536))
        if seen[at]:
            return False
        seen[at] = 1
        return True


class _Reader:
    """A live reader that notes of which plays it has seen the event.

    Attributes:
        seen: of which plays.
        count: how many events it has seen, each counted once.
        doubled: how many came again.
        pause: the longest time that nothing came, seconds.
    """

    def __init__(self, mesh: Registry) -> None:
        self.seen = _Seen()
        self.count = self.doubled = 0
        self.pause = 0.0
        self._subscriber = Subscriber(BUILT, mesh, group="bench", look_s=1.0)
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def topic(self) -> str:
        """What it reads now."""
        return self._subscriber._subscription.topic

    def _read(self) -> None:
        last = time.monotonic()
        for events in self._subscriber.arrow_batches(wait_s=0.2):
            if not len(events):
                continue
            first = sum(map(self.seen.is_first, events.metadata.column("ce_id").to_pylist()))
            self.count += first
            self.doubled += len(events) - first
            last, before = time.monotonic(), last
            self.pause = max(self.pause, last - before)

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._subscriber.stop()
        self._thread.join()
        self._subscriber.close()


def _bound(bootstrap_servers: str, topic: str, seen: _Seen) -> tuple[int, int]:
    """How many events a topic has, and how many of them were not seen."""
    count = missing = 0
    for messages in read_topic(KafkaConfig(bootstrap_servers), topic):
        count += len(messages)
        missing += sum(seen.is_first((dict(headers_of(each) or ())["ce_id"] or b"").decode()) for each in messages)
    return count, missing


def _await(condition: Any, what: Any) -> None:
    deadline, told = time.monotonic() + _PATIENCE_S, time.monotonic()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(what())
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(what())
        time.sleep(0.05)


def _rebuild(url: str) -> None:
    with Registry(url) as mesh:
        report = Rebuild(Project(ROOT).product(BUILT), mesh, say=say).run(Swap.EQUAL)
    sys.stdout.write(json.dumps(report.as_dict(), default=str) + "\n")


def _live(url: str) -> None:
    # To take up the state of millions of plays may take longer than a processor's usual patience with itself.
    def run(plan: Plan, schemas: Registry, **watched: Any) -> ProcessorProgress:
        return batch.run_processor(plan, schemas, patience_s=_PATIENCE_S, **watched)

    with Registry(url) as mesh:
        run_live(LivePlan(lambda: Project(ROOT).product(BUILT), mesh), mesh, run, say=say)


def main(*arguments: str) -> None:
    """Measure, or be one of the two processes that are measured."""
    if arguments and arguments[0] in {"job", "live"}:
        {"job": _rebuild, "live": _live}[arguments[0]](arguments[1])
        return
    for figure in figures(*map(int, arguments)):
        sys.stdout.write(figure.line() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
