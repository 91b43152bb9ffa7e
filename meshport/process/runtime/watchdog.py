"""Watching an engine from outside of its loop: progress, lag, whether it still moves, and whether it is through."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypedDict

from meshport.errors import MeshError, ProcessError
from meshport.kafka.admin import Admin
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.logic.event_time import to_datetime
from meshport.process.runtime.kafka_log import KafkaLog, ensure_topics
from meshport.process.stages.partition import Counts
from meshport.process.wire.plan import Plan

PATIENCE_S: Final = 60.0
"""With events waiting and none processed for this long, a processor is stuck."""

_LOOK_S: Final = 5.0
_PROBE_S: Final = 2.0
_TURN_S: Final = 0.1
_BOUNDED_TURN_S: Final = 0.05
# Counting what is left by reading it pays only where little can be.
_LITTLE: Final = 1000


class Engine(Protocol):
    """What is watched. All of it may be read while the engine runs.

    Attributes:
        failure: what ended it.
        assigned: whether its group has given it partitions, be it none.
        places: the next offset of each partition in hand.
        redriven: the next offset of each partition of the redrive topic whose input is in hand.
        counts: figures since its start.
        watermark: microseconds.
    """

    failure: BaseException | None
    assigned: bool
    places: Mapping[TopicPartition, int]
    redriven: Mapping[TopicPartition, int]
    counts: Counts
    watermark: int | None

    @property
    def loaded(self) -> int:
        """Entries of changelogs and rows of joined tables that were read so far."""
        ...

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        ...

    def start(self) -> None:
        """Start it."""
        ...

    def end(self, timeout_s: float = 30) -> None:
        """Finish the batch in hand, commit, and leave the group."""
        ...


class RunOptions(TypedDict, total=False):
    """How an engine is run.

    Attributes:
        stop: ends it from another thread.
        until_end: end by itself once everything is processed that the input held when this was called, and can be read
            by committed readers. It needs all partitions of the group for itself.
        on_progress: told of the progress about once a second, in this thread.
        patience_s: how long it may stand still with events waiting.
    """

    stop: threading.Event | None
    until_end: bool
    on_progress: Callable[[ProcessorProgress], None] | None
    patience_s: float


def run_engine(
    plan: Plan,
    engine: Engine,
    *,
    stop: threading.Event | None = None,
    until_end: bool = False,
    on_progress: Callable[[ProcessorProgress], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> ProcessorProgress:
    """Run an engine until it is told to stop: by `stop`, or by SIGTERM or SIGINT where this is the main thread.

    It then finishes the batch in hand, commits, and leaves the group. For the arguments see `RunOptions`.

    Returns:
        The last progress.

    Raises:
        ProcessError: it stood still, its state is damaged, or it lost events to retention.
        KafkaError: the cluster did not store what was to be stored; nothing is lost, start again.
    """
    stop = stop or threading.Event()
    watch = KafkaLog(plan.kafka)
    try:
        ensure_topics(plan, Admin(plan.kafka))
        with _ended_by_signals(stop):
            return Watchdog(plan, engine, watch, patience_s).run(stop, until_end, on_progress)
    finally:
        engine.end(timeout_s=2)
        watch.close()


@contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT end the processor, where signals can be had."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@dataclass(frozen=True, slots=True)
class ProcessorProgress:
    """How a processor is doing.

    Attributes:
        read: events of the input that were new.
        written: output records.
        late: events that went to the late port.
        quarantined: events that went to the quarantine.
        lag: events that wait on the partitions in hand; None before it was first looked up. While it moves, markers of
            transactions that lie between them are counted as well.
        watermark: how far event time has come, by the partition furthest behind; None where it is not followed.
        redriven: quarantined events that were brought back.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    quarantined: int = 0
    lag: int | None = None
    watermark: datetime | None = None
    redriven: int = 0


class Watchdog:
    """Watches an engine from outside of its loop."""

    def __init__(self, plan: Plan, engine: Engine, log: KafkaLog, patience_s: float) -> None:
        self._plan = plan
        self._engine = engine
        self._log = log
        self._patience_s = patience_s
        self._lag: int | None = None
        self._counted: Mapping[TopicPartition, tuple[int, int]] = {}
        self._seen: tuple[bool, int, Mapping[TopicPartition, int]] = (False, 0, {})
        self._moved = time.monotonic()

    def run(
        self,
        stop: threading.Event,
        until_end: bool,
        on_progress: Callable[[ProcessorProgress], None] | None,
    ) -> ProcessorProgress:
        """Start the engine and stay with it; see `run_engine`."""
        goal = Goal(self._plan, self._log) if until_end else None
        self._engine.start()
        looked = told = time.monotonic()
        while not stop.wait(_BOUNDED_TURN_S if goal else _TURN_S):
            now = time.monotonic()
            if not self._engine.running:
                raise _raisable(self._engine.failure)
            if now - looked >= _LOOK_S:
                looked = now
                self._look(now)
            if on_progress is not None and now - told >= 1:
                told = now
                on_progress(self.progress)
            if goal is not None and goal.reached({**self._engine.places, **self._engine.redriven}):
                break
        self._engine.end()
        if self._engine.running:
            raise ProcessError("the processor did not end when it was told to", hint="nothing is lost; start it again")
        if self._engine.failure is not None:
            raise _raisable(self._engine.failure)
        if goal is not None:
            self._await_readable()
        self._lag = self._readable(self._waiting())
        if on_progress is not None:
            on_progress(self.progress)
        return self.progress

    def _await_readable(self) -> None:
        # A commit is answered before its markers are written; until they are, the last transaction is hidden.
        topics = [self._plan.output.topic, self._plan.quarantine_topic]
        for topic in [*topics, self._plan.late_topic] if self._plan.timed else topics:
            self._log.decided(topic)

    @property
    def progress(self) -> ProcessorProgress:
        """As of now."""
        counts, watermark = self._engine.counts, self._engine.watermark
        return ProcessorProgress(
            counts.read,
            counts.written,
            counts.late,
            counts.quarantined,
            self._lag,
            None if watermark is None else to_datetime(watermark),
            counts.redriven,
        )

    def _waiting(self) -> dict[TopicPartition, tuple[int, int]]:
        """Of each partition in hand that is not at its end, the next offset and the end."""
        ends = {
            (stage.topic, partition): end
            for stage in self._plan.stages
            for partition, (_, end) in self._log.bounds(stage.topic).items()
        }
        places = dict(self._engine.places)
        return {place: (offset, ends[place]) for place, offset in places.items() if offset < ends[place]}

    def _readable(self, waiting: Mapping[TopicPartition, tuple[int, int]]) -> int:
        # Markers of transactions take offsets too, and one at the end of a partition may be all that is left of it.
        return sum(
            end - offset if end - offset > _LITTLE else len(self._log.between(*place, offset, end))
            for place, (offset, end) in waiting.items()
        )

    def _look(self, now: float) -> None:
        waiting = self._waiting()
        seen = (self._engine.assigned, self._engine.loaded, dict(self._engine.places))
        if seen != self._seen:
            self._seen, self._moved, self._counted = seen, now, {}
            self._lag = sum(end - offset for offset, end in waiting.values())
            return
        if waiting != self._counted:
            # Reading takes a connection a partition; who stands still has the time.
            self._lag, self._counted = self._readable(waiting), waiting
        if now - self._moved < self._patience_s:
            return
        if not self._engine.assigned:
            raise ProcessError(
                f"{self._plan.group} was given no partitions for {self._patience_s:g} s", hint="start it again"
            )
        if any(self._log.between(*place, offset, end) for place, (offset, end) in waiting.items()):
            raise ProcessError(
                f"{self._plan.group} stands still: {self._lag} events wait and none was processed for "
                f"{self._patience_s:g} s",
                hint="start it again; nothing is lost",
            )


class Goal:
    """Everything that the inputs and the redrive topic held at a moment, through all stages."""

    def __init__(self, plan: Plan, log: KafkaLog) -> None:
        self._log = log
        self._later = [plan.repartition.topic] if plan.repartition else []
        self._probed = time.monotonic()
        self._ends = {
            TopicPartition(topic, partition): end
            for topic in (*(each.stage.topic for each in plan.sources), plan.redrive_topic)
            for partition, (_, end) in log.bounds(topic).items()
        }

    def reached(self, places: Mapping[TopicPartition, int]) -> bool:
        """Whether all of it is processed; looks at the next stage once one is through."""
        probe = time.monotonic() - self._probed > _PROBE_S
        if probe:
            self._probed = time.monotonic()
        while all(self._is_through(place, places, probe=probe) for place in self._ends):
            if not self._later:
                return True
            # What the stage before has committed may not be readable yet: markers are written after the commit's answer.
            topic = self._later.pop(0)
            self._ends = {
                TopicPartition(topic, partition): end for partition, end in self._log.high_watermarks(topic).items()
            }
        return False

    def _is_through(self, place: TopicPartition, places: Mapping[TopicPartition, int], *, probe: bool) -> bool:
        offset, end = places.get(place), self._ends[place]
        if offset is None:
            return False
        if probe and offset < end and end - offset < _LITTLE and not self._log.between(*place, offset, end):
            self._ends[place] = offset  # what is left are markers of transactions, or was compacted away
            return True
        return offset >= end


def _raisable(failure: BaseException | None) -> BaseException:
    if isinstance(failure, MeshError):
        return failure
    if failure is None:
        return ProcessError("the processor ended by itself")
    error = ProcessError(f"the processor failed: {type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error
