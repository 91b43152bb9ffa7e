"""Where the events of a replay job go, and how far they came there: a function of the caller, or a file.

What a function was called with is known by the offsets that the job's own group has committed, which are committed after it
returned: a job that was killed calls it again with the events since (at least once), each with the same `replayid`. A
file says itself how far it came: every line has its partition and offset. A line that was cut is written again, and the file has
its name once it has every event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from meshport.errors import ReplayError
from meshport.event import Event
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import ReceivedMessage
from meshport.ports.replay import Replay
from meshport.ports.replay_lines import ReplayLines
from meshport.replay_jobs import ReplayJob, replay_group

Selected = Sequence[tuple[ReceivedMessage, Event]]
"""Events of a batch that the job takes, each with its message."""


class Output(Protocol):
    """Takes the events of one job. It is open between `__enter__` and `__exit__`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def positions(self) -> Mapping[int, int]:
        """Return the next offset of each partition of which it has events; one that is left out has none yet."""
        ...

    def write(self, events: Selected) -> None:
        """Take events, those of a partition in order."""
        ...

    def passed(self, replay: Replay) -> None:
        """Note that all before the positions of a replay was taken, or is not to be."""
        ...

    def finish(self) -> None:
        """Note that every event was taken."""
        ...


class CallbackOutput:
    """Calls a function with each event.

    Args:
        job: the job.
        kafka: the connection to the cluster.
        handle: is called with each event, marked with the job's id.
        flush: is called before positions are committed: what the function has buffered has to be out by then.
    """

    def __init__(
        self,
        job: ReplayJob,
        kafka: KafkaConfig,
        handle: Callable[[Event], object],
        flush: Callable[[], object] = lambda: None,
    ) -> None:
        self._job = job
        self._kafka = kafka
        self._handle = handle
        self._flush = flush

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def positions(self) -> Mapping[int, int]:
        """Return what the job's group has committed."""
        with Consumer(self._kafka, group=replay_group(self._job.job)) as consumer:
            return consumer.committed(self._job.topic)

    def write(self, events: Selected) -> None:
        """Call the function."""
        for _, event in events:
            self._handle(event.marked(replayid=self._job.job))

    def passed(self, replay: Replay) -> None:
        """Commit the positions."""
        self._flush()
        replay.commit()

    def finish(self) -> None:
        """Nothing is left to do: the positions are committed."""


class FileOutput:
    """Writes a line for each event into a file, which has its name once every event is in it: `FILE.part` before.

    Args:
        job: the job.
        line: returns the JSON of an event, with `kafkapartition` and `kafkaoffset`.

    Raises:
        ReplayError: the file is there and has something else, or another process writes it.
    """

    def __init__(self, job: ReplayJob, line: Callable[[Event], str]) -> None:
        assert job.file is not None  # noqa: S101 - the registry refuses a job into a file without it
        self._job = job
        self._file = Path(job.file)
        self._part = self._file.with_name(f"{self._file.name}.part")
        again = f"move it away, and run the replay {job.job} again"
        self._lines = ReplayLines(self._part, line, again)
        self._whole = ReplayLines(self._file, line, again)
        self._is_whole = False

    def __enter__(self) -> Self:
        # A run that ended after it gave the file its name, and before the registry noted that, leaves nothing to write.
        self._is_whole = self._whole.ends_with(self._job.job)
        if not self._is_whole:
            if self._file.exists() and self._file.stat().st_size:
                raise ReplayError(f"{self._file} is there already", hint="move it away, and run the replay again")
            self._lines.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def positions(self) -> Mapping[int, int]:
        """Return what the lines say, and remove a last line that was cut; the ends of the job where the file is whole."""
        if self._is_whole:
            return self._job.ends
        return self._lines.positions(self._job.job, self._job.ends)

    def write(self, events: Selected) -> None:
        """Append a line for each event."""
        self._lines.append(event.marked(replayid=self._job.job) for _, event in events)

    def passed(self, replay: Replay) -> None:
        """Nothing is to be done: the file says itself how far it came."""

    def finish(self) -> None:
        """Give the file its name."""
        if self._is_whole:
            return
        self._lines.sync()
        self._part.rename(self._file)
