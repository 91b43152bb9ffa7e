"""kill -9 of an archiver at named points, while events are published; then the table against the topic, record by record.

In the end retention takes nine tenths of the topic: a subscriber from the beginning reads all of it all the same, and the table
is restored into another topic, where the log is whole again.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import platformdirs
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from meshport.archive.record import LogRecord
from meshport.archiving import PortArchive, compare, restore
from meshport.binding import Binding
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import ReceivedMessage
from meshport.local.embedded import EmbeddedKafka
from meshport.ports.publisher import Publisher
from meshport.ports.scan import read_topic
from meshport.ports.subscriber import Subscriber
from tests.archive.killed import POINTS, TIDIED
from tests.archive.s3_server import make_bucket, s3_server, variables_count
from tests.campaigns.outcome import Outcome, say
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh, open_test_mesh
from tests.ports.readings import BEGIN, reading

_RESTORED: Final = "restored"
_ANSWER_S: Final = 120.0
# What was published while archivers were killed is archived in the end, by one that is left alone.
_REST_S: Final = 3600.0


@dataclass(frozen=True)
class ArchiveCampaign:
    """What is asked for.

    Attributes:
        kills: of the archiver.
        rate: events that are published in a second meanwhile.
        store: `folder`, or `s3` for S3Proxy.
        seed: of all that is drawn.
    """

    kills: int
    rate: int = 5000
    store: str = "folder"
    seed: int = 1


def run(asked: ArchiveCampaign) -> list[Outcome]:
    """Archive a port with kills, and compare."""
    begun = time.monotonic()
    cache = platformdirs.user_cache_path("meshport")
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedKafka(cache_dir=cache) as kafka,
        open_test_mesh(Path(folder), kafka.bootstrap_servers) as mesh,
        _store(asked.store, Path(folder)) as declared,
    ):
        binding = mesh.product(name="archived", archive=declared)
        dice, kills = random.Random(asked.seed), Counter[str]()
        with _publishing(mesh, binding, asked.rate):
            while kills.total() < asked.kills:
                point = dice.choice([*POINTS])
                # A table is tidied once in sixteen commits.
                call = 1 if point == TIDIED else dice.randint(1, 6)
                if _archive(mesh, binding, point, call) == -signal.SIGKILL:
                    kills[point] += 1
        _archive(mesh, binding, wait_s=_REST_S)
        return _outcomes(mesh, binding, kills, begun)


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """What a port declares to be archived there."""
    if kind == "folder":
        yield {"store": (folder / "archive").as_uri()}
        return
    with s3_server(folder) as server:
        os.environ.update(server.variables)
        variables_count()
        make_bucket(server)
        yield {"store": server.store, "catalog": f"sqlite:///{folder / 'catalog.db'}"}


@contextmanager
def _publishing(mesh: Mesh, binding: Binding, rate: int) -> Iterator[None]:
    over = threading.Event()

    def publish() -> None:
        number = 0
        with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
            while not over.wait(0.1):
                for _ in range(rate // 10):
                    # One a minute, as of `reading`, would give each second three days, and each commit a hundred files.
                    publisher.publish(reading(number, at=BEGIN + number * timedelta(seconds=1 / rate)))
                    number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _archive(mesh: Mesh, binding: Binding, point: str = "", call: int = 0, wait_s: float = _ANSWER_S) -> int:
    """Run an archiver in a process, for so long at most; return how it ended."""
    command = [sys.executable, "-m", "tests.archive.killed", mesh.url, str(binding.address), point, str(call)]
    process = subprocess.Popen(command, env=dict(os.environ))
    try:
        return process.wait(wait_s)
    except subprocess.TimeoutExpired:  # it never came to its point
        process.terminate()
        return process.wait()


def _outcomes(mesh: Mesh, binding: Binding, kills: Counter[str], begun: float) -> list[Outcome]:
    table = PortArchive.of(binding.address, mesh.registry).open()
    found = list(compare(table, binding, mesh.kafka))
    records = sum(each.equal for each in found)
    wrong = sum(each.different + each.missing + each.removed for each in found)
    archived_s = time.monotonic() - begun
    say(f"archive: {dict(sorted(kills.items()))} kills, {records:,} records, {archived_s:.0f} s")
    for each in found:
        say(
            f"  partition {each.partition}: {each.equal:,} equal, {each.different} different, {each.missing} missing, "
            f"{each.removed} not in the topic, {each.digest[:16]}"
        )
    counted = Counter[int]()
    before = _digests(_counting(read_topic(mesh.kafka, binding.topic), counted))
    wrong += (unarchived := counted.total() - records)
    say(f"  the topic has {counted.total():,} records, of which {unarchived:,} are not archived")
    retained, read_s = _keep_a_tenth(mesh, binding), time.monotonic()
    subscribed = _digests(_read(mesh, binding, records))
    read_s = time.monotonic() - read_s
    say(
        f"subscribed from the beginning, with {retained:,} of {records:,} records in the topic: "
        f"{'all, in order' if subscribed == before else 'NOT equal'}, {records / read_s:,.0f} a second"
    )
    offsets = restore(table, _RESTORED, mesh.kafka)
    after = _digests(read_topic(mesh.kafka, _RESTORED))
    say(f"restored: {offsets.records:,} records, {'equal' if before == after else 'NOT equal'}")
    done = f"{kills.total()} kills, {records:,} records, {wrong} wrong"
    return [
        Outcome("archive", done, None, archived_s, right=not wrong and records > 0),
        Outcome("read after retention", f"{records:,} records", None, read_s, right=subscribed == before),
        Outcome(
            "restore",
            f"{offsets.records:,} records",
            None,
            time.monotonic() - begun - archived_s - read_s,
            right=before == after,
        ),
    ]


def _keep_a_tenth(mesh: Mesh, binding: Binding) -> int:
    """Remove nine tenths of each partition, as retention does; how many offsets are left."""
    with Consumer(mesh.kafka) as looking:
        ends = looking.end_offsets(binding.topic)
    before = [ClientPartition(binding.topic, each, end * 9 // 10) for each, end in ends.items()]
    admin = AdminClient(mesh.kafka.client_properties({}))  # answers come for as long as it is there
    for done in admin.delete_records(before).values():
        done.result(timeout=_ANSWER_S)
    return sum(ends.values()) - sum(each.offset for each in before)


def _read(mesh: Mesh, binding: Binding, count: int) -> Iterator[list[ReceivedMessage]]:
    """The messages that a subscriber receives from the beginning, up to so many."""
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS, group="from the beginning") as subscriber:
        subscription = subscriber._subscription
        while count > 0:
            subscription.poll(5000, 0.5)
            yield [*subscription.buffer]
            count -= len(subscription.buffer)
            for each in subscription.buffer:
                subscription.next_offsets[each.partition()] = each.offset() + 1
            subscription.buffer.clear()


def _counting(read: Iterable[list[ReceivedMessage]], counted: Counter[int]) -> Iterator[list[ReceivedMessage]]:
    """Pass messages on, and count them by partition."""
    for messages in read:
        counted.update(each.partition() for each in messages)
        yield messages


def _digests(read: Iterable[list[ReceivedMessage]]) -> dict[int, str]:
    """By partition, SHA-256 over the records in order, without their offsets."""
    made: dict[int, Any] = {}
    for messages in read:
        for each in messages:
            record = LogRecord.of(each)._replace(offset=0)
            made.setdefault(each.partition(), hashlib.sha256()).update(record.digest)
    return {partition: each.hexdigest() for partition, each in made.items()}
