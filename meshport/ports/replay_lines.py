"""A file of replayed events, one a line, which says itself how far it came.

Every line has its partition and offset, and the events of a partition are in order. A process that is killed at any moment
leaves whole lines and at most one that was cut, which is removed when the file is opened again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from meshport.errors import ReplayError
from meshport.event import Event

_BLOCK: Final = 1 << 20


class ReplayLines:
    """The lines of one file, which this process alone writes while it is open.

    Args:
        file: the file.
        line: returns the JSON of an event, with `kafkapartition`, `kafkaoffset` and `replayid`.
        again: the hint of an error about lines that are none of the replay's.
    """

    def __init__(self, file: Path, line: Callable[[Event], str], again: str) -> None:
        self._file = file
        self._line = line
        self._again = again
        self._stream: IO[bytes] | None = None

    def open(self) -> None:
        """Open the file, and make it where it is not there.

        Raises:
            ReplayError: it cannot be written, or another process writes it.
        """
        try:
            stream: IO[bytes] = self._file.open("ab")
        except OSError as error:
            raise ReplayError(f"{self._file} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise ReplayError(f"another replay writes {self._file}", hint="wait for its end, or end it") from None
        self._stream = stream

    def positions(self, job: str, partitions: Collection[int]) -> dict[int, int]:
        """Return the next offset of each partition that has a line, and remove a last line that was cut.

        It reads backwards until it has seen a line of every partition: a file of millions of lines is not read whole.

        Args:
            job: the id of the replay that wrote the lines.
            partitions: those of the replay.

        Raises:
            ReplayError: a line is none of this replay's.
        """
        positions: dict[int, int] = {}
        with self._file.open("r+b") as stream:
            end = _end_of_lines(stream)
            for at, line in _backwards(stream, end):
                try:
                    event = json.loads(line)
                    partition, offset, found = event["kafkapartition"], event["kafkaoffset"], event["replayid"]
                except (ValueError, TypeError, KeyError) as error:
                    raise self._error(stream, at, "is no event of a replay") from error
                if found != job:
                    raise self._error(stream, at, f"is an event of replay {found}, not {job}")
                positions.setdefault(partition, offset + 1)
                if positions.keys() >= set(partitions):
                    break
            stream.truncate(end)  # not before its lines were found to be this replay's
        return positions

    def ends_with(self, job: str) -> bool:
        """Whether the file is there, and its last line is an event of a replay; nothing is changed."""
        try:
            with self._file.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                last = next(_backwards(stream, size), None) if _end_of_lines(stream) == size else None
            return last is not None and json.loads(last[1])["replayid"] == job
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return False

    def _error(self, stream: IO[bytes], at: int, what: str) -> ReplayError:
        stream.seek(0)
        number = 1 + stream.read(at).count(b"\n")
        return ReplayError(f"{self._file}:{number} {what}", hint=self._again)

    def append(self, events: Iterable[Event]) -> int:
        """Append a line for each event, and return their number."""
        assert self._stream is not None  # noqa: S101 - the caller has opened it
        count = 0
        for event in events:
            self._stream.write(self._line(event).encode() + b"\n")
            count += 1
        self._stream.flush()
        return count

    def sync(self) -> None:
        """Have the lines on the disk."""
        assert self._stream is not None  # noqa: S101 - as above
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file, which another process may write then."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _end_of_lines(stream: IO[bytes]) -> int:
    """Return the position after the last whole line."""
    for begin, block in _blocks(stream, stream.seek(0, os.SEEK_END)):
        if (at := block.rfind(b"\n")) >= 0:
            return begin + at + 1
    return 0


def _backwards(stream: IO[bytes], end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines before the end of one, the last first, each with its position."""
    rest = b""
    for begin, block in _blocks(stream, end):
        text = block + rest
        lines = text.split(b"\n")[:-1]
        at = begin + len(text)
        for line in reversed(lines[1:] if begin else lines):
            at -= len(line) + 1
            yield at, line
        rest = text[: len(lines[0]) + 1]


def _blocks(stream: IO[bytes], end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the blocks before a position, the last first, each with its own."""
    while end > 0:
        begin = max(0, end - _BLOCK)
        stream.seek(begin)
        yield begin, stream.read(end - begin)
        end = begin
