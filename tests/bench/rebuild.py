"""A rebuild of plays-by-artist from history, swapped in under a live reader: `python -m tests.bench.rebuild [EVENTS]`.

By hand, for it takes minutes. Plays are published, a live processor (batch engine) builds the product of them, a reader in
a group follows it; while 200 plays a second go on to come, the rebuild runs in a process of its own, whose time and memory
are measured, and is swapped in. In the end the reader must have seen every event of the bound generation exactly once.
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

import platformdirs

from meshport.address import Address
from meshport.apply import carry_out, plan
from meshport.kafka.admin import Admin
from meshport.kafka.cluster import open_cluster
from meshport.process import batch
from meshport.project import Project
from meshport.publish import Publisher
from meshport.rebuild import Rebuild, Swap
from meshport.rebuild.live import LivePlan, run_live
from meshport.registry import Registry
from meshport.replay import Replay
from meshport.subscribe import Subscriber
from meshport_registry import Settings, running
from tests.bench.figures import Figure

EVENTS: Final = 5_000_000
FED_A_SECOND: Final = 200
ROOT: Final = Path(__file__).parents[2]
PLAYS: Final = Address.parse("player/plays")
TERMS: Final = Address.parse("artists/onboardings")
BUILT: Final = Address.parse("listening/plays-by-artist")
_ARTISTS: Final = 500
_USERS: Final = 20_000
_BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
_PATIENCE_S: Final = 3600.0


def figures(events: int = EVENTS) -> Iterator[Figure]:
    """Events/s and memory of the rebuild, and how long the processor stood still for the switch."""
    with (
        open_cluster(None, cache_dir=platformdirs.user_cache_path("meshport")) as cluster,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = Settings(
            database=f"sqlite:///{folder}/registry.db", port=0, bootstrap_servers=cluster.bootstrap_servers
        )
        with running(settings) as url, Registry(url) as mesh:
            report, megabytes = _measured(mesh, url, cluster.bootstrap_servers, events)
    yield Figure("rebuild", report["read"] / report["seconds"], "events/s", None, None)
    yield Figure("rebuild memory", megabytes, "MB", None, None)
    yield Figure("rebuild compare", report["comparedSeconds"], "s", None, None)
    yield Figure("rebuild standstill", report["standstillSeconds"], "s", None, None)


def _measured(mesh: Registry, url: str, bootstrap_servers: str, events: int) -> tuple[dict[str, Any], float]:
    _apply(mesh, bootstrap_servers)
    _say(f"publishing {events} plays")
    with Publisher(TERMS, mesh) as publisher:
        for number in range(_ARTISTS):
            publisher.publish(_terms(number))
    _publish(mesh, range(events))
    live = subprocess.Popen([sys.executable, "-m", "tests.bench.rebuild", "live", url], cwd=ROOT)
    try:
        with _Reader(mesh) as reader:
            _await(lambda: reader.count >= events, lambda: f"{reader.count} of {events} read from the live processor")
            feed = _Feed(mesh, events)
            job = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.rebuild", "job", url], cwd=ROOT, stdout=subprocess.PIPE
            )
            assert job.stdout is not None
            told = job.stdout.read()
            _, status, used = os.wait4(job.pid, 0)
            job.returncode = os.waitstatus_to_exitcode(status)
            report: dict[str, Any] = json.loads(told)
            _say(told.decode().strip())
            if job.returncode or not report["swapped"]:
                raise AssertionError(report)
            topic = mesh.refresh(BUILT).topic
            _await(lambda: reader.topic == topic, lambda: f"the reader is in {reader.topic}")
            told_in_all = feed.end()
            _await(lambda: reader.count >= told_in_all, lambda: f"{reader.count} of {told_in_all} read")
        with Replay(BUILT, mesh) as replay:
            stored = sum(1 for _ in replay.history())
        _say(f"{told_in_all} plays, {stored} events bound, {reader.count} seen, {reader.doubled} of them twice")
        if not stored == told_in_all == reader.count or reader.doubled:
            raise AssertionError("a gap or a double")
        return report, used.ru_maxrss / 1024
    finally:
        live.terminate()
        live.wait()


def _apply(mesh: Registry, bootstrap_servers: str) -> None:
    admin = Admin(bootstrap_servers)
    for product in Project(ROOT).products:
        if product.product.address in {PLAYS, TERMS, BUILT}:
            (planned,) = plan([product], mesh, admin, bootstrap_servers)
            carry_out(planned, mesh, admin, bootstrap_servers)


def _publish(mesh: Registry, numbers: range) -> None:
    with Publisher(PLAYS, mesh) as publisher:
        for number in numbers:
            publisher.publish(_play(number), id=f"p{number}")


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


class _Reader:
    """A live reader that notes of which plays it has seen the event.

    Attributes:
        count: how many events it has seen, each counted once.
        doubled: how many came again.
    """

    def __init__(self, mesh: Registry) -> None:
        self.count = self.doubled = 0
        self._seen: dict[str, bytearray] = {}
        self._subscriber = Subscriber(BUILT, mesh, group="bench", look_s=1.0)
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def topic(self) -> str:
        """What it reads now."""
        return self._subscriber._topic

    def _read(self) -> None:
        for event in self._subscriber:
            # The id tells the play's topic, partition and offset (`meshport.process.outputs.output_id`).
            place, offset, *_ = event.id.rsplit("-", 3)
            seen, at = self._seen.setdefault(place, bytearray()), int(offset)
            if at >= len(seen):
                seen.extend(bytes(at + 1 - len(seen) + 65536))
            if seen[at]:
                self.doubled += 1
            else:
                seen[at] = 1
                self.count += 1

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._subscriber.stop()
        self._thread.join()
        self._subscriber.close()


def _await(condition: Any, what: Any) -> None:
    deadline, told = time.monotonic() + _PATIENCE_S, time.monotonic()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(what())
        if time.monotonic() - told > 10:
            told = time.monotonic()
            _say(what())
        time.sleep(0.05)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _job(url: str) -> None:
    with Registry(url) as mesh:
        report = Rebuild(Project(ROOT).product(BUILT), mesh, say=_say).run(Swap.EQUAL)
    sys.stdout.write(json.dumps(report.as_dict(), default=str) + "\n")


def _live(url: str) -> None:
    with Registry(url) as mesh:
        run_live(LivePlan(lambda: Project(ROOT).product(BUILT), mesh), mesh, batch.run_processor, say=_say)


def main(*arguments: str) -> None:
    """Measure, or be one of the two processes that are measured."""
    if arguments and arguments[0] in {"job", "live"}:
        {"job": _job, "live": _live}[arguments[0]](arguments[1])
        return
    for figure in figures(*map(int, arguments)):
        sys.stdout.write(figure.line() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
