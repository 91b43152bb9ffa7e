"""What is measured of a running processor: its figures go into metrics, and its readiness to probes.

Nothing is measured event by event. The watchdog copies counts once a second and lags at each of its looks; an engine
adds a figure for each batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from meshport.address import Address
from meshport.kafka.topic_partition import TopicPartition
from meshport.metrics import process as metrics
from meshport.metrics.readiness import Readiness
from meshport.process.runtime.engine import Engine
from meshport.process.stages.partition import Counts

__all__ = ["BatchMeasures", "ProcessorMeasures", "RestoreMeasures"]

JOINED: Final = "joined"
RESTORED: Final = "restored"
_PER_PARTITION: Final = (metrics.LAG, metrics.LAG_SECONDS, metrics.STATE_ROWS, metrics.STATE_BYTES)


class BatchMeasures:
    """The metrics to which an engine adds a figure for each batch.

    Args:
        processor: the address of its output port.

    Attributes:
        events: messages of a batch.
        computed: seconds of its computation.
        committed: seconds of its commit.
        aborted: transactions that were aborted.
    """

    def __init__(self, processor: Address) -> None:
        name = str(processor)
        self.events: Final = metrics.BATCH.labels(name)
        self.computed: Final = metrics.COMPUTED.labels(name)
        self.committed: Final = metrics.COMMIT.labels(name)
        self.aborted: Final = metrics.ABORTED.labels(name)


class RestoreMeasures:
    """Counts what a worker restores.

    Args:
        processor: the address of its output port.
    """

    def __init__(self, processor: Address) -> None:
        name = str(processor)
        self._restores = metrics.RESTORED.labels(name)
        self._records = metrics.RESTORED_RECORDS.labels(name)
        self._seconds = metrics.RESTORE.labels(name)

    def add(self, records: int, seconds: float) -> None:
        """Add the restore of the state of one partition."""
        self._restores.inc()
        self._records.inc(records)
        self._seconds.observe(seconds)


class ProcessorMeasures:
    """Copies the figures of an engine into the metrics. Used by one thread.

    Args:
        processor: the address of its output port.
        readiness: notes whether the processor has joined, is restored, and moves.
        clock: seconds since 1970.
    """

    def __init__(self, processor: Address, readiness: Readiness | None, clock: Callable[[], float] = time.time) -> None:
        self._name = str(processor)
        self._readiness = readiness or Readiness(self._name)
        self._clock = clock
        self._counted = Counts()
        self._shown: set[TopicPartition] = set()
        self._caught_up: dict[TopicPartition, float] = {}

    def count(self, engine: Engine) -> None:
        """Add what became of events since the last call, and report whether the engine has joined and is restored."""
        now, before, name = engine.counts, self._counted, self._name
        self._counted = now
        metrics.READ.labels(name).inc(now.read - before.read)
        metrics.WRITTEN.labels(name).inc(now.written - before.written)
        metrics.LATE.labels(name).inc(now.late - before.late)
        metrics.REDRIVEN.labels(name).inc(now.redriven - before.redriven)
        for reason, number in now.reasons.items():
            metrics.QUARANTINED.labels(name, reason).inc(number - before.reasons.get(reason, 0))
        if engine.watermark is not None:
            metrics.WATERMARK.labels(name).set(engine.watermark / 1_000_000)
        for partition, (rows, size) in engine.state_sizes.items():
            metrics.STATE_ROWS.labels(*self._labels(partition)).set(rows)
            metrics.STATE_BYTES.labels(*self._labels(partition)).set(size)
        self._show_only({*engine.next_offsets, *engine.state_sizes})
        for need, met in ((JOINED, engine.assigned), (RESTORED, engine.restored)):
            if met:
                self._readiness.meet(need)
            else:
                self._readiness.lack(need, f"not {need} yet")

    def moved(self) -> None:
        """Note that the engine has moved since the last look."""
        self._readiness.progress()

    def lags(
        self,
        engine: Engine,
        waiting: Mapping[TopicPartition, int],
        recorded_at: Callable[[TopicPartition], float | None],
    ) -> None:
        """Set the lag of each assigned partition.

        Args:
            engine: the engine.
            waiting: how many offsets wait, by partition; partitions at their end may be left out.
            recorded_at: reads when the event was recorded that is processed next, seconds since 1970; None where it is not
                known. Asked only where no event of a partition was processed.
        """
        now, assigned = self._clock(), engine.next_offsets
        self._shown |= set(assigned)
        for partition in assigned:
            lag = waiting.get(partition, 0)
            metrics.LAG.labels(*self._labels(partition)).set(lag)
            if not lag:
                self._caught_up[partition] = now
                metrics.LAG_SECONDS.labels(*self._labels(partition)).set(0)
                continue
            since = self._waits_since(engine, partition)
            if since is None:
                since = recorded_at(partition)
            if since is not None:
                metrics.LAG_SECONDS.labels(*self._labels(partition)).set(max(0.0, now - since))
        self._readiness.lag(sum(waiting.values()))

    def _waits_since(self, engine: Engine, partition: TopicPartition) -> float | None:
        """Return the latest moment before which the oldest event that waits cannot have come, as far as is known."""
        recorded = engine.recorded.get(partition, -1)
        known = [] if recorded < 0 else [recorded / 1000]
        if partition in self._caught_up:
            known.append(self._caught_up[partition])
        return max(known, default=None)

    def end(self, engine: Engine) -> None:
        """Add the last counts, and show no lag and no state any more: another member has them, or none."""
        self.count(engine)
        self._show_only(set())
        self._readiness.lack(JOINED, "the processor has stopped")
        self._readiness.lag(None)

    def _show_only(self, partitions: set[TopicPartition]) -> None:
        for gone in self._shown - partitions:
            self._caught_up.pop(gone, None)
            for each in _PER_PARTITION:
                each.remove(*self._labels(gone))
        self._shown = partitions

    def _labels(self, partition: TopicPartition) -> tuple[str, str, str]:
        return self._name, partition.topic, str(partition.partition)
