"""kill -9 of a replay job's process, of the broker and of the registry, again and again; and what came out of it.

A job into a file and one into a topic replay the same events, and each is killed at random moments and run again. In the end both
outputs are compared with the port's topic, offset by offset and byte by byte, and a live group's offsets with those of before.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx2
import platformdirs

from meshport.address import replay_name
from meshport.binding import Binding
from meshport.event import EventReader
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import event_parts, headers_of
from meshport.local.embedded import EmbeddedKafka
from meshport.ports.publisher import Publisher
from meshport.ports.scan import read_topic
from meshport.registry import Registry
from meshport.replay_jobs import ReplayJob, ReplayOutput, ReplayState
from meshport.replaying import ReplayOptions, start
from meshport.replaying.topic_output import OFFSET, RECORDED, REPLAY
from tests.campaigns.outcome import Outcome, say
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh

_SERVE: Final = (
    "import sys; from meshport_registry import Settings, serve; "
    "serve(Settings(database=sys.argv[1], port=int(sys.argv[2]), bootstrap_servers='kafka:9092'))"
)
_PARTITIONS: Final = 4
_BATCH: Final = 10_000
_BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
_LIVE: Final = "a-live-group"
_ADDED: Final = frozenset({REPLAY, OFFSET, RECORDED})
_ANSWER_S: Final = 60.0
_OUTPUTS: Final = (ReplayOutput.FILE, ReplayOutput.TOPIC)


@dataclass(frozen=True)
class ReplayCampaign:
    """What is asked for.

    Attributes:
        kills: of each job's process, of the broker and of the registry together.
        events: that are replayed.
        seed: of all that is drawn.
    """

    kills: int
    events: int
    seed: int = 1


class _KilledRegistry:
    """The registry service in a process of its own, at a port that stays."""

    def __init__(self, database: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._database = database
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, and return once it answers."""
        self._process = subprocess.Popen([sys.executable, "-c", _SERVE, self._database, str(self._port)])
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=20), trust_env=False, timeout=_ANSWER_S) as http:
            http.get(f"{self.url}/health").raise_for_status()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()


class _KilledJob:
    """The process of a job, which is started again until it has ended by itself with 0."""

    def __init__(self, job: str, url: str, log: Path) -> None:
        self._command = [sys.executable, "-m", "meshport", "replay", "resume", job]
        self._environment = os.environ | {"MESHPORT_REGISTRY": url}
        self._log = log
        self.ended_by_itself = 0
        self.start()

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stderr=log, stdout=log)

    def kill(self) -> None:
        """End it by SIGKILL, and start it again."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        if self._process.wait() != 0:
            self.start()

    def is_complete(self) -> bool:
        """Whether it has ended with 0; it is started again after another end."""
        if (code := self._process.poll()) is None:
            return False
        if code != 0:
            self.ended_by_itself += 1
            self.start()
        return code == 0


def run(asked: ReplayCampaign) -> list[Outcome]:
    """Run a campaign for each output, print what became of them, and return that."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        kafka = opened.enter_context(EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), brokers=1))
        service = _KilledRegistry(f"sqlite:///{folder / 'registry.db'}")
        opened.callback(service.kill)
        registry = opened.enter_context(Registry(service.url, timeout=_ANSWER_S))
        mesh = Mesh(registry, service.url, kafka.config, folder)
        binding = mesh.product(partitions=_PARTITIONS)
        begun = time.monotonic()
        _publish(mesh, binding, asked.events)
        say(f"{asked.events} events published in {time.monotonic() - begun:.0f} s")
        live = _commit_half(mesh, binding)
        source = _digests(_source(mesh, binding))
        outcomes = [_one(asked, output, mesh, binding, (kafka, service), source) for output in _OUTPUTS]
        moved = _committed(mesh, binding) != live
        say(f"offsets of a live group: {'MOVED' if moved else 'unmoved'}")
        return [each for each in outcomes if not moved] or [
            Outcome("replay", "a live group was moved", None, 0.0, right=False)
        ]


def _one(
    asked: ReplayCampaign,
    output: ReplayOutput,
    mesh: Mesh,
    binding: Binding,
    servers: tuple[EmbeddedKafka, _KilledRegistry],
    source: dict[int, tuple[int, str]],
) -> Outcome:
    begun, dice, done = time.monotonic(), random.Random(asked.seed), Counter[str]()
    file = mesh.folder / "out.jsonl" if output is ReplayOutput.FILE else None
    readers = ("billing",) if output is ReplayOutput.TOPIC else ()
    # A rate, so that the job is under way until the last kill.
    options = ReplayOptions(
        address=binding.address,
        purpose="a campaign",
        output=output,
        file=file,
        readers=readers,
        rate=max(1000, asked.events // max(1, 2 * asked.kills)),
    )
    job = start(options, mesh.registry, kafka=CONNECTIONS)
    child = _KilledJob(job.job, mesh.url, mesh.folder / f"{output}.log")
    while not child.is_complete():
        time.sleep(dice.uniform(0.5, 4.0))
        if sum(done.values()) < asked.kills:
            done[_kill(dice, child, *servers)] += 1
    took_s = time.monotonic() - begun
    found = _digests(_of_file(file) if file is not None else _of_topic(mesh, job))
    noted = mesh.registry.replays.get(job.job)
    right = found == source and noted.state is ReplayState.COMPLETE and noted.positions == noted.ends
    ended = f", {child.ended_by_itself} ended by themselves" if child.ended_by_itself else ""
    say(f"replay into a {output}: {dict(done)} kills{ended}, {took_s:.0f} s, {noted.state}")
    for partition, (count, digest) in sorted(source.items()):
        there = found.get(partition, (0, ""))
        say(f"  partition {partition}: {count} events {digest[:12]}, in the {output} {there[0]} {there[1][:12]}")
    return Outcome(f"replay, {output}", f"{sum(done.values())} kills, {asked.events} events", None, took_s, right)


def _kill(dice: random.Random, child: _KilledJob, kafka: EmbeddedKafka, service: _KilledRegistry) -> str:
    drawn = dice.random()
    if drawn < 0.1:
        kafka.kill(1)
        time.sleep(dice.uniform(0.0, 2.0))
        kafka.restart(1)
        return "broker"
    if drawn < 0.25:
        service.kill()
        time.sleep(dice.uniform(0.0, 2.0))
        service.start()
        return "registry"
    child.kill()
    return "job"


def _publish(mesh: Mesh, binding: Binding, events: int) -> None:
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for begin in range(0, events, _BATCH):
            numbers = range(begin, min(begin + _BATCH, events))
            report = publisher.publish_batch([_reading(number) for number in numbers])
            assert not report.refused
            assert not report.unknown


def _reading(number: int) -> dict[str, Any]:
    at = _BEGIN + timedelta(seconds=number)
    return {"sensor": f"s{number % 1000}", "at": at, "celsius": float(number), "note": None}


def _commit_half(mesh: Mesh, binding: Binding) -> dict[int, int]:
    with Consumer(mesh.kafka, group=_LIVE) as consumer:
        half = {partition: end // 2 for partition, end in consumer.end_offsets(binding.topic).items()}
        assert consumer.commit(binding.topic, half)
    return half


def _committed(mesh: Mesh, binding: Binding) -> dict[int, int]:
    with Consumer(mesh.kafka, group=_LIVE) as consumer:
        return consumer.committed(binding.topic)


Fact = tuple[int, int, Any]
"""A partition, the offset in the port's topic, and what the event is."""


def _source(mesh: Mesh, binding: Binding) -> Iterator[Fact]:
    reader = EventReader(mesh.registry)
    for messages in read_topic(mesh.kafka, binding.topic):
        for message in messages:
            event = reader.read(*event_parts(binding.topic, message))
            yield event.partition, event.offset, (event.id, event.key, event.data["celsius"])


def _of_file(file: Path) -> Iterator[Fact]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            what = (event["id"], event["kafkakey"].encode(), event["data"]["celsius"])
            yield event["kafkapartition"], event["kafkaoffset"], what


def _of_topic(mesh: Mesh, job: ReplayJob) -> Iterator[Fact]:
    reader, topic = EventReader(mesh.registry), replay_name(job.topic, job.job)
    for messages in read_topic(mesh.kafka, topic):
        for message in messages:
            event = reader.read(*event_parts(topic, message))
            assert {name for name, _ in headers_of(message) or ()} >= _ADDED
            offset = int(event.extensions[OFFSET.removeprefix("ce_")])
            yield event.partition, offset, (event.id, event.key, event.data["celsius"])


def _digests(facts: Iterable[Fact]) -> dict[int, tuple[int, str]]:
    """Return by partition how many facts there are, and a digest of them in their order."""
    counts, digests = Counter[int](), defaultdict[int, Any](hashlib.sha256)
    for partition, offset, what in facts:
        counts[partition] += 1
        digests[partition].update(repr((offset, what)).encode())
    return {partition: (counts[partition], digest.hexdigest()) for partition, digest in digests.items()}
