"""One process's run of a replay job: from where the output is, at the job's rate, until it is complete, paused or cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from meshport.errors import ReplayError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.history import Missing
from meshport.ports.replay import Offsets, Replay
from meshport.ports.scan import MOST_MESSAGES
from meshport.ports.subscriber import BadEvent
from meshport.registry import Registry
from meshport.replay_jobs import ReplayJob, ReplayState
from meshport.replaying.outputs import Output
from meshport.replaying.reports import JobReports
from meshport.replaying.selection import Selection
from meshport.schema import parse_schema

_SLICES: Final = 5
"""Batches in a second of a job with a rate, so that its readers and brokers get an even stream."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended.

    Attributes:
        job: as the registry had it last.
        replayed: how many events this run took to the output.
        unreadable: how many messages it could not read.
    """

    job: ReplayJob
    replayed: int
    unreadable: int


class ReplayRun:
    """Runs a job. A file that one process writes refuses a second one; a topic takes nothing more of the earlier one.

    Args:
        job: the job.
        mesh: the registry.
        output: where its events go.
        on_bad: called with each message that cannot be read, after which the job continues.
        missing: whether to go on where part of what is left to replay was removed meanwhile.
        kafka: the connections to Kafka; servers that they name win over the binding's.
    """

    def __init__(
        self,
        job: ReplayJob,
        mesh: Registry,
        output: Output,
        *,
        on_bad: Callable[[BadEvent], None] = lambda _: None,
        missing: Missing = Missing.REFUSE,
        kafka: KafkaAccess = PLAINTEXT,
    ) -> None:
        self._job = job
        self._mesh = mesh
        self._output = output
        self._on_bad = on_bad
        self._missing = missing
        self._kafka = kafka
        self._selection = Selection(job.keys, job.types, job.where)
        self._unreadable = 0

    def run(self, *, progress: Callable[[int, int], None] = lambda *_: None) -> RunEnd:
        """Replay what the output does not have yet. While the job is paused, wait.

        Args:
            progress: called with (offsets read, offsets in all) after each batch.

        Raises:
            ReplayError: the job may not run, its output has what is not the job's, or the address leads to another log.
            HistoryMissing: part of what is left was removed meanwhile; `missing` allows it.
            KafkaError: no answer. Nothing is lost; run it again.
            RegistrationRefused: the job was removed, or another caller started it.
        """
        job = self._job
        _refuse_to_run(job)
        replayed = 0
        with self._output, JobReports(job, self._mesh) as reports:
            kept = self._output.positions()
            begins = {each: max(first, kept.get(each, first)) for each, first in job.begins.items()}
            reports.note(begins, 0, 0)
            if any(begins[each] < end for each, end in job.ends.items()):
                with self._replay(begins) as replay:
                    pace = _RateCap(job.rate)
                    for batch in replay.batches(limit=pace.batch):
                        self._output.passed(replay)
                        progress(job.total - (replay.range.total - replay.range.read), job.total)
                        if reports.wait() is not ReplayState.ACTIVE:
                            return RunEnd(reports.job, replayed, self._unreadable)
                        selected = [each for each in batch if self._selection.takes(each[1])]
                        pace.take(len(selected))
                        self._output.write(selected)
                        replayed += len(selected)
                        reports.note(replay.range.positions, replayed, self._unreadable)
                    self._output.passed(replay)
            progress(job.total, job.total)
            self._output.finish()
            return RunEnd(reports.complete(job.ends), replayed, self._unreadable)

    def _replay(self, begins: dict[int, int]) -> Replay:
        job = self._job
        first, last = Offsets(each=begins), Offsets(each=job.ends)
        replay: Replay = Replay(
            job.address,
            self._mesh,
            begin=(job.since, first) if job.since else first,
            end=(job.until, last) if job.until else last,
            reader=None if job.reader is None else parse_schema(job.reader),
            id=job.job,
            on_bad=self._note_bad,
            missing=self._missing,
            kafka=self._kafka,
        )
        if (replay.binding.topic, replay.topic_id) != (job.topic, job.topic_id):
            replay.close()
            raise ReplayError(
                f"the replay {job.job} is of {job.topic} ({job.topic_id}), and {job.address} leads to another log since then: "
                f"{replay.binding.topic} ({replay.topic_id})",
                topic=replay.binding.topic,
                hint=f"cancel it, and start another one: meshport replay cancel {job.job}",
            )
        return replay

    def _note_bad(self, bad: BadEvent) -> None:
        self._unreadable += 1
        self._on_bad(bad)


def _refuse_to_run(job: ReplayJob) -> None:
    if job.state in {ReplayState.ACTIVE, ReplayState.PAUSED}:
        return
    hint = None
    if job.state is ReplayState.REQUESTED:
        hint = f"{job.owner} approves it: meshport replay approve {job.job}"
    raise ReplayError(f"the replay {job.job} is {job.state}", topic=job.topic, hint=hint)


class _RateCap:
    """Holds a job to its rate.

    Args:
        rate: events in a second; None for no cap.

    Attributes:
        batch: the messages to read at a time.
    """

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self.batch = MOST_MESSAGES if rate is None else max(1, min(MOST_MESSAGES, rate // _SLICES))
        self._due = time.monotonic()

    def take(self, events: int) -> None:
        """Return when so many events may go on."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._due = max(self._due, now)
        if self._due > now:
            time.sleep(self._due - now)
        self._due += events / self._rate
