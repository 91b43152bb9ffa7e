"""kill -9 of members of a group of readers whose handler fails: nothing is lost, and the events of a key keep their order.

Two members read a feed under `on_error`. The handler fails once on every fifth event in each process, and always on every
fiftieth, which has to be quarantined. Each handled event is a line of a file. A killed member is started again at once; its
session has to end before its partitions are assigned to the other.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import platformdirs

from meshport import Event, Registry, Retry, Subscriber
from meshport.address import reader_quarantine_name, retry_name, topic_name
from meshport.binding import Binding
from meshport.errors import TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import ReceivedMessage, headers_of
from meshport.local.embedded import EmbeddedKafka
from meshport.ports.failed.headers import split_failure
from meshport.ports.publisher import Publisher
from meshport.ports.scan import read_topic
from tests.campaigns.outcome import Outcome, say
from tests.mesh_session import Mesh, open_test_mesh
from tests.ports.readings import numbers, reading

MEMBERS: Final = 2
_EVENTS_A_KILL: Final = 100
_SENSORS: Final = 20
_HANDLING_S: Final = 0.004
_PATIENCE_S: Final = 300.0
_SESSION: Final = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


@dataclass(frozen=True)
class Readers:
    """What is asked for.

    Attributes:
        kills: of members.
        seed: of the kills.
    """

    kills: int
    seed: int


def run(readers: Readers) -> Outcome:
    """Kill members and print what was lost, repeated and out of order; it is right where nothing is lost or out of order."""
    begun = time.monotonic()
    with (
        TemporaryDirectory() as folder,
        EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport")) as cluster,
        open_test_mesh(Path(folder), cluster.bootstrap_servers) as mesh,
    ):
        group = _Group(mesh, Path(folder), readers.kills * _EVENTS_A_KILL)
        feed = threading.Thread(target=group.feed)
        feed.start()
        try:
            group.kill(readers.kills, random.Random(readers.seed))
            feed.join()
            group.settle()
        finally:
            group.end()
        right = group.report()
    done = f"{readers.kills} kills, {readers.kills * _EVENTS_A_KILL} events"
    return Outcome("readers", done, None, time.monotonic() - begun, right=right)


class _Group:
    """The members of a group, and what they handled.

    Args:
        mesh: of the port, which is made here.
        folder: of the files.
        events: how many are published.
    """

    def __init__(self, mesh: Mesh, folder: Path, events: int) -> None:
        self._mesh = mesh
        self._binding: Binding = mesh.product(partitions=4)
        self._events = events
        self._name = f"readers-{uuid4().hex[:8]}"
        self._ledger = folder / "handled"
        self._ledger.touch()
        self._log = folder / "log"
        self._members = [self._start() for _ in range(MEMBERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        servers = self._mesh.bootstrap_servers
        arguments = [self._mesh.url, servers, str(self._binding.address), self._name, str(self._ledger)]
        with self._log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "tests.campaigns.readers", *arguments], stderr=log)

    def feed(self) -> None:
        """Publish the events, some hundred a second."""
        with Publisher(self._binding.address, self._mesh.registry, kafka=self._mesh.kafka) as publisher:
            for number in range(self._events):
                publisher.publish(reading(number, sensor=f"s{number % _SENSORS}"), id=str(number))
                if number % 50 == 0:
                    publisher.flush()
                    time.sleep(0.2)

    def handled(self) -> list[int]:
        """The events in the order in which they were handled, repeats included."""
        return [int(line) for line in self._ledger.read_text().splitlines()]

    def quarantined(self) -> set[int]:
        """The events of the quarantine topic."""
        topic = reader_quarantine_name(self._name, topic_name(self._binding.address))
        reasons = [split_failure(headers_of(each) or ())[0].reason for each in self._messages(topic)]
        return {int(each.rsplit(" ", 1)[1]) for each in reasons}

    def waiting(self) -> int:
        """How many events have a row in the retry topic."""
        topic = retry_name(self._name, topic_name(self._binding.address))
        rows = {each.key(): each.value() for each in self._messages(topic)}
        return sum(each is not None for each in rows.values())

    def _messages(self, topic: str) -> Iterator[ReceivedMessage]:
        with suppress(TopicError):  # no member has made it yet
            for messages in read_topic(self._mesh.kafka, topic):
                yield from messages

    def kill(self, kills: int, dice: random.Random) -> None:
        """Kill a member each time that some more events were handled."""
        for number in range(kills):
            enough = min(len(self.handled()) + dice.randrange(5, 150), self._events - _EVENTS_A_KILL)
            deadline = time.monotonic() + _PATIENCE_S
            while len(self.handled()) < enough and time.monotonic() < deadline:
                time.sleep(0.05)
            which = dice.randrange(MEMBERS)
            self._members[which].kill()
            self._members[which].wait()
            self._members[which] = self._start()
            if (number + 1) % 10 == 0:
                say(f"{number + 1} of {kills} kills, {len(self.handled())} events handled")

    def settle(self) -> None:
        """Wait until every event is handled or quarantined, and none waits."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if len({*self.handled(), *self.quarantined()}) == self._events and not self.waiting():
                return
            time.sleep(1)

    def end(self) -> None:
        """End the members by SIGTERM."""
        for each in self._members:
            each.send_signal(signal.SIGTERM)
        for each in self._members:
            # One that was started a moment ago has not begun to handle events, nor signals.
            if each.wait(_PATIENCE_S) not in {0, -signal.SIGTERM}:
                say(f"a member ended with {each.returncode}\n{self._log.read_text()[-2000:]}")

    def report(self) -> bool:
        """Print what became of the events, and return whether it is right."""
        handled, quarantined, waiting = self.handled(), self.quarantined(), self.waiting()
        first: dict[int, list[int]] = defaultdict(list)
        for number in dict.fromkeys(handled):
            first[number % _SENSORS].append(number)
        lost = {*range(self._events)} - {*handled} - quarantined
        disordered = [sensor for sensor, found in first.items() if found != sorted(found)]
        ended = [each.returncode for each in self._members]
        failed = any(each not in {0, -signal.SIGTERM} for each in ended)
        say(
            f"{len({*handled})} handled, {len(handled) - len({*handled})} repeats, {len(quarantined)} quarantined, "
            f"{len(lost)} lost, {len(disordered)} keys out of order, {waiting} still wait, members ended with {ended}"
        )
        wanted = {number for number in range(self._events) if _never(number)}
        return not (lost or disordered or waiting or failed) and quarantined >= wanted


def _never(number: int) -> bool:
    return number % 50 == 7


def _member(url: str, servers: str, address: str, group: str, ledger: str) -> None:
    out = os.open(ledger, os.O_WRONLY | os.O_APPEND)
    tries: dict[int, int] = defaultdict(int)

    def handle(event: Event) -> None:
        (number,) = numbers([event])
        time.sleep(_HANDLING_S)
        tries[number] += 1
        if _never(number) or (number % 5 == 0 and tries[number] == 1):
            raise LookupError(f"no row for {number}")
        os.write(out, f"{number}\n".encode())

    retry = Retry(tries=6, first_s=0.05)
    with (
        Registry(url, timeout=_PATIENCE_S) as registry,
        Subscriber(address, registry, group=group, on_error=retry, kafka=KafkaConfig(servers, _SESSION)) as subscriber,
    ):
        subscriber.run(handle)


if __name__ == "__main__":
    _member(*sys.argv[1:])
