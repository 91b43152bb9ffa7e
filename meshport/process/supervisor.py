"""Watching an engine from outside of its event loop: progress, lag, and whether it still moves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from meshport.errors import MeshError, ProcessError
from meshport.process.clock import moment
from meshport.process.kafkalog import KafkaLog
from meshport.process.plan import Plan
from meshport.process.stages import Counts
from meshport.process.worker import Place

PATIENCE_S: Final = 60.0
"""With events waiting and none processed for this long, a processor is stuck."""

_LOOK_S: Final = 5.0
_PROBE_S: Final = 2.0
_TURN_S: Final = 0.1
_BOUNDED_TURN_S: Final = 0.05
# Looking whether anything readable is left pays only where little can be.
_LITTLE: Final = 1000


class Engine(Protocol):
    """What is watched. All of it may be read while the engine runs.

    Attributes:
        failure: what ended it.
        assigned: whether its group has given it partitions, be it none.
        places: the next offset of each partition in hand.
        counts: figures since its start.
        watermark: microseconds.
    """

    failure: BaseException | None
    assigned: bool
    places: Mapping[Place, int]
    counts: Counts
    watermark: int | None

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


@contextmanager
def ended_by_signals(stop: threading.Event) -> Iterator[None]:
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
class Progress:
    """How a processor is doing.

    Attributes:
        read: events of the input that were new.
        written: output records.
        late: events that went to the late port.
        quarantined: events that went to the quarantine.
        lag: events that wait on the partitions in hand; None before it was first looked up.
        watermark: how far event time has come, by the partition furthest behind; None where it is not followed.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    quarantined: int = 0
    lag: int | None = None
    watermark: datetime | None = None


class Supervisor:
    """Watches an engine from outside of its loop."""

    def __init__(self, plan: Plan, engine: Engine, log: KafkaLog, patience_s: float) -> None:
        self._plan = plan
        self._engine = engine
        self._log = log
        self._patience_s = patience_s
        self._lag: int | None = None
        self._seen: tuple[bool, Mapping[Place, int]] = (False, {})
        self._moved = time.monotonic()

    def run(
        self,
        stop: threading.Event,
        until_end: bool,
        on_progress: Callable[[Progress], None] | None,
    ) -> Progress:
        """Start the engine and stay with it; see `run_processor`."""
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
            if goal is not None and goal.reached(self._engine.places):
                break
        self._engine.end()
        if self._engine.running:
            raise ProcessError("the processor did not end when it was told to", hint="nothing is lost; start it again")
        if self._engine.failure is not None:
            raise _raisable(self._engine.failure)
        self._count_lag()
        if on_progress is not None:
            on_progress(self.progress)
        return self.progress

    @property
    def progress(self) -> Progress:
        """As of now."""
        counts, watermark = self._engine.counts, self._engine.watermark
        return Progress(
            counts.read,
            counts.written,
            counts.late,
            counts.quarantined,
            self._lag,
            None if watermark is None else moment(watermark),
        )

    def _count_lag(self) -> dict[Place, int]:
        ends = {
            (stage.topic, partition): end
            for stage in self._plan.stages
            for partition, (_, end) in self._log.bounds(stage.topic).items()
        }
        places = dict(self._engine.places)
        waiting = {place: ends[place] for place, offset in places.items() if offset < ends[place]}
        self._lag = sum(end - places[place] for place, end in waiting.items())
        return waiting

    def _look(self, now: float) -> None:
        waiting = self._count_lag()
        seen = (self._engine.assigned, dict(self._engine.places))
        if seen != self._seen:
            self._seen, self._moved = seen, now
        if now - self._moved < self._patience_s:
            return
        if not self._engine.assigned:
            raise ProcessError(
                f"{self._plan.group} was given no partitions for {self._patience_s:g} s", hint="start it again"
            )
        for (topic, partition), end in waiting.items():
            # Markers of transactions take offsets too; only a message that can be read proves that work is left.
            if self._log.between(topic, partition, self._engine.places.get((topic, partition), end), end):
                raise ProcessError(
                    f"{self._plan.group} stands still: {self._lag} events wait and none was processed for "
                    f"{self._patience_s:g} s",
                    hint="start it again; nothing is lost",
                )


class Goal:
    """Everything that the input held at a moment, through all stages."""

    def __init__(self, plan: Plan, log: KafkaLog) -> None:
        self._plan = plan
        self._log = log
        self._stage = 0
        self._probed = time.monotonic()
        self._ends = {
            (plan.source.topic, partition): end for partition, (_, end) in log.bounds(plan.source.topic).items()
        }

    def reached(self, places: Mapping[Place, int]) -> bool:
        """Whether all of it is processed; looks at the next stage once one is through."""
        probe = time.monotonic() - self._probed > _PROBE_S
        if probe:
            self._probed = time.monotonic()
        while all(self._is_through(place, places, probe=probe) for place in self._ends):
            self._stage += 1
            if self._stage == len(self._plan.stages):
                return True
            # What the stage before has committed may not be readable yet: markers are written after the commit's answer.
            topic = self._plan.stages[self._stage].topic
            self._ends = {(topic, partition): end for partition, end in self._log.high_watermarks(topic).items()}
        return False

    def _is_through(self, place: Place, places: Mapping[Place, int], *, probe: bool) -> bool:
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
