"""Supervision of a running engine: progress, lag, detection of a stall, and the end of a bounded run.

The watchdog works outside of the engine's thread, so that an event loop or a function that hangs is noticed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict

from meshport.errors import MeshError, ProcessError
from meshport.kafka.admin import Admin
from meshport.kafka.topic_partition import TopicPartition
from meshport.metrics.readiness import STUCK_S, Readiness
from meshport.ports.history import UndecidedHistory
from meshport.ports.stop_signals import stopped_by_signals
from meshport.process.logic.event_time import to_datetime
from meshport.process.runtime.engine import Engine
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.log_watch import PlanWatch
from meshport.process.runtime.measures import ProcessorMeasures
from meshport.process.runtime.own_topics import ensure_topics
from meshport.process.wire.plan import Plan

STALL_S: Final = STUCK_S
"""A processor that has processed nothing for so many seconds while events wait is reported as stalled."""

_log: Final = logging.getLogger(__name__)

_LOOK_S: Final = 5.0
_PROBE_S: Final = 2.0
_TURN_S: Final = 0.1
_BOUNDED_TURN_S: Final = 0.05
# Up to so many offsets are counted by reading them, which leaves out the markers of transactions.
_COUNTED_BY_READING: Final = 1000


class RunOptions(TypedDict, total=False):
    """Options of a run, common to all engines.

    Attributes:
        stop: an event that stops the engine when another thread sets it.
        until_end: whether to stop once everything that the inputs held at the start is processed and its outputs can be
            read by committed readers. The processor has to be the only member of its group.
        on_progress: called with the progress about once a second, in the caller's thread.
        patience_s: seconds without progress, while events wait, after which the processor counts as stalled.
        readiness: notes whether the processor has joined its group, is restored, and moves.
    """

    stop: threading.Event | None
    until_end: bool
    on_progress: Callable[[ProcessorProgress], None] | None
    patience_s: float
    readiness: Readiness | None


def run_engine(
    plan: Plan,
    engine: Engine,
    *,
    stop: threading.Event | None = None,
    until_end: bool = False,
    on_progress: Callable[[ProcessorProgress], None] | None = None,
    patience_s: float = STALL_S,
    readiness: Readiness | None = None,
) -> ProcessorProgress:
    """Run an engine until `stop` is set, or until SIGTERM or SIGINT where this is the main thread.

    The engine then finishes the current batch, commits, and leaves the group. `RunOptions` documents the arguments.

    Returns:
        The last progress.

    Raises:
        ProcessError: the processor stalled, or its state is damaged.
        HistoryMissing: input that was not processed is removed from the log, and the plan does not allow it.
        TopicRemade: a topic that its state belongs to was deleted and made again.
        PartitionsAdded: partitions were added to an input.
        KafkaError: the cluster did not store what was sent. Nothing is lost; start the processor again.
    """
    stop = stop or threading.Event()
    log = KafkaLog(plan.kafka)
    try:
        ensure_topics(plan, Admin(plan.kafka))
        with stopped_by_signals(stop.set):
            return Watchdog(plan, engine, log, patience_s, readiness).run(stop, until_end, on_progress)
    finally:
        engine.stop(timeout_s=2)
        log.close()


@dataclass(frozen=True, slots=True)
class ProcessorProgress:
    """The progress of a processor since its start.

    Attributes:
        read: input events that were new.
        written: output records.
        late: events that went to the late topic.
        quarantined: events that went to the quarantine topic.
        lag: events that wait on the assigned partitions; None before the first look. While the lag changes, the markers
            of transactions among them are counted as well.
        watermark: the least watermark of the assigned partitions; None where the processor keeps none.
        redriven: quarantined events that were redriven.
        undecided: offsets of the inputs, beyond those that `lag` counts, which wait for a transaction that has been open for
            some seconds at least.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    quarantined: int = 0
    lag: int | None = None
    watermark: datetime | None = None
    redriven: int = 0
    undecided: int = 0


class Watchdog:
    """Watches one engine from another thread.

    Args:
        plan: what the engine runs.
        engine: the engine, not yet started.
        log: the cluster.
        patience_s: see `RunOptions`.
        readiness: see `RunOptions`.

    Attributes:
        patience_s: may be changed while it watches.
    """

    def __init__(
        self, plan: Plan, engine: Engine, log: KafkaLog, patience_s: float, readiness: Readiness | None = None
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._log = log
        self.patience_s = patience_s
        self._measures = ProcessorMeasures(plan.output.address, readiness)
        self._lag: int | None = None
        self._lags: Mapping[TopicPartition, int] = {}
        self._counted: Mapping[TopicPartition, tuple[int, int]] = {}
        self._seen: tuple[object, ...] = ()
        self._moved = time.monotonic()
        self._alone = False
        self._stable: dict[TopicPartition, int] = {}
        self._stable_before: dict[TopicPartition, int] = {}
        self._undecided: dict[TopicPartition, UndecidedHistory] = {}

    def run(
        self,
        stop: threading.Event,
        until_end: bool,
        on_progress: Callable[[ProcessorProgress], None] | None,
    ) -> ProcessorProgress:
        """Start the engine and watch it until it ends; see `run_engine`."""
        goal = Goal(self._plan, self._log) if until_end else None
        self._alone = until_end
        topics = PlanWatch(self._plan)
        self._engine.start()
        try:
            with topics.explaining():
                self._watch(goal, topics, stop, on_progress)
            self._engine.stop()
        finally:
            self._measures.end(self._engine)
        if self._engine.running:
            raise ProcessError(
                "the processor did not stop when it was asked to", hint="nothing is lost; start it again"
            )
        if self._engine.failure is not None:
            raise _raisable(self._engine.failure)
        if goal is not None:
            self._await_readable()
        self._lag = sum(self._readable(self._waiting()).values())
        if on_progress is not None:
            on_progress(self.progress)
        return self.progress

    def _watch(
        self,
        goal: Goal | None,
        topics: PlanWatch,
        stop: threading.Event,
        on_progress: Callable[[ProcessorProgress], None] | None,
    ) -> None:
        """Return once the engine is to stop."""
        looked = reported = time.monotonic()
        while not stop.wait(_BOUNDED_TURN_S if goal else _TURN_S):
            now = time.monotonic()
            if not self._engine.running:
                raise _raisable(self._engine.failure)
            topics.look()
            if now - looked >= _LOOK_S:
                looked = now
                self._look(now)
            if now - reported >= 1:
                reported = now
                self._measures.count(self._engine)
                if on_progress is not None:
                    on_progress(self.progress)
            if goal is not None and goal.reached({**self._engine.next_offsets, **self._engine.redriven_offsets}):
                break

    def _await_readable(self) -> None:
        # The broker answers a commit before it writes the markers; until then committed readers do not see the transaction.
        topics = [self._plan.output.topic, self._plan.quarantine_topic]
        for topic in [*topics, self._plan.late_topic] if self._plan.timed else topics:
            self._log.decided(topic)

    @property
    def progress(self) -> ProcessorProgress:
        """The current progress."""
        counts, watermark = self._engine.counts, self._engine.watermark
        return ProcessorProgress(
            counts.read,
            counts.written,
            counts.late,
            counts.quarantined,
            self._lag,
            None if watermark is None else to_datetime(watermark),
            counts.redriven,
            sum(each.end - each.stable for each in self._undecided.values()),
        )

    def _waiting(self) -> dict[TopicPartition, tuple[int, int]]:
        """Return the next offset and the end offset of each assigned partition that is not at its end."""
        ends = {
            TopicPartition(stage.topic, partition): end
            for stage in self._plan.stages
            for partition, (_, end) in self._log.bounds(stage.topic).items()
        }
        self._stable = ends
        return {each: (offset, ends[each]) for each, offset in self._engine.next_offsets.items() if offset < ends[each]}

    def _readable(self, waiting: Mapping[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, int]:
        # Markers of transactions take offsets too; one at the end of a partition may be all that is left of it.
        return {
            each: end - offset if end - offset > _COUNTED_BY_READING else len(self._log.between(*each, offset, end))
            for each, (offset, end) in waiting.items()
        }

    def _recorded_at(self, partition: TopicPartition) -> float | None:
        """Return when the event that is processed next was recorded, seconds since 1970; None where that is not known."""
        found = self._log.onward(*partition, self._engine.next_offsets.get(partition, 0), limit=1)
        return found[0].timestamp_ms / 1000 if found and found[0].timestamp_ms >= 0 else None

    def _note_undecided(self, ends: Mapping[TopicPartition, int]) -> None:
        """Note the inputs in which a transaction has been open since the last look, and log a warning for each new one.

        Args:
            ends: of the inputs' partitions, read before the last stable offsets, so that an event between is not taken for one.
        """
        found = {
            each: UndecidedHistory(each, self._stable[each], end)
            for each, end in ends.items()
            if self._stable_before.get(each) == self._stable.get(each, end) < end
        }
        for partition, each in found.items():
            if partition not in self._undecided or self._undecided[partition].stable != each.stable:
                _log.warning("%s", each)
        self._stable_before, self._undecided = self._stable, found

    def _look(self, now: float) -> None:
        """Update the lag, and raise where the engine has not moved for too long while events wait."""
        ends = {
            TopicPartition(each.stage.topic, partition): end
            for each in self._plan.sources
            for partition, end in self._log.high_watermarks(each.stage.topic).items()
        }
        waiting = self._waiting()
        self._note_undecided(ends)
        seen = (self._engine.assigned, self._engine.loaded, dict(self._engine.next_offsets), dict(self._engine.fetched))
        moved = seen != self._seen
        if moved:
            self._seen, self._moved, self._counted = seen, now, {}
            self._lags = {each: end - offset for each, (offset, end) in waiting.items()}
            self._measures.moved()
        elif waiting != self._counted:
            # Reading takes a connection for each partition, which costs an idle processor nothing.
            self._lags, self._counted = self._readable(waiting), waiting
        self._lag = sum(self._lags.values())
        self._measures.lags(self._engine, self._lags, self._recorded_at)
        if moved:
            return
        if now - self._moved < self.patience_s:
            return
        # One of several members may have no partitions. A group can also leave its only member without any: it gives one that
        # comes back under its name what it had (KIP-345), which is nothing where it left while a topic was made again.
        # Restoring ends by itself, with an error that names what it waits for.
        engine = self._engine
        if not engine.assigned or (self._alone and engine.restored and not engine.next_offsets):
            raise ProcessError(
                f"{self._plan.group} was given no partitions for {self.patience_s:g} s",
                hint="start it again; a member with a name gets what it had last: give it another name, or none",
            )
        if any(self._log.between(*each, offset, end) for each, (offset, end) in waiting.items()):
            raise ProcessError(
                f"{self._plan.group} has stalled: {self._lag} events wait and none was processed for "
                f"{self.patience_s:g} s",
                hint="start it again; nothing is lost",
            )


class Goal:
    """The end of a bounded run: what the inputs and the redrive topic held when it was created, through all stages.

    Args:
        plan: what is run.
        log: the cluster.
    """

    def __init__(self, plan: Plan, log: KafkaLog) -> None:
        self._log = log
        self._later = [plan.repartition.topic] if plan.repartition else []
        self._probed = time.monotonic()
        self._ends = {
            TopicPartition(topic, partition): end
            for topic in (*(each.stage.topic for each in plan.sources), plan.redrive_topic)
            for partition, (_, end) in log.bounds(topic).items()
        }

    def reached(self, next_offsets: Mapping[TopicPartition, int]) -> bool:
        """Return whether all of it is processed; once a stage has reached its end, the next stage is looked at."""
        probe = time.monotonic() - self._probed > _PROBE_S
        if probe:
            self._probed = time.monotonic()
        while all(self._is_processed(each, next_offsets, probe=probe) for each in self._ends):
            if not self._later:
                return True
            # High watermarks: what the first stage has committed may not be readable yet, as its markers are written later.
            topic = self._later.pop(0)
            self._ends = {
                TopicPartition(topic, partition): end for partition, end in self._log.high_watermarks(topic).items()
            }
        return False

    def _is_processed(
        self, partition: TopicPartition, next_offsets: Mapping[TopicPartition, int], *, probe: bool
    ) -> bool:
        offset, end = next_offsets.get(partition), self._ends[partition]
        if offset is None:
            return False
        few = offset < end and end - offset < _COUNTED_BY_READING
        if probe and few and not self._log.between(*partition, offset, end):
            self._ends[partition] = offset  # only markers of transactions are left, or compaction removed the rest
            return True
        return offset >= end


def _raisable(failure: BaseException | None) -> BaseException:
    """Return the error to raise for an engine that ended by itself."""
    if isinstance(failure, MeshError):
        return failure
    if failure is None:
        return ProcessError("the processor ended by itself")
    error = ProcessError(f"the processor failed: {type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error
