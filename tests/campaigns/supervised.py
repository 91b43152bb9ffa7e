"""A processor that is fed, watched and started again whenever it ends, while brokers are lost."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import headers_of
from meshport.kafka.topic_partition import TopicPartition
from tests.campaigns.lane import Child, Lane
from tests.campaigns.waits import READY

_BURST: Final = 40
_PAUSE_S: Final = 0.25


@dataclass
class _Stored:
    """The first offset of each input partition that was stored by a burst begun after a moment."""

    offsets: dict[int, int] = field(default_factory=dict)
    since: float = 0.0


class Flow:
    """Publishes bursts to a lane's input all the time, and knows what was begun since the last kill.

    Args:
        lane: the processor's topics.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._lock = threading.Lock()
        self._stored = _Stored()
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def mark(self) -> None:
        """Forget what was stored; only bursts that begin from now on count."""
        with self._lock:
            self._stored = _Stored(since=time.monotonic())

    def first_offsets(self) -> dict[int, int]:
        """Return by partition the first offset that was stored by a burst begun since `mark`."""
        with self._lock:
            return dict(self._stored.offsets)

    def _run(self) -> None:
        try:
            while not self._over.wait(_PAUSE_S):
                began = time.monotonic()
                places = self._lane.publish(_BURST)
                with self._lock:
                    if began >= self._stored.since:
                        for partition, offset in places:
                            self._stored.offsets.setdefault(partition, offset)
        except BaseException as error:  # noqa: BLE001 - raised by `__exit__`
            self._failed.append(error)

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]


class Watch:
    """Reads the processor's outputs as a committed reader, and notes the newest input offset that each partition's show.

    Args:
        lane: the processor's topics.
    """

    def __init__(self, lane: Lane) -> None:
        output = lane.topics.plan.output
        self._consumer = Consumer(KafkaConfig(output.bootstrap_servers))
        ends = self._consumer.end_offsets(output.topic)
        self._consumer.assign({TopicPartition(output.topic, each): end for each, end in ends.items()})
        self._newest: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def has(self, partition: int, offset: int) -> bool:
        """Return whether an output of this event or a later one of its partition is committed."""
        return self._newest.get(partition, -1) >= offset

    def _run(self) -> None:
        while not self._over.is_set():
            for message in self._consumer.read(1000, 0.1):
                id_ = dict(headers_of(message) or ())["ce_id"]
                # <topic>-<partition>-<offset>-<number>-<index>
                _, partition, offset, _, _ = (id_ or b"").decode().rsplit("-", 4)
                self._newest[int(partition)] = max(self._newest.get(int(partition), -1), int(offset))

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        self._consumer.close()


class Kept:
    """A processor that is started again whenever it ends, as by a supervisor.

    Args:
        lane: what to run.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._over, self._lock = threading.Event(), threading.Lock()
        self.restarts = 0
        self._child = self._start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _start(self) -> Child:
        return self._lane.start(member=self._lane.member)

    def _run(self) -> None:
        while not self._over.wait(0.2):
            if not self._child.running:
                self._lane.ends.note(self._child, self._child.ended(1))
                with self._lock:
                    self._child.close()
                    self._child = self._start()
                    self.restarts += 1

    def ask_for_waits(self) -> None:
        """Have it write on stderr what its threads wait for, beside its warnings."""
        with self._lock:
            if READY in self._child.said():
                self._child.send(signal.SIGUSR1)

    def said_since(self, place: tuple[int, int] = (0, 0)) -> tuple[str, tuple[int, int]]:
        """Return what it wrote on stderr after a place, and the place after that; a new process begins a new one."""
        with self._lock:
            said = self._child.said()
            restarts = self.restarts
        begin = place[1] if place[0] == restarts else 0
        return said[begin:], (restarts, len(said))

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()
        self._child.close()
