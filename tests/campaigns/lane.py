"""One processor under a campaign: topics of its own, a feed that does not wait for it, and the processes that run it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from meshport.kafka.producer import Message, Producer
from tests.campaigns import logic
from tests.campaigns.child import Spec
from tests.campaigns.evidence import Wire, of_kafka
from tests.campaigns.feed import Feed
from tests.campaigns.ledger import Report, judge
from tests.campaigns.points import Engine
from tests.process.topics import Topics

ROOT = Path(__file__).parents[2]
WIRES: dict[Engine, Wire] = {"batch": "once", "faust": "repeats"}

_PAUSE_S = 0.25
_READY_S = 60.0
_DRAIN_S = 120.0
_DRAINS = 4


class Child:
    """A processor process, loaded and waiting to be told what to do."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.child"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self._words: dict[str, threading.Event] = {"ready": threading.Event(), "working": threading.Event()}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if (word := self._words.get(line.strip())) is not None:
                word.set()

    def go(self, spec: Spec) -> None:
        """Tell it what to do."""
        assert self._process.stdin is not None
        assert self._words["ready"].wait(_READY_S), "a child did not load"
        self._process.stdin.write(spec.line())
        self._process.stdin.flush()

    def works(self, timeout_s: float) -> bool:
        """Wait until it has processed something, or has ended; whether it has."""
        for _ in range(int(timeout_s * 20)):
            if self._words["working"].wait(0.05):
                return True
            if self._process.poll() is not None:
                return False
        return False

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self, timeout_s: float) -> int | None:
        """Its exit code; None where it still runs after this time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """The last lines that it wrote on stderr."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return " | ".join(lines[-3:])

    def close(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()


@dataclass
class Ends:
    """How processes ended that were not killed: by exit code and last words."""

    words: Counter[str] = field(default_factory=Counter)

    def note(self, child: Child, code: int | None) -> None:
        """Take note of one, unless it ended as it was told to."""
        if code not in {0, -signal.SIGKILL}:
            self.words[f"exit {code}: {child.last_words()[-300:]}"] += 1


class Lane:
    """One processor under a campaign.

    Args:
        bootstrap_servers: of the cluster.
        engine: `batch` or `faust`.
        plan: a name of `logic.KEYS`.
        seed: of the feed.
        defect: planted in every process.
    """

    def __init__(self, bootstrap_servers: str, engine: Engine, plan: str, seed: int, *, defect: str = "") -> None:
        prefix = f"c{uuid4().hex[:8]}."
        self.spec = Spec(bootstrap_servers, prefix, engine, plan, seed=seed, defect=defect)
        self.topics = Topics(*logic.mesh(bootstrap_servers, prefix, plan))
        self.published: list[Message] = []
        self.ends = Ends()
        self._feed = Feed(self.topics.plan.source, self.topics.ports, seed)
        self._producer = Producer(bootstrap_servers)
        self._flowing, self._over = threading.Event(), threading.Event()
        self._standby = Child()

    def publish(self, count: int) -> None:
        """Publish about this many events and wait until they are stored."""
        burst = self._feed.burst(count)
        self._producer.deliver(burst)
        self.published += burst

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
        """A process at work; the next one is loaded meanwhile."""
        child, self._standby = self._standby, Child()
        child.go(replace(self.spec, **more))  # type: ignore[arg-type]  # fields of the spec
        return child

    def drain(self) -> None:
        """Let a process end by itself once everything is processed; one that fails is started again, as in life."""
        for _ in range(_DRAINS):
            child = self.start(until_end=True)
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
        """Let go of processes and connections."""
        self._standby.close()
        self._producer.flush(timeout_s=5)
        self.topics.log.close()
