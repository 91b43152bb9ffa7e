"""The thread in which an engine runs a processor, and the facts that its watchdog reads."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping

from meshport.kafka.topic_partition import TopicPartition
from meshport.process.stages.partition import Counts


class Engine(ABC):
    """Runs a processor in a thread of its own.

    Every attribute and property may be read from another thread while the engine runs. The engine replaces the values of
    its attributes as a whole and never mutates one.

    Args:
        name: the name of the thread.

    Attributes:
        failure: the exception that ended the engine; None while it runs and after an orderly end.
        assigned: whether the consumer group has answered with an assignment, be it an empty one.
        restored: whether the state of each assigned partition is restored.
        next_offsets: the next offset of each assigned partition.
        redriven_offsets: the next offset of each partition of the redrive topic whose input partition is assigned.
        counts: what became of the events since the start.
        watermark: the least watermark of the assigned partitions, microseconds; None before the first event.
        recorded: when the last message of each assigned partition that was processed was recorded, milliseconds since 1970.
        state_sizes: the number of state rows of each assigned partition, and the bytes of their keys and values.
    """

    def __init__(self, name: str) -> None:
        self.failure: BaseException | None = None
        self.assigned = False
        self.restored = False
        self.next_offsets: Mapping[TopicPartition, int] = {}
        self.redriven_offsets: Mapping[TopicPartition, int] = {}
        self.counts = Counts()
        self.watermark: int | None = None
        self.recorded: Mapping[TopicPartition, int] = {}
        self.state_sizes: Mapping[TopicPartition, tuple[int, int]] = {}
        self._stopping = threading.Event()
        # A daemon, so that an engine that is stuck does not keep the interpreter from exiting.
        self._thread = threading.Thread(target=self._guarded_run, name=name, daemon=True)

    @property
    @abstractmethod
    def loaded(self) -> int:
        """The number of changelog entries and rows of joined tables that the engine has read so far."""

    @property
    @abstractmethod
    def fetched(self) -> Mapping[TopicPartition, int]:
        """The next offsets that the engine's consumers fetch: they move over aborted records, which give no message."""

    @abstractmethod
    def _run(self) -> None:
        """Process events until `_stopping` is set, then finish the current batch, commit, and leave the group."""

    @property
    def running(self) -> bool:
        """Whether the engine's thread is alive."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the engine's thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 30) -> None:
        """Ask the engine to stop and wait for it; after `timeout_s` seconds the thread is abandoned."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _guarded_run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - the edge of the thread; the watchdog raises it in the caller's
            self.failure = error
