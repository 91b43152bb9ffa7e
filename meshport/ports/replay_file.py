"""A replay into a file, which continues after an interruption without a gap or a repeated event.

The position is in the output itself: every line has its partition and offset, and the events of a partition are in order. So a
process that is killed at any moment leaves a file that says how far it came; a line that was cut is written again. The bounds
of the replay are in a note beside the file (`FILE.replay`), which is written before the first event.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from meshport.address import Address
from meshport.errors import ReplayError
from meshport.event import Event
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.history import Missing
from meshport.ports.replay import Bound, Earlier, Offsets, Replay
from meshport.ports.replay_lines import ReplayLines
from meshport.ports.subscriber import BadEvent, Mesh

_AGAIN: Final = "give another file, or remove both and begin again"


class ReplayNote(BaseModel):
    """What a replay into a file keeps beside it.

    Attributes:
        id: the job's.
        address: of the port, with its major.
        topic: the port's topic when the replay began.
        topic_id: Kafka's id of that topic.
        asked: the bounds as its caller gave them.
        since: the first time of the replay.
        until: the time before which it ends.
        begins: by partition, its first offset.
        ends: by partition, the offset after its last.
        complete: whether everything is in the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    address: str
    topic: str
    topic_id: str | None
    asked: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    begins: dict[int, int]
    ends: dict[int, int]
    complete: bool = False


class ReplayFile:
    """A replay whose events are appended to a file.

    Args:
        file: the file of events, one a line.
        line: returns the JSON of an event, with `kafkapartition` and `kafkaoffset`.
    """

    def __init__(self, file: Path, line: Callable[[Event], str]) -> None:
        self._file = file
        self._note_file = file.with_name(f"{file.name}.replay")
        self._lines = ReplayLines(file, line, _AGAIN)

    @contextmanager
    def replay(
        self,
        address: Address,
        mesh: Mesh,
        asked: tuple[str, ...],
        begin: Bound,
        end: Bound,
        *,
        missing: Missing = Missing.REFUSE,
        on_bad: Callable[[BadEvent], None] | None = None,
        kafka: KafkaAccess = PLAINTEXT,
    ) -> Iterator[Replay | None]:
        """Begin the replay, or continue the one of the file's note; `write` writes its events.

        Args:
            address: of the port.
            mesh: a registry.
            asked: the bounds as text; to continue, they have to be the same, or empty.
            begin: of a new replay; see `Replay`.
            end: of a new replay; see `Replay`.
            missing: see `Replay`.
            on_bad: see `Replay`.
            kafka: see `Replay`.

        Yields:
            The job; None where the file has everything already.

        Raises:
            ReplayError: the file belongs to another replay or to none, another process writes it, or the port's topic is
                another one since.
            HistoryMissing: what is still to be replayed was removed meanwhile.
        """
        with self._locked():
            note = self._note()
            if note is None:
                with Replay(
                    address,
                    mesh,
                    begin=begin,
                    end=end,
                    missing=missing,
                    on_bad=on_bad,
                    earlier=Earlier.LEAVE_OUT,  # the lines of the file have offsets of one topic
                    kafka=kafka,
                ) as job:
                    self._write_note(_note_of(job, asked))
                    yield job
                return
            self._refuse_another(note, asked, mesh.resolve(address).address)
            begins = note.begins if note.complete else note.begins | self._lines.positions(note.id, note.ends)
            if note.complete or all(begins[each] >= end for each, end in note.ends.items()):
                yield None
                return
            first, last = Offsets(each=begins), Offsets(each=note.ends)
            with Replay(
                Address.parse(note.address),
                mesh,
                begin=(note.since, first) if note.since else first,
                end=(note.until, last) if note.until else last,
                id=note.id,
                missing=missing,
                on_bad=on_bad,
                kafka=kafka,
            ) as job:
                if (job.binding.topic, job.topic_id) != (note.topic, note.topic_id):
                    raise ReplayError(
                        f"{self._file} holds a part of {note.topic}, and {note.address} leads to another log since then: "
                        f"{job.binding.topic} ({job.topic_id})",
                        topic=job.binding.topic,
                        hint=_AGAIN,
                    )
                yield job

    def write(self, job: Replay, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Append the events of the job to the file, and return their number; the replay is then complete."""
        count = self._lines.append(job.events(progress=progress))
        self._lines.sync()
        note = self._note()
        assert note is not None  # noqa: S101 - `replay` wrote it
        self._write_note(note.model_copy(update={"complete": True}))
        return count

    @contextmanager
    def _locked(self) -> Iterator[None]:
        begun = self._note_file.exists()
        if not begun and self._file.exists() and self._file.stat().st_size:
            raise ReplayError(
                f"{self._file} is there, and no replay wrote it: {self._note_file} is missing", hint=_AGAIN
            )
        with closing(self._lines):
            self._lines.open()
            yield

    def _note(self) -> ReplayNote | None:
        try:
            return ReplayNote.model_validate_json(self._note_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise ReplayError(f"{self._note_file} is no note of a replay: {error}", hint=_AGAIN) from error

    def _write_note(self, note: ReplayNote) -> None:
        part = self._note_file.with_name(f"{self._note_file.name}.part")
        with part.open("wb") as stream:
            stream.write(note.model_dump_json(indent=2).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self._note_file)

    def _refuse_another(self, note: ReplayNote, asked: tuple[str, ...], address: Address) -> None:
        if str(address) != note.address or (any(asked) and asked != note.asked):
            raise ReplayError(
                f"{self._file} holds a replay of {note.address} ({_said(note.asked)}), not of {address} ({_said(asked)})",
                hint=_AGAIN,
            )


def _note_of(job: Replay, asked: tuple[str, ...]) -> ReplayNote:
    return ReplayNote(
        id=job.id,
        address=str(job.binding.address),
        topic=job.binding.topic,
        topic_id=job.topic_id,
        asked=asked,
        since=job.since,
        until=job.until,
        begins=job.range.begins,
        ends=job.range.ends,
    )


def _said(asked: tuple[str, ...]) -> str:
    return ", ".join(asked) or "without bounds"
