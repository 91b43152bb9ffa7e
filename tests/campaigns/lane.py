"""One processor under a campaign: topics of its own, a feed that does not wait for it, and the processes that run it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from meshport.kafka.config import KafkaConfig
from meshport.kafka.producer import Message, Producer
from tests.campaigns import logic
from tests.campaigns.child import WORKING, Spec, main
from tests.campaigns.evidence import Wire, of_kafka
from tests.campaigns.feed import Feed
from tests.campaigns.ledger import Report, judge
from tests.campaigns.points import Engine
from tests.process.topics import Topics

WIRES: dict[Engine, Wire] = {"batch": "once", "faust": "repeats"}

_PAUSE_S = 0.25
# Topics and partitions of one lane, which would make one cause look like many.
_SPOTS = re.compile(r"c[0-9a-f]{8}\.\S+|\[\d+\]|127\.0\.0\.1:\d+")
_DRAIN_S = 120.0
_DRAINS = 4


# Forking spares every process the second that loading takes; a processor's clients and threads all begin after the fork.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.campaigns.child"])


class Child:
    """A processor process.

    Args:
        spec: what it does.
    """

    def __init__(self, spec: Spec) -> None:
        self._parent, child = _FORKS.Pipe()
        number, self._errors = tempfile.mkstemp(prefix="meshport-campaign-")
        os.close(number)
        self._process = _FORKS.Process(target=main, args=(spec, child, self._errors), daemon=True)
        self._process.start()
        child.close()

    def works(self, timeout_s: float) -> bool:
        """Wait until it has processed something, or has ended; whether it has."""
        with suppress(EOFError, OSError):
            if self._parent.poll(timeout_s):
                return bool(self._parent.recv() == WORKING)
        return False

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def ended(self, timeout_s: float) -> int | None:
        """Its exit code; None where it still runs after this time."""
        self._process.join(timeout_s)
        return self._process.exitcode

    def said(self) -> str:
        """What it wrote on stderr."""
        return Path(self._errors).read_text(encoding="utf-8", errors="replace")

    def last_words(self) -> str:
        """The last lines that it wrote on stderr."""
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        return " | ".join(lines[-3:])

    def close(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self._process.join()
        self._parent.close()
        Path(self._errors).unlink()


@dataclass
class Ends:
    """How processes ended that were not killed: by exit code and last words."""

    words: Counter[str] = field(default_factory=Counter)

    def note(self, child: Child, code: int | None) -> None:
        """Record the end of a process, unless it ended as it was asked to."""
        if code not in {0, -signal.SIGKILL, -signal.SIGTERM}:  # the last: signalled before its handler was installed
            self.words[f"exit {code}: {_SPOTS.sub('...', child.last_words())[-240:]}"] += 1


class Lane:
    """One processor under a campaign.

    Args:
        bootstrap_servers: of the cluster.
        engine: `batch` or `faust`.
        plan: a name of `logic.KEYS`.
        seed: of the feed.
        defect: planted in every process.
        member: the static name of the processor's first member; "" for none.
    """

    def __init__(
        self, bootstrap_servers: str, engine: Engine, plan: str, seed: int, *, defect: str = "", member: str = ""
    ) -> None:
        self.member = member
        prefix = f"c{uuid4().hex[:8]}."
        self.spec = Spec(bootstrap_servers, prefix, engine, plan, seed=seed, defect=defect)
        self.topics = Topics(*logic.mesh(bootstrap_servers, prefix, plan))
        self.published: list[Message] = []
        self.ends = Ends()
        self._feed = Feed(self.topics.plan.source, self.topics.ports, seed, plan)
        self._producer = Producer(KafkaConfig(bootstrap_servers))
        self._flowing, self._over = threading.Event(), threading.Event()

    def publish(self, count: int) -> list[tuple[int, int]]:
        """Publish about this many events and wait until they are stored; the (partition, offset) of each."""
        burst = self.draw(count)
        offsets = self._producer.deliver(burst)
        self.published += burst
        return offsets

    def draw(self, count: int) -> list[Message]:
        """Return about this many events of the feed; the caller stores them and adds them to `published`."""
        return self._feed.burst(count)

    @contextmanager
    def flow(self, burst: int) -> Iterator[None]:
        """Publish bursts all the time, except while `quiet`."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                while not self._over.wait(_PAUSE_S):
                    if self._flowing.is_set():
                        self.publish(burst)
            except BaseException as error:  # noqa: BLE001 - raised below
                failed.append(error)

        thread = threading.Thread(target=run)
        self._flowing.set()
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
        if failed:
            raise failed[0]

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Publish nothing meanwhile."""
        self._flowing.clear()
        yield
        self._flowing.set()

    def start(self, **more: object) -> Child:
        """A process at work."""
        return Child(replace(self.spec, **more))  # type: ignore[arg-type]  # fields of the spec

    def drain(self) -> None:
        """Let a process end by itself once everything is processed; one that fails is started again, as in life."""
        for _ in range(_DRAINS):
            child = self.start(until_end=True, member=self.member)
            code = child.ended(_DRAIN_S)
            self.ends.note(child, code)
            child.close()
            if code == 0:
                return

    def finish(self, more: int = 400) -> Report:
        """Drain; then publish some more for a fresh process, so that a wrong state shows; and judge."""
        self.drain()
        self.publish(more)
        self.drain()
        return judge(of_kafka(self.topics, self.published, WIRES[self.spec.engine]))

    def close(self) -> None:
        """Let go of the connections."""
        self._producer.flush(timeout_s=5)
        self.topics.log.close()
